use eventwire::Event;

#[derive(Event)]
#[event("say", ack)]
struct Say {
    text: String,
}

#[derive(Event)]
#[event("tell", ack = )]
struct Tell {
    text: String,
}

#[derive(Event)]
#[event("count", ack = 8)]
struct Count {
    by: usize,
}

fn main() {}
