use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say<T>(&self, _socket: Socket, _say: T) {}

    #[on("tell")]
    async fn tell(&self, _socket: Socket, _tell: impl AsRef<str>) {}
}

fn main() {}
