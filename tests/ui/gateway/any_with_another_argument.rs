use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[any]
    async fn log(&self, _socket: Socket, _event: String) {}

    #[any]
    async fn count(&self, _socket: Socket) {}

    #[any("say")]
    async fn say(&self, _socket: Socket) {}
}

fn main() {}
