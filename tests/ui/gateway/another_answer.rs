use eventwire::{Event, Ext, Socket, gateway};
use serde::Deserialize;

struct Chat;

#[derive(Deserialize, Event)]
#[event("say", ack = usize)]
struct Say {
    text: String,
}

#[derive(Deserialize, Event)]
#[event("tell", ack = usize)]
struct Tell {
    text: String,
}

#[gateway]
impl Chat {
    #[on]
    async fn say(&self, _socket: Socket, _say: Say) -> String {
        String::new()
    }

    #[on]
    async fn tell(&self, _tell: Tell, _name: Ext<String>) -> eventwire::Result<String> {
        Ok(String::new())
    }
}

fn main() {}
