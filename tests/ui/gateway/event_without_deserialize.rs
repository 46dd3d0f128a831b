use eventwire::{Event, Socket, gateway};
use serde::Serialize;

struct Chat;

#[derive(Serialize, Event)]
#[event("say")]
struct Say {
    text: String,
}

#[gateway]
impl Chat {
    #[on]
    async fn say(&self, _socket: Socket, _say: Say) {}
}

fn main() {}
