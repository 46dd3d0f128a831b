use eventwire::{Io, Socket};

fn main() {
    Io::new().on::<String>("say", |_socket: Socket, _text: String, _other: u32| async move {});
}
