use eventwire::{Socket, gateway};

struct Chat;

#[gateway(emit(String))]
impl Chat {
    #[on("typing")]
    async fn typing(&self, _socket: Socket) {}
}

struct Talk;

#[gateway(emits = Said)]
impl Talk {
    #[on("typing")]
    async fn typing(&self, _socket: Socket) {}
}

struct Room;

#[gateway("room")]
impl Room {
    #[on("typing")]
    async fn typing(&self, _socket: Socket) {}
}

fn main() {}
