use eventwire::Event;

#[derive(Event)]
struct Say {
    text: String,
}

fn main() {}
