use eventwire::{Io, Socket};

struct BuyError;

fn buy() -> Result<u32, BuyError> {
    Err(BuyError)
}

fn main() {
    Io::new().on::<u32>("buy", |_socket: Socket, _count| async move {
        let left = buy()?;
        eventwire::ok(left)
    });
}
