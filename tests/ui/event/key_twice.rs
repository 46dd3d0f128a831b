use eventwire::Event;

#[derive(Event)]
#[event("say", ack = usize, ack = u8)]
struct Say {
    text: String,
}

fn main() {}
