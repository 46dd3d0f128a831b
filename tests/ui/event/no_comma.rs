use eventwire::Event;

#[derive(Event)]
#[event("say" ack = usize)]
struct Say {
    text: String,
}

fn main() {}
