use eventwire::{Io, Socket};
use serde::Deserialize;

#[derive(Deserialize)]
struct Say {
    text: String,
}

fn main() {
    Io::new().on_event(|_socket: Socket, _say: Say| async move {});
}
