use eventwire::Event;

#[derive(Event)]
#[event]
struct Say {
    text: String,
}

#[derive(Event)]
#[event(ack = usize)]
struct Count {
    by: usize,
}

fn main() {}
