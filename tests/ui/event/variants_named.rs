use eventwire::Event;

#[derive(Event)]
enum FromBrowser {
    #[event("say")]
    Say(String),
    #[event("typing")]
    Typing,
}

fn main() {}
