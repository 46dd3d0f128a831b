use eventwire::{Events, Io, Socket};

#[derive(Events)]
enum FromBrowser {
    Say(String, String),
    Typing,
}

async fn tell(io: Io) {
    io.on_events(|_socket: Socket, event| async move {
        match event {
            FromBrowser::Say(..) | FromBrowser::Typing => {}
        }
    });
    let _ = io.emit_event(&FromBrowser::Typing).await;
}

fn main() {}
