use eventwire::{Io, Socket};
use serde::Serialize;

#[derive(Serialize)]
struct Say {
    text: String,
}

fn main() {
    Io::new().on::<Say>("say", |_socket: Socket, _say| async move {});
}
