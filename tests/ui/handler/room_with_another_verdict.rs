use eventwire::{Io, Socket};

fn main() {
    Io::new().rooms("chat:*").allow_if(|_socket: Socket, _room| async move {});
}
