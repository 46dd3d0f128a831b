use eventwire::{Socket, gateway};

struct Chat<S> {
    store: S,
}

#[gateway]
impl<S> Chat<S> {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) {}
}

fn main() {}
