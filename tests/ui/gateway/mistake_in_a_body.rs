use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, text: String) -> usize {
        text
    }
}

fn main() {}
