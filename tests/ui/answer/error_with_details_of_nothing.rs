use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out", details, message = "none left")]
    SoldOut,
    #[error_code("too_many", details, message = "fewer")]
    TooMany(u32, u32),
}

fn main() {}
