use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[connect]
    async fn welcome(&self, _socket: Socket) -> bool {
        true
    }
}

struct Talk;

#[gateway]
impl Talk {
    #[connect]
    async fn welcome(&self, _socket: Socket) -> eventwire::Result<usize> {
        Ok(1)
    }

    #[connect]
    async fn greet(&self, _socket: Socket) -> Result<usize, eventwire::Error> {
        Ok(1)
    }
}

fn main() {}
