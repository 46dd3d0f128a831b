use eventwire::gateway;

#[gateway]
struct Chat;

fn main() {}
