use eventwire::Socket;
use serde::Serialize;

#[derive(Serialize)]
struct Say {
    text: String,
}

async fn tell(socket: Socket) {
    let _ = socket.emit_event(&Say { text: String::new() }).await;
}

fn main() {}
