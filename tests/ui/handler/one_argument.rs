use eventwire::{Io, Socket};

async fn say(_socket: Socket) {}

fn main() {
    let io = Io::new();
    io.on::<String>("say", |_socket: Socket| async move {});
    io.on::<String>("say", say);
}
