//! How many instructions a message takes: a figure that nothing else on the machine changes, where times differ from one minute
//! to the next by a tenth and more.
//!
//! ```sh
//! cargo bench --bench instructions [-- NAME…]     # needs valgrind: apt-get install valgrind
//! ```
//!
//! This program runs itself under callgrind, with few messages and with many, and tells the difference for each message. Peers are in
//! memory; the little that they do is counted along. `target/callgrind/NAME` is left for `callgrind_annotate`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod kit;
#[path = "../tests/support/peer.rs"]
mod peer;

use std::path::Path;
use std::process::Command;

use eventwire::{Io, Pace, Socket};
use serde_json::value::RawValue;

use self::kit::{grouped, payload};
use self::peer::{Peer, Tally, block, quiet};

/// Of messages, or of deliveries. All that is sent at once divides them.
const FEW: u64 = 6_400;
const MANY: u64 = 32_000;

/// What is counted, and what it is.
const ALL: [(&str, &str); 8] = [
    ("echo-1", "an echo, 1 in flight"),
    ("echo-32", "an echo, 32 in flight"),
    ("request-8", "a request and its acknowledgement, 8 in flight"),
    ("waits-1", "an echo by a handler that waits once, 1 in flight"),
    ("waits-32", "an echo by a handler that waits once, 32 in flight"),
    ("room", "a delivery in a room of 100, 32 messages at once"),
    ("room-alone", "a delivery in a room of 100, one message at a time"),
    ("viewer", "a line to one viewer, paced, 64 at once"),
];

fn main() {
    let asked_for = kit::asked_for();
    if let [run, name, count] = &asked_for[..]
        && run == "run"
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (name, count) = (name.clone(), count.parse().unwrap());
        return runtime.block_on(async move { tokio::spawn(run_one(name, count)).await.unwrap() });
    }
    let unknown = asked_for.iter().find(|asked| ALL.iter().all(|(name, _)| name != asked));
    assert!(unknown.is_none(), "{unknown:?} is none of {:?}", ALL.map(|(name, _)| name));
    println!("{:60}{:>14}", "", "instructions");
    for (name, what) in
        ALL.iter().filter(|(name, _)| asked_for.is_empty() || asked_for.iter().any(|asked| asked == name))
    {
        let each = (counted(name, MANY) - counted(name, FEW)) as f64 / (MANY - FEW) as f64;
        println!("{:12}{what:48}{:>14}", name, grouped(each));
    }
}

/// How many instructions this program takes for so many messages, from its start to its end.
fn counted(name: &str, count: u64) -> u64 {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("callgrind");
    std::fs::create_dir_all(&folder).unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", folder.join(name).display())]);
    valgrind.arg(std::env::current_exe().unwrap()).args(["run", name, &count.to_string()]);
    let output = valgrind.output().expect("valgrind is installed: apt-get install valgrind");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind tells it").1;
    collected.trim().parse().unwrap()
}

async fn run_one(name: String, count: u64) {
    let io = Io::builder().config(quiet()).build().unwrap();
    let data = payload();
    let event = |event: &str, id: &str| format!(r#"{{"event":"{event}",{id}"data":"{data}"}}"#);
    match &*name {
        "echo-1" => events(io, &event("echo", ""), 1, count).await,
        "echo-32" => events(io, &event("echo", ""), 32, count).await,
        "request-8" => events(io, &event("answer", r#""id":7,"#), 8, count).await,
        "waits-1" => events(io, &event("waits", ""), 1, count).await,
        "waits-32" => events(io, &event("waits", ""), 32, count).await,
        "room" => room(io, 100, 32, count).await,
        "room-alone" => room(io, 100, 1, count).await,
        _ => room(io, 1, 64, count).await,
    }
}

/// Events by one peer, so many in flight.
async fn events(io: Io, event: &str, in_flight: u64, count: u64) {
    io.on("echo", |socket: Socket, data: Box<RawValue>| async move { socket.emit("echo", data).await });
    io.on("answer", |_: Socket, data: Box<RawValue>| async move { data });
    io.on("waits", |socket: Socket, data: Box<RawValue>| async move {
        tokio::task::yield_now().await;
        socket.emit("echo", data).await
    });
    let (peer, _socket) = Peer::connect(&io, &Tally::new()).await;
    peer.rounds(&block(event, in_flight as usize), in_flight, count / in_flight).await;
}

/// Broadcasts to a room of so many members, until there were so many deliveries.
async fn room(io: Io, size: u64, at_once: u64, count: u64) {
    let tally = Tally::new();
    let mut members = Vec::new();
    for _ in 0..size {
        let (peer, socket) = Peer::connect(&io, &tally).await;
        socket.join("room").await.unwrap();
        members.push((peer, socket));
    }
    let data = payload();
    for sent in 1..=count / size {
        io.to("room").paced(Pace::slowest(256 * 1024)).emit("message", &data).await.unwrap();
        if sent % at_once == 0 || sent == count / size {
            tally.reach(size * (1 + sent)).await;
        }
    }
}
