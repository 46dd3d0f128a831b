//! The example `chat` without macros, for `benches/compile.sh`, which compares how long the two take to compile.

use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use eventwire::{DisconnectReason, Error, Io, Socket};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const PAGE: &str = include_str!("../../examples/chat.html");

/// Who a socket is, once it has told.
#[derive(Clone)]
struct Name(String);

#[derive(Deserialize)]
struct Enter {
    room: String,
    name: String,
}

#[derive(Deserialize)]
struct Say {
    room: String,
    text: String,
}

#[derive(Serialize)]
struct Said<'a> {
    name: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

/// Tells a room who is in it now.
async fn tell_members(io: &Io, room: &str) -> eventwire::Result<()> {
    io.to(room).emit("members", io.room_len(room)).await?;
    Ok(())
}

async fn enter(socket: Socket, Enter { room, name }: Enter) -> eventwire::Result<usize> {
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 30 {
        return Err(Error::new("bad_name", "a name has 1 to 30 characters"));
    }
    socket.join(format!("chat:{room}")).await?;
    socket.extensions().insert(Name(name.clone()));
    let room = format!("chat:{room}");
    socket.to(&room).emit("entered", &name).await?;
    tell_members(socket.io(), &room).await?;
    Ok(socket.io().room_len(&room))
}

/// What it returns is the acknowledgement.
async fn say(socket: Socket, Say { room, text }: Say) -> eventwire::Result<Receipt> {
    let room = format!("chat:{room}");
    let name = socket.extensions().get::<Name>().ok_or_else(|| Error::new("nameless", "enter a room first"))?;
    if !socket.rooms().contains(&room) {
        return Err(Error::new("forbidden", "you are not in this room"));
    }
    let delivered = socket.to(&room).emit("said", Said { name: &name.0, text: &text }).await?;
    Ok(Receipt { delivered })
}

async fn left(socket: Socket, _why: DisconnectReason) {
    let Some(name) = socket.extensions().get::<Name>() else { return };
    for room in socket.rooms() {
        // Nobody may be left to hear it.
        let _ = socket.io().to(&room).emit("left", &name.0).await;
        let _ = tell_members(socket.io(), &room).await;
    }
}

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let io = Io::new();
    io.on("enter", enter);
    io.on("say", say);
    io.on_disconnect(left);

    let router = Router::new().route("/", get(async || Html(PAGE))).route_service("/ws", io.service());
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("open http://{}/", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    io.shutdown(Duration::from_secs(2)).await;
    Ok(())
}
