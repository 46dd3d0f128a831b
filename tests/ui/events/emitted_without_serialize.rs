use eventwire::{Events, Io};
use serde::Deserialize;

#[derive(Deserialize)]
struct Said {
    text: String,
}

#[derive(Events)]
enum ToBrowser {
    #[event("said")]
    Said(Said),
    #[event("typing")]
    Typing,
}

async fn tell(io: Io) {
    let _ = io.emit_event(&ToBrowser::Said(Said { text: String::new() })).await;
}

fn main() {}
