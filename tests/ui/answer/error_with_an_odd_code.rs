use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("", message = "none left")]
    SoldOut,
    #[error_code("too many", message = "fewer")]
    TooMany,
    #[error_code(closed, message = "closed")]
    Closed,
}

fn main() {}
