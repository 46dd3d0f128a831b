//! Sticky notes that several people move, edit, colour, add and remove at once. Many boards, each a room.
//!
//! ```sh
//! cargo run --release --example board [-- --listen ADDRESS] [--ttl SECONDS]
//! ```
//!
//! Open the address in two tabs; what is behind its `#` names the board. A board's room keeps 64 operations, and a snapshot in
//! which those before them are folded. So a late joiner gets the board and the latest operations; a page that lost its
//! connection goes on where it was; one that fell behind, or was gone for longer than that, gets the board anew; and the
//! server's memory is the boards, not their histories. The order of the room's `seq` is the one that all apply.
//!
//! A board that nobody has been at for an hour is gone.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use eventwire::{DisconnectReason, Error, History, Io, Socket, SocketId, code};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use self::notes::{Board, Glimpse, LIMITS, Limits, Operation, require};

mod notes;

/// The script that it shares with another page stands in the place of a mark: it needs nothing but itself.
static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("page.html").replace("/* wire.js */", include_str!("../wire.js")));

/// How many operations are remembered by their ids.
const REMEMBERED: usize = 256;

/// A board as the server validates against it, beside the room, which tells it.
#[derive(Default)]
struct Live {
    /// The life of the room that it belongs to.
    epoch: Option<Arc<str>>,
    board: Board,
    done: VecDeque<(String, u64)>,
    people: Vec<Present>,
}

#[derive(Clone, Serialize)]
struct Present {
    id: SocketId,
    name: String,
}

/// The boards that there are, by their rooms.
#[derive(Clone, Default)]
struct Boards(Arc<Mutex<HashMap<String, Arc<Mutex<Live>>>>>);

/// The board that a socket is at.
#[derive(Clone)]
struct Seat {
    room: String,
    /// A room beside it, without history: who is there is told as it is now.
    people: String,
    live: Arc<Mutex<Live>>,
}

#[derive(Deserialize)]
struct Enter {
    board: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entered {
    limits: Limits,
    ttl_seconds: u64,
}

#[derive(Serialize)]
struct Seen {
    who: SocketId,
    #[serde(flatten)]
    glimpse: Glimpse,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Boards {
    fn sit(&self, io: &Io, board: &str) -> Seat {
        let room = format!("board:{board}");
        let mut boards = lock(&self.0);
        // What the rooms have forgotten is forgotten here.
        boards.retain(|room, live| Arc::strong_count(live) > 1 || io.room(room).epoch().is_some());
        let live = boards.entry(room.clone()).or_default().clone();
        Seat { room, people: format!("people:{board}"), live }
    }
}

impl Seat {
    fn of(socket: &Socket) -> eventwire::Result<Arc<Seat>> {
        socket.extensions().get::<Seat>().ok_or_else(|| Error::new("no_seat", "enter a board first"))
    }

    /// Tells all at the board who is there. Within the lock, so that the last list told is the last one.
    async fn tell(&self, io: &Io, change: impl FnOnce(&mut Vec<Present>)) -> eventwire::Result<()> {
        let telling = {
            let mut live = lock(&self.live);
            change(&mut live.people);
            io.to(&self.people).emit("people", &live.people)
        };
        telling.await?;
        Ok(())
    }
}

async fn enter(
    socket: Socket,
    Enter { board, name }: Enter,
    boards: Boards,
    ttl: Duration,
) -> eventwire::Result<Entered> {
    let is_board = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    require((1..=64).contains(&board.len()) && board.bytes().all(is_board), "board", || {
        "1 to 64 letters, digits and `_.-`".into()
    })?;
    let name = name.trim().to_owned();
    require((1..=30).contains(&name.chars().count()), "name", || "1 to 30 characters".into())?;
    leave(&socket).await?;
    let seat = boards.sit(socket.io(), &board);
    socket.join(&seat.people).await?;
    socket.extensions().insert(seat.clone());
    seat.tell(socket.io(), |people| people.push(Present { id: socket.id(), name })).await?;
    Ok(Entered { limits: LIMITS, ttl_seconds: ttl.as_secs() })
}

async fn leave(socket: &Socket) -> eventwire::Result<()> {
    let Some(seat) = socket.extensions().remove::<Seat>() else { return Ok(()) };
    socket.leave(&seat.people);
    seat.tell(socket.io(), |people| people.retain(|present| present.id != socket.id())).await
}

/// Checks, applies and tells one operation. The answer is its number in the room.
async fn operate(socket: Socket, operation: Operation) -> eventwire::Result<u64> {
    let (io, seat) = (socket.io(), Seat::of(&socket)?);
    if !socket.rooms().contains(&seat.room) {
        return Err(Error::new(code::FORBIDDEN, format!("subscribe to `{}` first", seat.room)));
    }
    let (telling, seq) = {
        // `emit` puts it into the room at once: within the lock, the room's order is the order in which it was validated.
        let mut live = lock(&seat.live);
        let epoch = io.room(&seat.room).epoch();
        if live.epoch != epoch {
            // The room was forgotten and made anew.
            (live.epoch, live.board) = (epoch, Board::default());
            live.done.clear();
        }
        if let Some((_, seq)) = live.done.iter().find(|(id, _)| *id == operation.id) {
            return Ok(*seq);
        }
        live.board.check(&operation)?;
        let telling = io.to(&seat.room).emit("operation", &operation);
        let seq = io.room(&seat.room).last_seq();
        live.board.apply(&operation);
        live.done.truncate(REMEMBERED - 1);
        live.done.push_front((operation.id, seq));
        (telling, seq)
    };
    telling.await?;
    Ok(seq)
}

/// Told to who keeps up at this moment: it is not kept, even in a room that remembers.
async fn glimpse(socket: Socket, glimpse: Glimpse) -> eventwire::Result<()> {
    let seat = Seat::of(&socket)?;
    glimpse.check()?;
    socket.to(&seat.room).volatile().emit("glimpse", Seen { who: socket.id(), glimpse }).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> eventwire::Result<()> {
    let (listen, ttl) = arguments()?;
    let (io, boards) = (Io::new(), Boards::default());
    let history = History::messages(64).ttl(ttl).snapshot("board", Board::default(), Board::fold);
    io.rooms("board:*").public().history(history);
    io.on::<Enter>("enter", move |socket, data| enter(socket, data, boards.clone(), ttl));
    io.on("operation", operate);
    io.on("glimpse", glimpse);
    io.on_disconnect(|socket: Socket, _: DisconnectReason| async move {
        // Nobody may be left to hear it.
        let _ = leave(&socket).await;
    });

    let app = Router::new().route("/", get(async || Html(PAGE.as_str()))).route_service("/ws", io.service());
    let listener = TcpListener::bind(listen).await?;
    println!("open http://{}/", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    io.shutdown(Duration::from_secs(2)).await;
    Ok(())
}

fn arguments() -> eventwire::Result<(SocketAddr, Duration)> {
    let usage = |problem| Error::new("usage", format!("{problem}; usage: board [--listen ADDRESS] [--ttl SECONDS]"));
    let (mut listen, mut ttl) = (SocketAddr::from(([127, 0, 0, 1], 3000)), 3600);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| usage(format!("`{name}` needs a value")))?;
        match name.as_str() {
            "--listen" => listen = value.parse().map_err(|error| usage(format!("`{name} {value}`: {error}")))?,
            "--ttl" => ttl = value.parse().map_err(|error| usage(format!("`{name} {value}`: {error}")))?,
            _ => return Err(usage(format!("there is no `{name}`"))),
        }
    }
    Ok((listen, Duration::from_secs(ttl)))
}
