use eventwire::Event;

#[derive(Event)]
#[event("say")]
struct Say<T> {
    text: T,
}

fn main() {}
