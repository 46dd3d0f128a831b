use eventwire::{Event, Io, Socket};
use serde::Serialize;

#[derive(Serialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

fn main() {
    Io::new().on_event(|_socket: Socket, _say: Say| async move {});
}
