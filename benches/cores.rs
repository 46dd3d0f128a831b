//! What more than one core brings: two publishers, each with a room of its own or both with one, on one worker thread and on two.
//!
//! ```sh
//! cargo bench --bench cores [-- SECONDS] [--hold]     # 2
//! ```
//!
//! In memory: members take all they are given at once and throw it away, so that the server's work is all there is; deliveries per
//! second on the clock. Over TCP: a load that leaves the machine idle at times, as the clients are on the same cores; CPU time of the
//! server's workers for a delivery. `--hold` repeats the first, on two workers with two rooms, for `perf record`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "kit/mod.rs"]
mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventwire::{Io, Pace, Socket};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::kit::client::{Crowd, size, until};
use crate::kit::{grouped, median, payload, sink, system};

const MEMBERS: usize = 100;
const PUBLISHERS: usize = 2;
const GOAL: f64 = 1.7;
const ROUNDS: usize = 5;
/// The threads of the server are told apart by it.
const NAME: &str = "worker";
/// A publisher waits once so much waits for its slowest member.
const PACE: usize = 16 * 1024;
/// Over TCP: messages of each publisher a second, some at once.
const RATE: usize = 600;
const AT_ONCE: usize = 3;

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).thread_name(NAME).enable_all().build().unwrap()
}

fn room(number: usize) -> String {
    format!("room-{number}")
}

fn main() {
    system::raise_file_limit();
    let seconds: f64 = kit::asked_for().first().map_or(2.0, |text| text.parse().expect("it is a number of seconds"));
    let time = Duration::from_secs_f64(seconds / ROUNDS as f64);
    if std::env::args().any(|argument| argument == "--hold") {
        println!("process {}", std::process::id());
        in_memory(2, 2, Duration::from_secs_f64(seconds));
        return;
    }
    let title = "Two publishers, on one worker thread and on two";
    println!("{title}\n{}", "=".repeat(title.len()));
    println!(
        "in memory, as fast as it goes; broadcasts of 128 bytes to {MEMBERS} members a room; median of {ROUNDS} rounds\n"
    );
    let heads = ["1 worker", "2 workers", "ratio", "goal", "CPU ns", "CPU ns", "waits", "waits"];
    println!("{:26}{:^24}{:20}{:^20}{:^20}", "", "deliveries/s", "", "a delivery", "per 1,000 deliveries");
    println!(
        "{:26}{:>12}{:>12}{}",
        "",
        heads[0],
        heads[1],
        heads[2..].iter().map(|head| format!("{head:>10}")).collect::<String>()
    );
    for (name, rooms, goal) in [("a room each", 2, Some(GOAL)), ("the same room", 1, None)] {
        let [one, two] = [1, 2].map(|workers| rounds(workers, rooms, time));
        let ratio = two.rate / one.rate;
        let goal = goal.map_or("-", |goal| if ratio >= goal { ">= 1.7" } else { "missed" });
        println!(
            "{name:26}{:>12}{:>12}{ratio:>10.2}{goal:>10}{:>10.1}{:>10.1}{:>10.2}{:>10.2}",
            grouped(one.rate),
            grouped(two.rate),
            one.cpu,
            two.cpu,
            one.waits,
            two.waits,
        );
    }
    println!("\nwaits: how often a worker gave up its core, for a lock or for want of work\n");

    let title = "The same over TCP, below what the machine can do";
    println!("{title}\n{}", "=".repeat(title.len()));
    println!(
        "{} deliveries a second, {AT_ONCE} messages at a time; clients in a thread beside\n",
        grouped((RATE * PUBLISHERS * MEMBERS) as f64)
    );
    let heads = ["1 worker", "2 workers", "ratio"];
    println!("{:26}{:^30}", "", "CPU ns a delivery");
    println!("{:26}{}", "", heads.map(|head| format!("{head:>10}")).concat());
    for (name, rooms) in [("a room each", 2), ("the same room", 1)] {
        let [one, two] = [1, 2].map(|workers| over_tcp(workers, rooms, Duration::from_secs_f64(seconds)));
        println!("{name:26}{one:>10.0}{two:>10.0}{:>10.2}", two / one);
    }
}

