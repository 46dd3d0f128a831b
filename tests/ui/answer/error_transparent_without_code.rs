use eventwire::EventError;

struct DatabaseError;

#[derive(EventError)]
enum BuyError {
    #[error_code(transparent)]
    Database(DatabaseError),
}

fn main() {}
