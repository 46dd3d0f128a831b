use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code("sold_out")]
    SoldOut,
    #[error_code("too_many")]
    TooMany,
}

#[derive(EventError)]
enum PayError {
    #[error_code("internal", message = "try again later", logged)]
    Database(String),
}

fn main() {}
