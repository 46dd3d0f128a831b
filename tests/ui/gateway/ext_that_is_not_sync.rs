use std::cell::Cell;

use eventwire::{Ext, Socket, gateway};

struct Chat;

struct Count(Cell<usize>);

#[gateway]
impl Chat {
    #[on("count")]
    async fn count(&self, _socket: Socket, _count: Ext<Count>) {}
}

fn main() {}
