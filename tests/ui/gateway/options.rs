use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("a", concurent = 8)]
    async fn a(&self, _socket: Socket) {}

    #[on("b", concurrent = 0)]
    async fn b(&self, _socket: Socket) {}

    #[on("c", concurrent)]
    async fn c(&self, _socket: Socket) {}

    #[on("d", concurrent = "8")]
    async fn d(&self, _socket: Socket) {}

    #[on("e", timeout = "5 parsecs")]
    async fn e(&self, _socket: Socket) {}

    #[on("f", timeout = 5)]
    async fn f(&self, _socket: Socket) {}

    #[on("g", timeout = "0s")]
    async fn g(&self, _socket: Socket) {}

    #[on("h", concurrent = 2, concurrent = 3)]
    async fn h(&self, _socket: Socket) {}

    #[connect(timeout = "5s")]
    async fn connected(&self, _socket: Socket) {}
}

fn main() {}
