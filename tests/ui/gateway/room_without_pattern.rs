use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[room]
    async fn may_enter(&self, _socket: Socket, _room: String) -> bool {
        true
    }

    #[room("chat room")]
    async fn may_chat(&self, _socket: Socket, _room: String) -> bool {
        true
    }

    #[room("*:chat")]
    async fn may_talk(&self, _socket: Socket, _room: String) -> bool {
        true
    }

    #[room("")]
    async fn may_say(&self, _socket: Socket, _room: String) -> bool {
        true
    }
}

fn main() {}
