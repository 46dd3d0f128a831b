//! What more than one core brings: two publishers, each with a room of its own or both with one, on one worker thread and on two.
//!
//! ```sh
//! cargo bench --bench cores [-- SECONDS [--hold [WORKERS]]]     # 2 seconds, 2 workers
//! ```
//!
//! In memory: members take all they are given at once and throw it away, so that the server's work is all there is; deliveries per
//! second on the clock. Over TCP: a load that leaves the machine idle at times, as the clients are on the same cores; CPU time of the
//! server's workers for a delivery. `--hold` goes on with the first, a room each, for `perf record`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "kit/mod.rs"]
mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventwire::{Io, Pace, Socket};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::kit::client::{Crowd, size, until};
use crate::kit::{DEADLINE, grouped, median, payload, sink, system};

const MEMBERS: usize = 100;
const PUBLISHERS: usize = 2;
const GOAL: f64 = 1.7;
const ROUNDS: usize = 5;
/// Percent of the time that others may have the cores.
const NOISY: f64 = 5.0;
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
    let mut numbers = kit::asked_for().into_iter().map(|text| text.parse::<f64>().expect("it is a number"));
    let (seconds, workers) = (numbers.next().unwrap_or(2.0), numbers.next().unwrap_or(2.0));
    let time = Duration::from_secs_f64(seconds / ROUNDS as f64);
    if std::env::args().any(|argument| argument == "--hold") {
        println!("process {}", std::process::id());
        let load = Load { servers: 1, workers: workers as usize, publishers: 2, rooms: 2 };
        in_memory(load, Duration::from_secs_f64(seconds));
        return;
    }
    let title = "Two publishers, on one worker thread and on two";
    println!("{title}\n{}", "=".repeat(title.len()));
    println!(
        "in memory, as fast as it goes; broadcasts of 128 bytes to {MEMBERS} members a room; median of {ROUNDS} rounds\n"
    );
    let tops = ["deliveries a second", "", "CPU ns a delivery", "waits per 1,000", "others had, %"];
    println!("{:18}{:>24}{:18}{:>18}{:>18}{:>18}", "", tops[0], tops[1], tops[2], tops[3], tops[4]);
    println!("{:18}{:>12}{:>12}{:>9}{:>9}{}", "workers", 1, 2, "ratio", "goal", format!("{:>9}{:>9}", 1, 2).repeat(3));
    let server = |workers, rooms| Load { servers: 1, workers, publishers: 2, rooms };
    let alone = |servers| Load { servers, workers: 1, publishers: 1, rooms: 1 };
    for (name, loads, goal) in [
        ("two servers", [alone(1), alone(2)], None),
        ("a room each", [server(1, 2), server(2, 2)], Some(GOAL)),
        ("the same room", [server(1, 1), server(2, 1)], None),
    ] {
        let [one, two] = loads.map(|load| load.rounds(time));
        let ratio = two.rate / one.rate;
        let goal = match goal {
            None => "-",
            Some(_) if one.others.max(two.others) > NOISY => "noisy",
            Some(goal) if ratio >= goal => "met",
            Some(_) => "missed",
        };
        print!("{name:18}{:>12}{:>12}{ratio:>9.2}{goal:>9}", grouped(one.rate), grouped(two.rate));
        print!("{:>9.1}{:>9.1}{:>9.2}{:>9.2}", one.cpu, two.cpu, one.waits, two.waits);
        println!("{:>9.0}{:>9.0}", one.others, two.others);
    }
    println!(
        "\ntwo servers: one and two of them, a worker and a publisher each, that share nothing: what the machine allows; goal: {GOAL};\n\
         waits: how often a worker gave up its core, for a lock or for want of work; others had: how much of the time other processes had\n\
         the cores, which is taken out of what is told by the second; beyond {NOISY} % the workers seldom run side by side: measure again\n"
    );

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
    /// Deliveries a second in which the workers could run.
    rate: f64,
    /// How much of the time others had the cores, in percent.
    others: f64,
    /// Nanoseconds of CPU a delivery.
    cpu: f64,
    /// Per 1,000 deliveries.
    waits: f64,
}

