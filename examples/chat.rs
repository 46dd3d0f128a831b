//! A chat: a gateway, events as types, rooms, acknowledgements.
//!
//! ```sh
//! cargo run --example chat [-- ADDRESS]    # then open http://127.0.0.1:3000/ in two tabs
//! ```

use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use eventwire::{Event, EventError, Ext, IntoAck, Io, Socket, gateway};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const PAGE: &str = include_str!("chat.html");

/// Who a socket is, once it has told.
struct Name(String);

#[derive(Deserialize, Event)]
#[event("enter", ack = usize)]
struct Enter {
    room: String,
    name: String,
}

#[derive(Deserialize, Event)]
#[event("say", ack = Receipt)]
struct Say {
    room: String,
    text: String,
}

#[derive(Serialize, IntoAck)]
struct Receipt {
    delivered: usize,
}

#[derive(Serialize, Event)]
#[event("said")]
struct Said<'a> {
    name: &'a str,
    text: &'a str,
}

#[derive(EventError)]
enum Refused {
    #[error_code("bad_name", message = "a name has 1 to 30 characters")]
    BadName,
    #[error_code("nameless", message = "enter a room first")]
    Nameless,
    #[error_code("forbidden", message = "you are not in this room")]
    NotThere,
}

struct Chat;

#[gateway]
impl Chat {
    #[on]
    async fn enter(&self, socket: Socket, Enter { room, name }: Enter) -> eventwire::Result<usize> {
        let (room, name) = (format!("chat:{room}"), name.trim().to_owned());
        if name.is_empty() || name.chars().count() > 30 {
            return Err(Refused::BadName.into());
        }
        socket.join(&room).await?;
        socket.extensions().insert(Name(name.clone()));
        socket.to(&room).emit("entered", &name).await?;
        self.tell_members(socket.io(), &room).await
    }

    /// What it returns is the acknowledgement.
    #[on]
    async fn say(&self, socket: Socket, Say { room, text }: Say, me: Option<Ext<Name>>) -> eventwire::Result<Receipt> {
        let Ext(me) = me.ok_or(Refused::Nameless)?;
        let room = format!("chat:{room}");
        if !socket.rooms().contains(&room) {
            return Err(Refused::NotThere.into());
        }
        let delivered = socket.to(&room).emit_event(&Said { name: &me.0, text: &text }).await?;
        Ok(Receipt { delivered })
    }

    /// For those who have told their name: the others have not been anywhere.
    #[disconnect]
    async fn left(&self, socket: Socket, Ext(me): Ext<Name>) {
        for room in socket.rooms() {
            // Nobody may be left to hear it.
            let _ = socket.io().to(&room).emit("left", &me.0).await;
            let _ = self.tell_members(socket.io(), &room).await;
        }
    }

    async fn tell_members(&self, io: &Io, room: &str) -> eventwire::Result<usize> {
        let members = io.room_len(room);
        io.to(room).emit("members", members).await?;
        Ok(members)
    }
}

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let io = Io::new();
    io.gateway(Chat)?;

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
