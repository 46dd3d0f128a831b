use eventwire::{Io, Socket};

struct ChatError;

fn main() {
    let io = Io::new();
    io.on_connect(|_socket: Socket| async move { true });
    io.on_connect(|_socket: Socket| async move { Err::<(), _>(ChatError) });
}
