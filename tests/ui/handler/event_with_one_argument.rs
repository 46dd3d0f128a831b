use eventwire::{Event, Io};
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

fn main() {
    Io::new().on_event(|say: Say| async move { say.text.len() });
}
