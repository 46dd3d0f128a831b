use eventwire::{Socket, gateway};

struct Chat;

struct ChatError;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) -> Result<usize, ChatError> {
        Ok(1)
    }
}

fn main() {}
