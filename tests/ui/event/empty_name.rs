use eventwire::Event;

#[derive(Event)]
#[event("")]
struct Say {
    text: String,
}

fn main() {}
