use eventwire::{Io, Socket};

fn main() {
    let greeting = String::from("hello");
    Io::new().on::<String>("say", move |_socket: Socket, _text| async move { greeting.len() });
}
