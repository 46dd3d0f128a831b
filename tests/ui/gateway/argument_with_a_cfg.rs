use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _text: String, #[cfg(any())] _socket: Socket) {}
}

fn main() {}