struct Measured {
    /// Deliveries a second.
    rate: f64,
    /// Nanoseconds of CPU a delivery.
    cpu: f64,
    /// Per 1,000 deliveries.
    waits: f64,
}

fn rounds(workers: usize, rooms: usize, time: Duration) -> Measured {
    let all: Vec<Measured> = (0..ROUNDS).map(|_| in_memory(workers, rooms, time)).collect();
    let middle = |of: fn(&Measured) -> f64| median(all.iter().map(of).collect());
    Measured { rate: middle(|one| one.rate), cpu: middle(|one| one.cpu), waits: middle(|one| one.waits) }
}

/// Publishes without end, at the pace of the slowest member.
async fn publish(io: Io, room: String, is_over: Arc<AtomicBool>) {
    let data = payload();
    while !is_over.load(Ordering::Relaxed) {
        io.to(&room).paced(Pace::slowest(PACE)).emit("news", &data).await.unwrap();
    }
}

fn in_memory(workers: usize, rooms: usize, time: Duration) -> Measured {
    let runtime = runtime(workers);
    let io = Io::new();
    let own = io.clone();
    let members = async move {
        for member in 0..rooms * MEMBERS {
            // A count of each one's own: one of all would be what they wait for.
            let (socket, _) = sink::member(&own, &Arc::default()).await;
            socket.join(room(member % rooms)).await.unwrap();
        }
    };
    runtime.block_on(runtime.spawn(members)).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| runtime.spawn(publish(io.clone(), room(number % rooms), is_over.clone())))
        .collect();
    // Queues and caches fill before it counts.
    std::thread::sleep(time / 10);
    let now = || (Instant::now(), io.stats().messages_out, system::threads(NAME));
    let (begun, before, (cpu, waits)) = now();
    std::thread::sleep(time);
    let (ended, after, (cpu_after, waits_after)) = now();
    is_over.store(true, Ordering::Relaxed);
    for publisher in publishers {
        runtime.block_on(publisher).unwrap();
    }
    assert_eq!(io.stats().dropped, 0, "each message was delivered");
    let deliveries = (after - before) as f64;
    runtime.shutdown_background();
    Measured {
        rate: deliveries / (ended - begun).as_secs_f64(),
        cpu: (cpu_after - cpu) as f64 / deliveries,
        waits: (waits_after - waits) as f64 / deliveries * 1_000.0,
    }
}

/// CPU time of the workers for a delivery, in nanoseconds.
fn over_tcp(workers: usize, rooms: usize, time: Duration) -> f64 {
    let runtime = runtime(workers);
    let io = Io::new();
    let come = AtomicU64::new(0);
    io.on_connect(move |socket: Socket| {
        let number = come.fetch_add(1, Ordering::Relaxed) as usize % rooms;
        async move { socket.join(room(number)).await.map_err(Into::into) }
    });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = io.clone();
    runtime.spawn(async move { server.serve(listener).await });
    let crowd = Crowd::connect(address, MEMBERS * rooms);
    until("all are there", || (0..rooms).all(|number| io.room_len(&room(number)) == MEMBERS));
    // To each of them, by its room.
    let bytes = size(&io, MEMBERS * rooms, || {
        runtime.block_on(async {
            for number in 0..rooms {
                io.to(&room(number)).emit("news", payload()).await.unwrap();
            }
        });
    });
    let before = bytes * (MEMBERS * rooms) as u64;
    crowd.until(before);

    let times = (time.as_secs_f64() * (RATE / AT_ONCE) as f64) as usize;
    let (cpu, _) = system::threads(NAME);
    for number in 0..PUBLISHERS {
        let io = io.clone();
        runtime.spawn(async move {
            let (room, data) = (room(number % rooms), payload());
            let mut clock = tokio::time::interval(Duration::from_secs(1) / (RATE / AT_ONCE) as u32);
            for _ in 0..times {
                clock.tick().await;
                for _ in 0..AT_ONCE {
                    io.to(&room).emit("news", &data).await.unwrap();
                }
            }
        });
    }
    let deliveries = (PUBLISHERS * times * AT_ONCE * MEMBERS) as u64;
    crowd.until(before + deliveries * bytes);
    let cpu = system::threads(NAME).0 - cpu;
    runtime.shutdown_background();
    cpu as f64 / deliveries as f64
}
