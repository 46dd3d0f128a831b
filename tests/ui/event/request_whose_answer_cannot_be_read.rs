use eventwire::{Event, Socket};
use serde::Serialize;

#[derive(Serialize, Event)]
#[event("vote", ack = Vote)]
struct Motion {
    text: String,
}

#[derive(Serialize)]
struct Vote {
    is_for: bool,
}

async fn ask(socket: Socket) -> eventwire::Result<()> {
    let vote = socket.request_event(&Motion { text: String::new() }).await?;
    assert!(vote.is_for);
    let vote: Vote = socket.request("vote", "lunch").await?;
    assert!(vote.is_for);
    Ok(())
}

fn main() {}
