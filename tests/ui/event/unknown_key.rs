use eventwire::Event;

#[derive(Event)]
#[event("say", acks = usize)]
struct Say {
    text: String,
}

fn main() {}
