use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out", message = "none left")]
    SoldOut,
    TooMany,
}

#[derive(EventError)]
struct Closed;

fn main() {}
