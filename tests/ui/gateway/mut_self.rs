use eventwire::{Socket, gateway};

struct Chat {
    count: usize,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&mut self, _socket: Socket, _text: String) {
        self.count += 1;
    }

    #[on("tell")]
    async fn tell(self, _socket: Socket, _text: String) {}
}

fn main() {}
