use eventwire::{Event, Socket};
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

async fn tell(socket: Socket) {
    let _ = socket.emit_event(&Say { text: String::new() }).await;
}

fn main() {}
