use std::rc::Rc;

use eventwire::{Io, Socket};

fn main() {
    Io::new().on::<String>("say", |socket: Socket, text| async move {
        let text = Rc::new(text);
        socket.emit("said", &*text).await?;
        eventwire::ok(())
    });
}
