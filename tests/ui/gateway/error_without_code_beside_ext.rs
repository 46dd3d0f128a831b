use eventwire::{Ext, gateway};

struct Chat;

struct Name(String);

struct ChatError;

#[gateway]
impl Chat {
    #[on("say")]
    async fn say(&self, _name: Ext<Name>, _text: String) -> Result<usize, ChatError> {
        Ok(1)
    }
}

fn main() {}
