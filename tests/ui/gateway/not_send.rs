use std::rc::Rc;

use eventwire::{Socket, gateway};

struct Chat;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, socket: Socket, text: String) -> eventwire::Result<()> {
        let text = Rc::new(text);
        socket.emit("said", &*text).await?;
        Ok(())
    }
}

fn main() {}
