use eventwire::{Event, Socket, gateway};
use serde::{Deserialize, Serialize};

struct Chat;

#[derive(Deserialize, Event)]
#[event("say", ack = Receipt)]
struct Say {
    text: String,
}

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

#[gateway]
impl Chat {
    #[on]
    async fn say(&self, _socket: Socket, _say: Say) -> Receipt {
        Receipt { delivered: 1 }
    }
}

fn main() {}
