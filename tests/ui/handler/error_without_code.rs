use eventwire::{Io, Socket};

struct BuyError;

fn main() {
    Io::new().on::<u32>("buy", |_socket: Socket, left| async move { if left > 0 { Ok(left) } else { Err(BuyError) } });
}
