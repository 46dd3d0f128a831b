use eventwire::{Socket, gateway};
use serde::Serialize;

struct Chat;

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) -> Receipt {
        Receipt { delivered: 1 }
    }

    #[on("typing")]
    async fn typing(&self, _socket: Socket) -> Receipt {
        Receipt { delivered: 1 }
    }
}

fn main() {}
