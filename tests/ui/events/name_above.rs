use eventwire::Events;

#[derive(Events)]
#[event("say")]
enum FromBrowser {
    Say(String),
}

fn main() {}
