//! A client's book-keeping of one room: what it must get next, and what it was told is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventwire::{History, Io};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::*;

/// Follows a room with history, and panics at the first frame that is not the next one.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    pub room: String,
    pub epoch: String,
    /// The number that comes next. After an `epoch` gap, any may.
    pub next: Option<u64>,
    /// How many messages it got.
    pub got: u64,
    /// What it was told is missing.
    pub gaps: Vec<(u64, u64, String)>,
    pub snapshots: u64,
}

impl Follower {
    /// By the acknowledgement of a subscription.
    pub fn begun(ack: &Value) -> Follower {
        let text = |key: &str| ack[key].as_str().unwrap_or_else(|| panic!("{key}: {ack}")).to_owned();
        let (seq, from) = (ack["seq"].as_u64().unwrap(), ack["from"].as_u64().unwrap());
        assert!((1..=seq + 1).contains(&from), "it begins with what is there, or with the next: {ack}");
        Follower { room: text("room"), epoch: text("epoch"), next: Some(from), ..Follower::default() }
    }

    /// Begins earlier than acknowledged: the rest is to be told by a `gap` or a snapshot.
    pub fn behind(self, seq: u64) -> Follower {
        Follower { next: Some(seq + 1), ..self }
    }

    /// Whether the frame is of this room. Panics when it is not what comes next.
    pub fn take(&mut self, frame: &Value) -> bool {
        if frame["event"] == "gap" && frame["data"]["room"] == *self.room {
            self.miss(&frame["data"]);
            return true;
        }
        if frame["room"] != *self.room {
            return false;
        }
        let seq = frame["seq"].as_u64().unwrap_or_else(|| panic!("a number: {frame}"));
        if frame["snapshot"] == true {
            assert!(self.next.is_none_or(|next| next <= seq), "{self:?} was ahead of {frame}");
            self.snapshots += 1;
        } else {
            assert!(self.next.is_none_or(|next| next == seq), "{self:?} got {frame}");
            self.got += 1;
        }
        self.next = Some(seq + 1);
        true
    }

    fn miss(&mut self, gap: &Value) {
        let epoch = gap["epoch"].as_str().unwrap();
        if gap["reason"] == "epoch" {
            assert_eq!((&gap["from"], &gap["to"]), (&Value::Null, &Value::Null), "{gap}");
            (self.epoch, self.next) = (epoch.to_owned(), None);
            return;
        }
        assert_eq!(epoch, self.epoch, "{gap}");
        let (from, to) = (gap["from"].as_u64().unwrap(), gap["to"].as_u64().unwrap());
        assert!(self.next.is_none_or(|next| next == from) && to >= from, "{self:?} missed {gap}");
        self.gaps.push((from, to, gap["reason"].as_str().unwrap().to_owned()));
        self.next = Some(to + 1);
    }

    /// Reads until this number has come.
    pub async fn read_to(&mut self, client: &mut Client, last: u64) {
        while self.next.is_none_or(|next| next <= last) {
            let frame = client.next().await;
            assert!(self.take(&frame), "of {}, or nothing: {frame}", self.room);
        }
    }

    /// Reads so many messages.
    pub async fn read(&mut self, client: &mut Client, messages: u64) {
        let all = self.got + messages;
        while self.got < all {
            let frame = client.next().await;
            assert!(self.take(&frame), "of {}, or nothing: {frame}", self.room);
        }
    }
}

/// Subscribes and follows.
pub async fn follow(client: &mut Client, data: Value) -> Follower {
    let since = data["since"].as_u64();
    let ack = client.request("subscribe", data).await.unwrap();
    let follower = Follower::begun(&ack);
    since.map_or(follower.clone(), |seq| follower.behind(seq))
}

/// A server whose rooms `log*` keep this, and whose rooms `plain*` keep nothing.
pub async fn server(history: History) -> Server {
    let server = Server::new().await;
    rules(&server.io, history);
    server
}

pub fn rules(io: &Io, history: History) {
    io.rooms("log*").public().history(history);
    io.rooms("plain*").public();
}

/// Emits `n` with as many numbers, from the room's next on.
pub async fn publish(io: &Io, room: &str, messages: u64) {
    for _ in 0..messages {
        io.to(room).emit("n", io.room(room).last_seq() + 1).await.unwrap();
    }
}

/// What has come by now: up to the answer to a ping.
pub async fn arrived(client: &mut Client) -> Vec<Value> {
    let mark = json!(uuid());
    client.send("ping", mark.clone()).await;
    let mut frames = Vec::new();
    loop {
        let frame = client.next().await;
        if frame["event"] == "pong" && frame["data"] == mark {
            return frames;
        }
        frames.push(frame);
    }
}

fn uuid() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The numbers of messages.
pub fn seqs(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["seq"].as_u64().unwrap_or_else(|| panic!("no message: {frame}"))).collect()
}

/// Publishes without a pause until it is stopped.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Publisher {
    pub fn start(io: &Io, room: &'static str) -> Publisher {
        let (io, stop) = (io.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut n = 0;
            while !stopped.load(Ordering::Relaxed) {
                n += 1;
                io.to(room).emit("n", n).await.unwrap();
                tokio::task::yield_now().await;
            }
            n
        });
        Publisher { stop, task }
    }

    /// Returns how many it has published.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}
