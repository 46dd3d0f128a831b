use eventwire::{Events, Io, Socket};
use serde::Serialize;

#[derive(Serialize)]
struct Say {
    text: String,
}

#[derive(Events)]
enum FromBrowser {
    #[event("say")]
    Say(Say),
    #[event("typing")]
    Typing,
}

fn main() {
    Io::new().on_events(|_socket: Socket, event| async move {
        match event {
            FromBrowser::Say(_) | FromBrowser::Typing => {}
        }
    });
}
