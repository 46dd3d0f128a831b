use eventwire::Events;

#[derive(Events)]
#[event("say")]
struct Say {
    text: String,
}

fn main() {}
