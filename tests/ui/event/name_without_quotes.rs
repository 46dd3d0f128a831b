use eventwire::Event;

#[derive(Event)]
#[event(say)]
struct Say {
    text: String,
}

#[derive(Event)]
#[event = "count"]
struct Count {
    by: usize,
}

fn main() {}
