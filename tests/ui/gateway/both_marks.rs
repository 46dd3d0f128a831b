use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, #[payload] #[from_socket] _text: String) {}

    #[on("tell")]
    async fn tell(&self, _socket: Socket, #[payload("text")] _text: String) {}
}

fn main() {}
