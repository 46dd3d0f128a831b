use eventwire::Event;

#[derive(Event)]
#[event("subscribe")]
struct Say {
    text: String,
}

fn main() {}
