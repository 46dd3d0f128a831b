use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[disconnect]
    async fn left(&self, _socket: Socket) -> eventwire::Result<()> {
        Ok(())
    }
}

fn main() {}
