use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    fn say(&self, _socket: Socket, _text: String) {}

    #[on("ack")]
    async fn tell(&self, _socket: Socket, _text: String) {}

    #[room("no room")]
    async fn may_enter(&self) -> bool {
        true
    }
}

fn main() {
    let io = eventwire::Io::new();
    let _ = io.gateway(Chat);
}
