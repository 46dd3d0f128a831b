use eventwire::{Io, Socket};

fn say(_socket: Socket, text: String) -> usize {
    text.len()
}

fn main() {
    let io = Io::new();
    io.on::<String>("say", |_socket: Socket, text: String| text.len());
    io.on::<String>("say", say);
}
