use eventwire::Event;

#[derive(Event)]
#[event("say", ack = Receipt)]
struct Say {
    text: String,
}

fn main() {}
