use eventwire::{Socket, gateway};
use serde::Serialize;

struct Chat;

#[derive(Serialize)]
struct Say {
    text: String,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _say: Say) {}
}

fn main() {}
