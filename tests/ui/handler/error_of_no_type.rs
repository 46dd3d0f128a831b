use eventwire::{Io, Socket};

fn main() {
    Io::new().on::<String>("say", |socket: Socket, text| async move {
        socket.emit("said", &text).await?;
        Ok(())
    });
}
