use eventwire::Events;
use serde::Deserialize;

#[derive(Deserialize)]
struct Say {
    text: String,
}

#[derive(Events)]
enum FromBrowser {
    Say(Say),
    #[event("typing")]
    Typing,
}

fn main() {}
