use eventwire::{Socket, gateway};

struct Chat;

struct ChatError;

type ChatResult = Result<(), ChatError>;

mod chat {
    pub type Result<T> = std::result::Result<T, super::ChatError>;
}

#[gateway]
impl Chat {
    #[connect]
    async fn welcome(&self, _socket: Socket) -> Result<(), ChatError> {
        Ok(())
    }

    #[connect]
    async fn greet(&self, _socket: Socket) -> ChatResult {
        Ok(())
    }

    #[connect]
    async fn bless(&self, _socket: Socket) -> chat::Result<()> {
        Ok(())
    }
}

fn main() {}
