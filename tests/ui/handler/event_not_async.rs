use eventwire::{Event, Io, Socket};
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

fn main() {
    Io::new().on_event(|_socket: Socket, say: Say| say.text.len());
}
