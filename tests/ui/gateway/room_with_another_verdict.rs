use eventwire::{Socket, gateway};

struct Chat;

struct ChatError;

#[gateway]
impl Chat {
    #[room("lobby")]
    async fn may_enter(&self, _socket: Socket, _room: String) -> String {
        String::new()
    }

    #[room("hall")]
    async fn may_look(&self, _socket: Socket, _room: String) -> Result<bool, eventwire::Error> {
        Ok(true)
    }

    #[room("cellar")]
    async fn may_hide(&self, _socket: Socket, _room: String) -> Result<(), ChatError> {
        Ok(())
    }
}

fn main() {}
