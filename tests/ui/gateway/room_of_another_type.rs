use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[room("lobby")]
    async fn may_enter(&self, _socket: Socket, _room: u32) -> bool {
        true
    }

    #[room("lobby")]
    async fn may_leave(&self, _socket: Socket, _room: String) -> bool {
        true
    }

    #[room("lobby")]
    async fn may_stay(&self, _socket: Socket, _room: String) -> bool {
        true
    }
}

fn main() {}
