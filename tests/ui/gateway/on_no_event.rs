use eventwire::{Socket, gateway};
use serde::Deserialize;

struct Chat;

#[derive(Deserialize)]
struct Say {
    text: String,
}

#[gateway]
impl Chat {
    #[on]
    async fn say(&self, _socket: Socket, _say: Say) {}
}

fn main() {}
