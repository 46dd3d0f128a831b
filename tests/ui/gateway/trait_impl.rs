use eventwire::{Socket, gateway};

struct Chat;

trait Talks {
    async fn say(&self, socket: Socket, text: String);
}

#[gateway]
impl Talks for Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) {}
}

fn main() {}
