use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    async fn say(&self, _socket: Socket, _text: String) {}
}

fn main() {}
