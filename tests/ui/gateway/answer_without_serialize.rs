use eventwire::{Socket, gateway};
use serde::Deserialize;

struct Chat;

#[derive(Deserialize)]
struct Receipt {
    delivered: usize,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) -> eventwire::Result<Receipt> {
        Ok(Receipt { delivered: 1 })
    }
}

fn main() {}
