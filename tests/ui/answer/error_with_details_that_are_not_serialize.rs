use eventwire::EventError;
use serde::Deserialize;

#[derive(Deserialize)]
struct Stock {
    left: u32,
}

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out", details, message = "none left")]
    SoldOut { stock: Stock },
    #[error_code("too_many", details, message = "fewer")]
    TooMany(Vec<Stock>),
}

fn main() {}
