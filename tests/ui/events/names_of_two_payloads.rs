use eventwire::{Event, Events};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

#[derive(Deserialize, Serialize, Event)]
#[event("say")]
struct Tell {
    text: String,
}

#[derive(Events)]
enum FromBrowser {
    Say(Say),
    #[event("typing")]
    Typing,
    Tell(Tell),
    #[event("say")]
    Shout(String),
}

fn main() {}
