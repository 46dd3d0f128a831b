use eventwire::Event;

#[derive(Event)]
#[event("say")]
union Say {
    text: u8,
    number: u8,
}

fn main() {}
