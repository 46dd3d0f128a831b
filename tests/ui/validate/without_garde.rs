use eventwire::Event;
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say", validate)]
struct Say {
    text: String,
}

fn main() {}
