use eventwire::{Event, Socket, gateway};
use serde::Deserialize;

struct Chat;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

#[gateway]
impl Chat {
    #[on]
    async fn say(&self, _socket: Socket, _say: Say) {}
}

fn main() {}
