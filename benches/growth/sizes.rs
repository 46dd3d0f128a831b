//! With the size of a message: the cost of an echo and of a delivery, for each message and for each byte.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventwire::{Config, Io, Socket};

use crate::ROUNDS;
use crate::kit::client::{self, Client, Crowd, text_frame, until};
use crate::kit::server::Server;
use crate::kit::system::thread_cpu;
use crate::kit::{median, sink};
use crate::table::Question;

const ROOM: &str = "room";
const MEMBERS: usize = 10;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

pub fn measure() -> Vec<Question> {
    let note = "a string is echoed as the answer to a request (TCP; one in flight) and delivered to a room of 10";
    let mut messages = Question::new("sizes", "A message, by its size", note, ("bytes of payload", "CPU a message"));
    let mut bytes =
        Question::new("sizes_by_byte", "A byte, by the size of its message", note, ("bytes of payload", "CPU a byte"));
    for size in [16, 256, 4 * KIB, 64 * KIB, MIB] {
        let costs = [
            ("echo, over TCP", echo(size)),
            ("delivery, over TCP", delivery_over_tcp(size)),
            ("delivery, in memory", delivery_in_memory(size)),
        ];
        for (series, cost) in costs {
            messages.add(series, size as f64, cost);
            bytes.add(series, size as f64, cost / size as f64);
        }
    }
    vec![messages, bytes]
}

/// What allows messages of 1 MiB, and some of them to wait.
fn config() -> Config {
    let mut config = Config::default();
    config.max_message = 2 * MIB;
    config.outbox.bytes = 64 * MIB;
    config
}

/// Messages of a round: enough to be timed, few enough to be soon over.
fn count(size: usize) -> usize {
    (32 * MIB / size).clamp(16, 2_000)
}

/// Messages that are emitted at once.
const AT_ONCE: usize = 8;

fn echo(size: usize) -> f64 {
    let server = Server::start(config(), |io| {
        io.on::<String>("echo", |_: Socket, text| async move { text });
    });
    let mut client = Client::connect(server.address);
    let request = text_frame(&format!(r#"{{"event":"echo","id":1,"data":"{}"}}"#, "x".repeat(size)));
    let mut answer = Vec::new();
    let rounds = (0..ROUNDS).map(|_| {
        let before = server.cpu();
        for _ in 0..count(size) {
            client.write(&request);
            client.read_into(&mut answer);
            assert!(answer.len() > size, "{}", String::from_utf8_lossy(&answer));
        }
        (server.cpu() - before) as f64 / count(size) as f64
    });
    median(rounds.collect())
}

async fn emit(io: &Io, times: usize, data: &str) {
    for _ in 0..times {
        io.to(ROOM).emit("news", data).await.unwrap();
    }
}

fn delivery_over_tcp(size: usize) -> f64 {
    let server = Server::start(config(), |io| {
        io.on_connect(|socket: Socket| async move { socket.join(ROOM).await.map_err(Into::into) });
    });
    let crowd = Crowd::connect(server.address, MEMBERS);
    until("all are there", || server.io.room_len(ROOM) == MEMBERS);
    let data: Arc<str> = "x".repeat(size).into();
    let (io, own) = (server.io.clone(), data.clone());
    let bytes =
        MEMBERS as u64 * client::size(&server.io, MEMBERS, || server.run(async move { emit(&io, 1, &own).await }));
    let mut target = bytes;
    crowd.until(target);
    let bursts = (count(size) / AT_ONCE) as u64;
    let rounds = (0..ROUNDS).map(|_| {
        let (io, data, taken) = (server.io.clone(), data.clone(), crowd.taken.clone());
        let begin = target;
        target += bursts * AT_ONCE as u64 * bytes;
        let before = server.cpu();
        server.run(async move {
            for sent in 1..=bursts {
                emit(&io, AT_ONCE, &data).await;
                sink::turn().await;
                while begin + sent.saturating_sub(4) * AT_ONCE as u64 * bytes > taken.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        crowd.until(target);
        (server.cpu() - before) as f64 / (bursts as usize * AT_ONCE * MEMBERS) as f64
    });
    median(rounds.collect())
}

fn delivery_in_memory(size: usize) -> f64 {
    let server = Server::start(config(), |_| {});
    let io = server.io.clone();
    let rounds = server.run(async move {
        let (taken, data) = (Arc::default(), "x".repeat(size));
        for (socket, _) in sink::members(&io, MEMBERS, &taken).await {
            socket.join(ROOM).await.unwrap();
        }
        let before = taken.load(Ordering::Relaxed);
        emit(&io, AT_ONCE, &data).await;
        sink::settled(&taken).await;
        let bytes = taken.load(Ordering::Relaxed) - before;
        let bursts = count(size) / AT_ONCE;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut target = taken.load(Ordering::Relaxed);
            let before = thread_cpu();
            for _ in 0..bursts {
                emit(&io, AT_ONCE, &data).await;
                target += bytes;
                sink::until("all is delivered", || taken.load(Ordering::Relaxed) >= target).await;
            }
            rounds.push((thread_cpu() - before) as f64 / (bursts * AT_ONCE * MEMBERS) as f64);
        }
        rounds
    });
    median(rounds)
}
