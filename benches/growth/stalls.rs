//! Whether sockets in a thousand rooms stall others: how long the echo of another socket takes, and how long the only worker is away
//! at a time, while they join, leave and disconnect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventwire::{Config, Io, Socket};
use tokio::task::yield_now;

use crate::kit::client::{Client, text_frame};
use crate::kit::server::Server;
use crate::kit::system::thread_cpu;
use crate::kit::{percentile, sink};
use crate::table::Question;

const ROOMS: usize = 1_000;
/// Each room has ten of them.
const RESIDENTS: usize = 100;
const MEMBERS: usize = 10;
const ECHOES: usize = 2_000;
const EVERY: Duration = Duration::from_millis(1);
/// CPU time for which the turns of the worker are watched.
const WATCHED: u64 = 1_500_000_000;

/// What goes on beside.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// All rooms joined at a stretch, then all left.
    JoinAndLeave,
    /// All rooms joined, few at a stretch, then the socket is gone.
    Disconnect,
    /// By clients over TCP: `subscribe` and `unsubscribe` with lists of all rooms, and an end without farewell.
    Clients,
}

pub fn measure() -> Vec<Question> {
    let title = "Stalls: another socket, while sockets join, leave and disconnect from 1,000 rooms again and again";
    println!("{title}\n{}", "=".repeat(title.len()));
    println!(
        "one worker; 1,000 rooms of 10 members in memory; an echo over TCP every 1 ms (time on the clock, at the client;"
    );
    println!(
        "the machine's other work is in it), and how long the worker is away at a time (its CPU time, in turns)\n"
    );
    println!("{:34}{:>36}{:>36}", "", "echo, microseconds", "turn, microseconds of CPU");
    let heads = ["p50", "p99", "p99.9", "max", "p50", "p99", "p99.9", "max", "cycles/s"];
    println!("{:34}{}", "beside it", heads.map(|head| format!("{head:>9}")).concat());
    let all = [
        ("nothing", Beside::Nothing),
        ("join() and leave() at a stretch", Beside::JoinAndLeave),
        ("joins in tens, then disconnects", Beside::Disconnect),
        ("clients: subscribe, leave, vanish", Beside::Clients),
    ];
    for (name, beside) in all {
        let (mut echoes, mut turns, cycles) = (Vec::new(), Vec::new(), AtomicU64::new(0));
        let begun = Instant::now();
        with(beside, &cycles, |server| echoes = self::echoes(server));
        let rate = cycles.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        with(beside, &cycles, |server| turns = self::turns(server));
        let figures = [&mut echoes, &mut turns].map(|values| {
            values.sort_by(f64::total_cmp);
            [50.0, 99.0, 99.9, 100.0].map(|percent| format!("{:>9.1}", percentile(values, percent))).concat()
        });
        println!("{name:34}{}{rate:>9.0}", figures.concat());
    }
    println!();
    Vec::new()
}

/// Measures with a server that has something else to do.
fn with(beside: Beside, cycles: &AtomicU64, measure: impl FnOnce(&Server)) {
    let server = Server::start(Config::default(), |io| {
        io.rooms("room:*").public();
        io.on::<u64>("echo", |_: Socket, number| async move { number });
    });
    let names: Arc<[String]> = (0..ROOMS).map(|room| format!("room:{room:04}")).collect();
    let (io, own) = (server.io.clone(), names.clone());
    server.run(async move {
        let residents = sink::members(&io, RESIDENTS, &Arc::default()).await;
        for (index, (socket, _)) in residents.iter().cycle().take(ROOMS * MEMBERS).enumerate() {
            socket.join(&own[index / MEMBERS]).await.unwrap();
        }
    });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if beside == Beside::Clients {
            scope.spawn(|| clients(&server, &names, cycles, &is_over));
        } else if beside != Beside::Nothing {
            let (io, names) = (server.io.clone(), names.clone());
            let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
            let (count, ends) = (done.clone(), stop.clone());
            let task = scope.spawn(|| server.run(async move { sockets(&io, &names, beside, &count, &ends).await }));
            measure(&server);
            stop.store(true, Ordering::Relaxed);
            task.join().unwrap();
            cycles.fetch_add(done.load(Ordering::Relaxed), Ordering::Relaxed);
            return;
        }
        measure(&server);
        is_over.store(true, Ordering::Relaxed);
    });
}

/// In memory, by what the server itself can do.
async fn sockets(io: &Io, names: &[String], beside: Beside, cycles: &AtomicU64, stop: &AtomicBool) {
    let taken = Arc::default();
    while !stop.load(Ordering::Relaxed) {
        let (socket, peer) = sink::member(io, &taken).await;
        for some in names.chunks(if beside == Beside::JoinAndLeave { ROOMS } else { 10 }) {
            for name in some {
                socket.join(name).await.unwrap();
            }
            yield_now().await;
        }
        if beside == Beside::JoinAndLeave {
            names.iter().for_each(|name| socket.leave(name));
            yield_now().await;
        }
        peer.hang_up();
        while io.socket(socket.id()).is_some() {
            yield_now().await;
        }
        cycles.fetch_add(1, Ordering::Relaxed);
    }
}

fn clients(server: &Server, names: &[String], cycles: &AtomicU64, is_over: &AtomicBool) {
    let names = serde_json::to_string(names).unwrap();
    let ask = |event: &str| text_frame(&format!(r#"{{"event":"{event}","id":1,"data":{names}}}"#));
    let (subscribe, unsubscribe) = (ask("subscribe"), ask("unsubscribe"));
    while !is_over.load(Ordering::Relaxed) {
        let mut client = Client::connect(server.address);
        for request in [&subscribe, &unsubscribe, &subscribe] {
            client.write(request);
            let answer = String::from_utf8(client.frame()).unwrap();
            assert!(answer.starts_with(r#"{"event":"ack""#) && !answer.contains("error"), "{answer}");
        }
        drop(client);
        cycles.fetch_add(1, Ordering::Relaxed);
    }
}

/// Microseconds on the clock.
fn echoes(server: &Server) -> Vec<f64> {
    let mut client = Client::connect(server.address);
    let request = text_frame(r#"{"event":"echo","id":1,"data":7}"#);
    let mut answer = Vec::new();
    let begun = Instant::now();
    let echo = |index: usize| {
        let due = EVERY * index as u32;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let sent = Instant::now();
        client.write(&request);
        client.read_into(&mut answer);
        sent.elapsed().as_secs_f64() * 1e6
    };
    (0..ECHOES).map(echo).collect()
}

/// Microseconds of the worker's CPU from one poll of a task that is always ready to its next: what it waits for is what any other
/// socket would wait for, and what the machine does beside is not in it.
fn turns(server: &Server) -> Vec<f64> {
    server.run(async {
        // Room for all, so that it is not moved meanwhile: that would be the longest turn.
        let mut turns = Vec::with_capacity(WATCHED as usize / 256);
        let begun = thread_cpu();
        let mut before = begun;
        while before < begun + WATCHED {
            yield_now().await;
            let now = thread_cpu();
            turns.push((now - before) as f64 / 1e3);
            before = now;
        }
        turns
    })
}
