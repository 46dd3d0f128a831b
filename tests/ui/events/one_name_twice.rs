use eventwire::Events;

#[derive(Events)]
enum FromBrowser {
    #[event("say")]
    Say(String),
    #[event("say")]
    Tell(String),
}

fn main() {}
