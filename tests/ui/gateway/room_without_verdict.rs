use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[room("lobby")]
    async fn may_enter(&self, _socket: Socket, _room: String) {}
}

fn main() {}
