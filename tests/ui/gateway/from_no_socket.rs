use eventwire::{Socket, gateway};

struct Chat;

struct Language(String);

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, #[from_socket] _language: Language, _text: String) {}
}

fn main() {}
