use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out", detail, message = "none left")]
    SoldOut,
    #[error_code("too_many", message)]
    TooMany,
}

fn main() {}
