use eventwire::{Io, Socket};

fn main() {
    Io::new().on::<String>("say", |_socket: Socket, text: String| {
        println!("{text}");
    });
}
