//! What the conformance server answers, exactly.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventwire::{Error, History, Io, Logged, Pace, RequestError, Socket, SocketId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

type Raw = Box<RawValue>;

/// After so many lines a burst lets others run.
const BURST_TURN: u32 = 64;

#[derive(Deserialize)]
struct Typed {
    n: u32,
    s: String,
}

#[derive(Serialize)]
struct TypedAnswer {
    n: u32,
    s: String,
}

#[derive(Deserialize)]
struct Publish {
    room: String,
    payload: Raw,
}

#[derive(Deserialize)]
struct Burst {
    room: String,
    lines: u32,
    bytes: usize,
}

#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

#[derive(Deserialize)]
struct Fail {
    code: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask {
    event: String,
    #[serde(default)]
    data: Value,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

#[derive(Deserialize)]
struct Tell {
    id: SocketId,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Kick {
    event: String,
    #[serde(default)]
    data: Value,
}

#[derive(Serialize)]
struct WhoAmI {
    id: SocketId,
    rooms: Vec<String>,
    user: Option<String>,
}

/// How many `order` events of a socket have been handled.
#[derive(Default)]
struct Handled(AtomicU64);

pub(crate) fn register(io: &Io, yields: bool) {
    if yields {
        yielding_echoes(io);
    } else {
        echoes(io);
    }
    typed(io);
    rooms(io);
    time(io);
    failures(io);
    sockets(io);
}

fn echoes(io: &Io) {
    io.on::<Raw>("echo", |socket: Socket, data| async move { socket.emit("echo", data).await });
    io.on::<Raw>("echo_ack", async |_, data| data);
}

/// The same by handlers that are not done when they are first polled.
fn yielding_echoes(io: &Io) {
    io.on::<Raw>("echo", |socket: Socket, data| async move {
        tokio::task::yield_now().await;
        socket.emit("echo", data).await
    });
    io.on::<Raw>("echo_ack", async |_, data| {
        tokio::task::yield_now().await;
        data
    });
}

fn typed(io: &Io) {
    io.on::<Typed>("typed", async |_, Typed { n, s }| {
        let n = n.checked_add(1).ok_or_else(|| Error::new("overflow", "`n` is the largest u32"))?;
        eventwire::ok(TypedAnswer { n, s: s.chars().rev().collect() })
    });
}

/// What numbers that are no longer kept have come to.
#[derive(Clone, Default, Serialize)]
struct Sum {
    count: u64,
    #[serde(serialize_with = "whole_if_it_is")]
    sum: f64,
}

/// 6 rather than 6.0.
fn whole_if_it_is<S: serde::Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

impl Sum {
    fn add(&mut self, message: &Logged) {
        if let Ok(number) = message.decode::<f64>() {
            self.count += 1;
            self.sum += number;
        }
    }
}

fn rooms(io: &Io) {
    io.rooms("log:*").public().history(History::bytes(256 * 1024));
    io.rooms("tail:*").public().history(History::messages(8).live_only());
    io.rooms("sum:*").public().history(History::messages(8).snapshot("state", Sum::default(), Sum::add));
    io.on::<Room>("clear", |socket: Socket, Room { room }| async move { socket.io().room(&room).clear() });
    io.on::<Publish>("publish", |socket: Socket, Publish { room, payload }| async move {
        socket.io().to(&room).emit("message", payload).await
    });
    io.on::<Burst>("burst", |socket: Socket, Burst { room, lines, bytes }| async move {
        if bytes < 30 {
            return Err(Error::new("too_short", "`bytes` is at least 30"));
        }
        let pace = Pace::slowest(256 * 1024).at_most(Duration::from_secs(30));
        let (mut line, rest) = (String::with_capacity(bytes), format!("{:016}{}", 0, "x".repeat(bytes - 30)));
        for n in 0..lines {
            line.clear();
            // Writing to a text does not fail.
            let _ = write!(line, "@@0000{n:08x}");
            line.push_str(&rest);
            socket.io().to(&room).paced(pace).emit("message", &line).await?;
            if n % BURST_TURN == BURST_TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(serde_json::json!({ "lines": lines }))
    });
    io.on::<Room>("join", |socket: Socket, Room { room }| async move { socket.join(room).await });
    io.on::<Room>("leave", |socket: Socket, Room { room }| async move { socket.leave(room) });
    io.on::<Publish>("except", |socket: Socket, Publish { room, payload }| async move {
        socket.to(&room).emit("message", payload).await
    });
}

fn time(io: &Io) {
    io.on::<Sleep>("sleep", async |_, Sleep { ms }| tokio::time::sleep(Duration::from_millis(ms)).await);
    io.on::<Sleep>("sleep_concurrent", async |_, Sleep { ms }| tokio::time::sleep(Duration::from_millis(ms)).await)
        .concurrent(64);
    io.on::<Raw>("order", |socket: Socket, _| async move {
        let pause = Duration::from_micros(u64::from(random()) % 2000);
        tokio::time::sleep(pause).await;
        let handled = socket.extensions().get_or_insert_with(Handled::default);
        handled.0.fetch_add(1, Ordering::Relaxed) + 1
    });
}

/// Enough for a pause of random length.
fn random() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8) as u32
}

fn failures(io: &Io) {
    io.on::<Fail>("fail", async |_, Fail { code, message }| Err::<(), _>(Error::new(code, message)));
    io.on::<Raw>("panic", async |_, _| -> () { panic!("as asked for") });
}

fn sockets(io: &Io) {
    io.on::<Ask>("ask", |socket: Socket, Ask { event, data, timeout_ms }| async move {
        let mut request = socket.request::<Value>(&event, data);
        if let Some(ms) = timeout_ms {
            request = request.timeout(Duration::from_millis(ms));
        }
        request.await.map_err(|error: RequestError| Error::from(error))
    });
    io.on::<Raw>("whoami", |socket: Socket, _| async move {
        let user = Some(socket.handshake().user()).filter(|user| !user.is_empty()).map(str::to_owned);
        eventwire::ok(WhoAmI { id: socket.id(), rooms: socket.rooms(), user })
    });
    io.on::<Tell>("tell", |socket: Socket, Tell { id, data }| async move {
        let other = socket.io().socket(id).ok_or_else(|| Error::new("not_found", "no such socket"))?;
        other.emit("told", data).await.map_err(Error::from)
    });
    io.on::<Kick>("kick", |socket: Socket, Kick { event, data }| async move {
        socket.emit(&event, data).await?;
        socket.disconnect();
        eventwire::ok(())
    });
    io.on::<Raw>("stats", |socket: Socket, _| async move { eventwire::ok(socket.io().stats()) });
}
