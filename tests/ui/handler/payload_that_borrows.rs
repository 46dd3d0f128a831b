use eventwire::{Io, Socket};
use serde::Deserialize;

#[derive(Deserialize)]
struct Say<'a> {
    text: &'a str,
}

fn main() {
    Io::new().on::<Say<'_>>("say", |_socket: Socket, _say| async move {});
}
