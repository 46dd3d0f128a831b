use eventwire::IntoAck;
use serde::Deserialize;

#[derive(Deserialize, IntoAck)]
struct Receipt {
    delivered: usize,
}

fn main() {}
