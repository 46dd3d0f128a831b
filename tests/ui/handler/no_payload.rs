use eventwire::{Io, Socket};

fn main() {
    Io::new().on("say", |_socket: Socket, _text| async move {});
}
