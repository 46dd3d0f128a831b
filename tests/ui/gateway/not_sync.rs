use std::cell::Cell;

use eventwire::{Socket, gateway};

struct Chat {
    count: Cell<usize>,
}

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _socket: Socket, _text: String) {
        self.count.set(1);
    }
}

fn main() {}
