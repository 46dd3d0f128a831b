use eventwire::{Event, Events};
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

#[derive(Events)]
enum FromBrowser {
    #[event("say")]
    Tell(String),
    Say(Say),
}

fn main() {}
