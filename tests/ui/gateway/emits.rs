use eventwire::{Event, Socket, gateway};
use serde::Deserialize;

struct Chat;

struct Said {
    text: String,
}

#[gateway(emits(Said))]
impl Chat {
    #[on("typing")]
    async fn typing(&self, _socket: Socket) {}
}

#[derive(Deserialize, Event)]
#[event("left")]
struct Left {
    name: String,
}

struct Talk;

#[gateway(emits(Left))]
impl Talk {
    #[on("typing")]
    async fn typing(&self, _socket: Socket) {}
}

fn main() {}
