use eventwire::{Io, Socket};

enum FromBrowser {
    Say(String),
}

fn main() {
    Io::new().on_events(|_socket: Socket, event: FromBrowser| async move { drop(event) });
}
