//! Envelopes, and nothing else: from bytes to a packet, from a packet to a frame.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::Throughput;
use eventwire::protocol::{Json, Malformed, Memory, Outgoing, Packet};
use eventwire::{Dialect, Frames, Io, Socket};

use crate::peer::{Peer, Tally, quiet};
use crate::rig::{Clock, Criterion, Rig, bursts, payload, server};

const SIZES: [(&str, usize); 2] = [("128 B", 128), ("16 KiB", 16 * 1024)];

/// What the server keeps of a buffer from one message to the next: beyond it, growing one would be measured.
const BUFFER: usize = 48 * 1024;

/// Messages of one emit, at most: timing them costs little beside them.
const MOST: usize = 256;

/// JSON, but that each message is written many times, and timed: only the server makes [`Frames`].
#[derive(Clone, Default)]
struct Timed {
    times: Arc<AtomicU64>,
    in_room: bool,
    spent: Arc<Mutex<Duration>>,
}

impl Dialect for Timed {
    fn subprotocol(&self) -> &str {
        "timed"
    }

    fn path(&self) -> Option<&str> {
        Some("/timed")
    }

    fn decode(&self, message: Bytes, max_depth: usize) -> Result<Packet, Malformed> {
        Json.decode(message, max_depth)
    }

    fn encode(&self, packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>) {
        if packet.event == "connected" {
            return Json.encode(packet, memory, frames);
        }
        let (room, seq) = if self.in_room { (Some("process:build-1"), Some(123_456)) } else { (None, None) };
        let packet = Outgoing { room, seq, ..*packet };
        // The server's clock, and not the thread's: to ask that one is a call of the system.
        let begun = Instant::now();
        for _ in 0..self.times.load(Ordering::Relaxed) {
            Json.encode(black_box(&packet), memory, frames);
        }
        *self.spent.lock().unwrap() += begun.elapsed();
    }
}

/// What encoding takes, alone and as a part of an emit.
pub(crate) fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for (name, size) in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for (name, in_room) in [(name.to_owned(), false), (format!("{name}, with its room and number"), true)] {
            let timed = Timed { in_room, ..Timed::default() };
            Rig::new(connect(timed)).bench(&mut group, &name, move |(socket, tally, timed), iterations| async move {
                *timed.spent.lock().unwrap() = Duration::ZERO;
                let data = payload(size);
                for n in bursts(iterations, (BUFFER / size).min(MOST) as u64) {
                    timed.times.store(n, Ordering::Relaxed);
                    let due = tally.count() + n;
                    socket.try_emit("message", &data).unwrap();
                    tally.reach(due).await;
                }
                *timed.spent.lock().unwrap()
            });
        }
        // The call alone: the payload written, encoded, and queued for the peer. What its connection does then is not timed.
        let alone = async {
            let tally = Tally::new();
            (Peer::connect(&server(), &tally).await.1, tally)
        };
        Rig::new(alone).bench(
            &mut group,
            &format!("{name}, by an emit"),
            move |(socket, tally), iterations| async move {
                let data = "x".repeat(size - 2);
                let mut spent = Duration::ZERO;
                for n in bursts(iterations, 128) {
                    let due = tally.count() + n;
                    let clock = Clock::start();
                    for _ in 0..n {
                        socket.try_emit("message", &data).unwrap();
                    }
                    spent += clock.elapsed();
                    tally.reach(due).await;
                }
                spent
            },
        );
    }
    group.finish();
}

async fn connect(timed: Timed) -> (Socket, Arc<Tally>, Timed) {
    let io: Io = Io::builder().config(quiet()).dialect(timed.clone()).build().unwrap();
    let tally = Tally::new();
    let (_peer, socket) = Peer::connect_at(&io, &tally, "/timed").await;
    (socket, tally, timed)
}

pub(crate) fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, size) in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let data = payload(size);
        let event = format!(r#"{{"event":"message","data":{data}}}"#);
        let request = format!(r#"{{"event":"message","id":1234,"data":{data}}}"#);
        for (name, text) in [(name.to_owned(), event), (format!("{name}, a request"), request)] {
            let message = Bytes::from(text);
            let packet = Json.decode(message.clone(), 128).unwrap();
            assert_eq!((packet.event(), packet.data()), ("message", data.get().as_bytes()));
            group.bench_function(name, |bencher| {
                bencher.iter(|| Json.decode(black_box(message.clone()), 128).unwrap());
            });
        }
    }
    let broken = Bytes::from(format!(r#"{{"event":"message","data":{}"#, payload(128)));
    assert!(Json.decode(broken.clone(), 128).is_err());
    group.throughput(Throughput::Bytes(128));
    group.bench_function("128 B, broken off", |bencher| {
        bencher.iter(|| Json.decode(black_box(broken.clone()), 128).unwrap_err());
    });
    group.finish();
}
