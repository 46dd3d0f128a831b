use eventwire::Events;

#[derive(Events)]
enum FromBrowser {
    #[event("say")]
    Say { text: String },
    #[event("move")]
    Move(u32, u32),
}

fn main() {}
