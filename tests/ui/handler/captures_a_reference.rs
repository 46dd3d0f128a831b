use eventwire::{Io, Socket};

fn main() {
    let greeting = String::from("hello");
    let io = Io::new();
    io.on::<String>("say", |_socket: Socket, _text| async { greeting.len() });
}