/// Servers that share nothing, each with its workers, and with publishers that have a room each or share the rooms.
#[derive(Clone, Copy)]
struct Load {
    servers: usize,
    workers: usize,
    publishers: usize,
    rooms: usize,
}

impl Load {
    fn rounds(self, time: Duration) -> Measured {
        let all: Vec<Measured> = (0..ROUNDS).map(|_| in_memory(self, time)).collect();
        let middle = |of: fn(&Measured) -> f64| median(all.iter().map(of).collect());
        Measured {
            rate: middle(|one| one.rate),
            others: middle(|one| one.others),
            cpu: middle(|one| one.cpu),
            waits: middle(|one| one.waits),
        }
    }
}

/// Publishes without end, at the pace of the slowest member.
async fn publish(io: Io, room: String, is_over: Arc<AtomicBool>) {
    let data = payload();
    while !is_over.load(Ordering::Relaxed) {
        io.to(&room).paced(Pace::slowest(PACE)).emit("news", &data).await.unwrap();
    }
}

/// A server with its members, and what publishes.
struct Publishing {
    runtime: Runtime,
    io: Io,
    publishers: Vec<JoinHandle<()>>,
}

impl Publishing {
    fn start(load: Load, is_over: &Arc<AtomicBool>) -> Publishing {
        let (runtime, io) = (runtime(load.workers), Io::new());
        let own = io.clone();
        let members = async move {
            for member in 0..load.rooms * MEMBERS {
                // A count of each one's own: one of all would be what they wait for.
                let (socket, _) = sink::member(&own, &Arc::default()).await;
                socket.join(room(member % load.rooms)).await.unwrap();
            }
        };
        runtime.block_on(runtime.spawn(members)).unwrap();
        let publish = |number| runtime.spawn(publish(io.clone(), room(number % load.rooms), is_over.clone()));
        let publishers = (0..load.publishers).map(publish).collect();
        Publishing { runtime, io, publishers }
    }

    fn end(self) {
        let Publishing { runtime, io, publishers } = self;
        for publisher in publishers {
            runtime.block_on(publisher).unwrap();
        }
        assert_eq!(io.stats().dropped, 0, "each message was delivered");
        // Its threads are gone before those of the next are counted.
        runtime.shutdown_timeout(DEADLINE);
    }
}

fn in_memory(load: Load, time: Duration) -> Measured {
    let is_over = Arc::new(AtomicBool::new(false));
    let all: Vec<Publishing> = (0..load.servers).map(|_| Publishing::start(load, &is_over)).collect();
    // Queues and caches fill before it counts.
    std::thread::sleep(time / 10);
    let sent = || all.iter().map(|one| one.io.stats().messages_out).sum::<u64>();
    let now = || (Instant::now(), sent(), system::threads(NAME));
    let (begun, before, used) = now();
    std::thread::sleep(time);
    let (ended, after, used_after) = now();
    is_over.store(true, Ordering::Relaxed);
    all.into_iter().for_each(Publishing::end);
    let deliveries = (after - before) as f64;
    let (elapsed, used) = ((ended - begun).as_secs_f64(), used_after - used);
    let others = used.delayed as f64 / 1e9 / (load.servers * load.workers) as f64 / elapsed;
    Measured {
        rate: deliveries / elapsed / (1.0 - others),
        others: others * 100.0,
        cpu: used.cpu as f64 / deliveries,
        waits: used.waits as f64 / deliveries * 1_000.0,
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
    let used = system::threads(NAME);
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
    let cpu = (system::threads(NAME) - used).cpu;
    runtime.shutdown_timeout(DEADLINE);
    cpu as f64 / deliveries as f64
}
