use eventwire::{DisconnectReason, Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[connect]
    async fn welcome(&self, _socket: Socket, _name: String) {}

    #[disconnect]
    async fn left(&self, _socket: Socket, _why: DisconnectReason, _name: String) {}

    #[connect("chat")]
    async fn hello(&self, _socket: Socket) {}
}

fn main() {}
