use eventwire::{Event, Socket, gateway};
use serde::Deserialize;

struct Chat;

#[derive(Deserialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn tell(&self, _socket: Socket, _text: String) {}

    #[on]
    async fn say(&self, _socket: Socket, _say: Say) {}
}

fn main() {}
