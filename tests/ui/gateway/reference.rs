use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: &Socket, _text: String) {}

    #[on("tell")]
    async fn tell(&self, _socket: Socket, _text: &str) {}

    #[on("shout")]
    async fn shout(&self, _socket: Socket, _words: Vec<&str>) {}

    #[on("whisper")]
    async fn whisper(&self, _socket: Socket, _whisper: Whisper<'_>) {}
}

struct Whisper<'a> {
    text: &'a str,
}

fn main() {}
