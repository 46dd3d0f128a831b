use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out")]
    SoldOut,
    #[error_code("too_many")]
    TooMany,
}

fn main() {}
