use eventwire::Events;

#[derive(Events)]
enum FromBrowser {}

fn main() {}
