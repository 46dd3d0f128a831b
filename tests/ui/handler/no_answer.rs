use eventwire::{Io, Socket};
use serde::Serialize;

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

async fn say(_socket: Socket, _text: String) -> Receipt {
    Receipt { delivered: 1 }
}

fn main() {
    let io = Io::new();
    io.on::<String>("say", |_socket: Socket, _text| async move { Receipt { delivered: 1 } });
    io.on::<String>("say", say);
}
