use eventwire::{Io, Socket};

async fn say(_socket: Socket, _text: String) {}

fn main() {
    let io = Io::new();
    io.on::<u32>("say", |_socket: Socket, _text: String| async move {});
    io.on::<u32>("say", say);
}
