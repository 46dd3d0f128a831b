use eventwire::{FromSocket, Socket, gateway};

struct Chat;

struct Language(String);

impl FromSocket for Language {
    fn from_socket(socket: &Socket) -> eventwire::Result<Self> {
        Ok(Language(socket.id().to_string()))
    }
}

#[gateway]
impl Chat {
    #[on("say")]
    fn say(&self, _socket: Socket, _text: String) {}

    #[on("tell")]
    fn tell(&mut self, _socket: &Socket, #[from_socket] _language: Language, #[payload] _text: String) {}
}

fn main() {}
