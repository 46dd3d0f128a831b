use eventwire::Event;

#[derive(Event)]
#[event("say", "tell")]
struct Say {
    text: String,
}

#[derive(Event)]
#[event("count")]
#[event("add")]
struct Count {
    by: usize,
}

fn main() {}
