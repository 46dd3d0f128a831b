use eventwire::EventError;

#[derive(EventError)]
enum BuyError {
    #[error_code(transparent)]
    Other(eventwire::Error, u32),
    #[error_code(transparent)]
    Nothing,
    #[error_code("other", transparent)]
    Both(eventwire::Error),
}

fn main() {}
