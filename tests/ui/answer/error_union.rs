use eventwire::EventError;

#[derive(EventError)]
#[error_code("sold_out")]
union BuyError {
    left: u8,
    wanted: u8,
}

fn main() {}
