use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("")]
    async fn say(&self, _socket: Socket, _text: String) {}

    #[on("ping")]
    async fn ping(&self, _socket: Socket) {}

    #[on(tell)]
    async fn tell(&self, _socket: Socket) {}
}

fn main() {}
