use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) {}

    #[on("tell")]
    #[on("say")]
    async fn tell(&self, _socket: Socket, _text: String) {}
}

fn main() {}
