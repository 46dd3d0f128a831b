//! With the members of a room: the cost of a broadcast for each of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventwire::{Config, Io, Socket};

use crate::ROUNDS;
use crate::kit::client::{Crowd, size, until};
use crate::kit::server::Server;
use crate::kit::system::thread_cpu;
use crate::kit::{median, payload, sink};
use crate::table::Question;

const ROOM: &str = "room";
const DELIVERIES: usize = 60_000;
/// Messages that are emitted before the members have their turn.
const AT_ONCE: usize = 64;
/// So many files may be open: a client and a server each.
const MOST_OVER_TCP: usize = 1_000;

pub fn measure() -> Vec<Question> {
    let note = "broadcasts of 128 bytes; in memory: members take all at once and there is no kernel";
    let title = "A delivery, by the members of the room";
    let mut question = Question::new("members", title, note, ("members", "CPU a delivery"));
    for members in [1, 10, 100, 1_000, 10_000] {
        let x = members as f64;
        question.add("one at a time, in memory", x, in_memory(members, 1));
        question.add("64 at once, in memory", x, in_memory(members, AT_ONCE));
        if members <= MOST_OVER_TCP {
            question.add("64 at once, over TCP", x, over_tcp(members));
        }
    }
    vec![question]
}

/// Broadcasts of a round.
fn emits(members: usize, at_once: usize) -> usize {
    (DELIVERIES / members).max(4).next_multiple_of(at_once)
}

async fn emit(io: &Io, times: usize, data: &str) {
    for _ in 0..times {
        io.to(ROOM).emit("news", data).await.unwrap();
    }
}

fn in_memory(members: usize, at_once: usize) -> f64 {
    let server = Server::start(Config::default(), |_| {});
    let io = server.io.clone();
    let rounds = server.run(async move {
        let (taken, data) = (Arc::default(), payload());
        for (socket, _) in sink::members(&io, members, &taken).await {
            socket.join(ROOM).await.unwrap();
        }
        let before = taken.load(Ordering::Relaxed);
        emit(&io, 1, &data).await;
        sink::settled(&taken).await;
        let bytes = taken.load(Ordering::Relaxed) - before;
        let emits = emits(members, at_once);
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut target = taken.load(Ordering::Relaxed);
            let before = thread_cpu();
            for _ in 0..emits / at_once {
                emit(&io, at_once, &data).await;
                target += bytes * at_once as u64;
                sink::until("all is delivered", || taken.load(Ordering::Relaxed) >= target).await;
            }
            rounds.push((thread_cpu() - before) as f64 / (emits * members) as f64);
        }
        rounds
    });
    median(rounds)
}

fn over_tcp(members: usize) -> f64 {
    let server = Server::start(Config::default(), |io| {
        io.on_connect(|socket: Socket| async move { socket.join(ROOM).await.map_err(Into::into) });
    });
    let crowd = Crowd::connect(server.address, members);
    until("all are there", || server.io.room_len(ROOM) == members);
    let (io, data) = (server.io.clone(), payload());
    let bytes = members as u64 * size(&server.io, members, || server.run(async move { emit(&io, 1, &data).await }));
    let mut target = bytes;
    crowd.until(target);
    let emits = emits(members, AT_ONCE);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (io, data, taken) = (server.io.clone(), payload(), crowd.taken.clone());
        let begin = target;
        target += bytes * emits as u64;
        let before = server.cpu();
        server.run(async move {
            for sent in 1..=emits / AT_ONCE {
                emit(&io, AT_ONCE, &data).await;
                sink::turn().await;
                // The clients may be behind by half of what an outbox holds; to wait costs a little, and is seldom.
                while begin + (sent * AT_ONCE).saturating_sub(512) as u64 * bytes > taken.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        crowd.until(target);
        rounds.push((server.cpu() - before) as f64 / (emits * members) as f64);
    }
    median(rounds)
}
