use eventwire::{Auth, Socket, gateway};

struct Chat;

struct User {
    name: String,
}

#[gateway]
impl Chat {
    #[on("who")]
    async fn who(&self, _socket: Socket, _user: Auth<User>) {}
}

fn main() {}
