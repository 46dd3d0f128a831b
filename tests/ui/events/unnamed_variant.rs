use eventwire::Events;

#[derive(Events)]
enum FromBrowser {
    Typing,
    #[event(ack = usize)]
    Count,
}

fn main() {}
