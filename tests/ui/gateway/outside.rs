use eventwire::{Socket, any, connect, disconnect, on, room};

struct Chat;

impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) {}

    #[any]
    async fn any(&self, _socket: Socket) {}

    #[connect]
    async fn connected(&self, _socket: Socket) {}

    #[disconnect]
    async fn left(&self, _socket: Socket) {}

    #[room("lobby")]
    async fn may_enter(&self, _socket: Socket) -> bool {
        true
    }
}

#[on("say")]
async fn say(_socket: Socket, _text: String) {}

fn main() {}
