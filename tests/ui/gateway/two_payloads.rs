use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _room: String, _text: String) {}
}

fn main() {}
