use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on]
    async fn typing(&self, _socket: Socket) {}
}

fn main() {}
