use eventwire::{Event, Io, Socket};
use serde::Deserialize;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

fn main() {
    let io = Io::new();
    io.on_event(|_socket: Socket, say: Say| async move { say.text });
    io.on_event(|_socket: Socket, say: Say| async move { eventwire::ok(say.text) });
    io.on_event(|_socket: Socket, _say: Say| async move {});
}
