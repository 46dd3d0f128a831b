use eventwire::{Io, Socket};
use serde::Deserialize;

#[derive(Deserialize)]
struct Receipt {
    delivered: usize,
}

fn main() {
    Io::new().on::<String>("say", |_socket: Socket, _text| async move { eventwire::ok(Receipt { delivered: 1 }) });
}
