//! How often the server allocates for a message, in steady state, and that it does so no more often than it did. Its peers are in
//! memory and allocate nothing, so that what is counted is the server's alone.
//!
//! ```sh
//! cargo test --test allocations -- --nocapture
//! ```
//!
//! A count above its bound leaves a profile with the places where it was allocated, for DHAT's viewer. To get one for a count that
//! is not above, set its bound to 0.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/peer.rs"]
mod peer;

use std::time::Duration;

use dhat::{HeapStats, Profiler};
use eventwire::{History, Io, Socket};
use serde_json::value::RawValue;
use tokio::task::yield_now;

use self::peer::{Peer, Tally, block, quiet};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

// The bounds: what was counted, and up to a tenth for what is not the same in each message, such as a buffer that grows now and
// then. Lower them when the server gets better. Growing counts as allocating.

/// An event that is echoed.
const ECHO: f64 = 3.1;
const ECHO_32_IN_FLIGHT: f64 = 2.3;
/// An event with an `id`, whose handler answers.
const REQUEST: f64 = 3.1;
/// An event that is echoed by a handler that is not ready at once.
const WAITING: f64 = 5.1;
/// A broadcast to a room, as such.
const BROADCAST: f64 = 2.1;
/// And for each member to whom it is delivered.
const DELIVERY: f64 = 0.001;
/// The same in a room with history.
const LOGGED_BROADCAST: f64 = 0.15;
const LOGGED_DELIVERY: f64 = 0.001;

const MESSAGES: u64 = 1000;
const BROADCASTS: u64 = 100;
const MEMBERS: u64 = 1000;

/// Counts only while it lives.
fn profiler() -> Profiler {
    let profile = concat!(env!("CARGO_TARGET_TMPDIR"), "/allocations.json");
    // So many that the handler's place is among them, whatever lies above it in a build for tests.
    Profiler::builder().testing().file_name(profile).trim_backtraces(Some(24)).build()
}

/// How often, and how much, was allocated since.
fn since(before: &HeapStats) -> (u64, u64) {
    let now = HeapStats::get();
    (now.total_blocks - before.total_blocks, now.total_bytes - before.total_bytes)
}

/// Tells a count, and that it is in bounds.
fn check(what: &str, (blocks, bytes): (u64, u64), messages: u64, bound: f64) {
    let (blocks, bytes) = (blocks as f64 / messages as f64, bytes as f64 / messages as f64);
    println!("{what:36} {blocks:10.3} allocations, at most {bound:.3} {bytes:10.0} bytes");
    dhat::assert!(blocks <= bound, "{what}: {blocks} allocations, at most {bound} are expected");
}

/// Events by one peer, so many in flight, each with one answer, which has `answer` in it.
async fn events(what: &str, io: Io, event: &str, in_flight: u64, answer: &str, bound: f64) {
    let tally = Tally::new();
    let (peer, _socket) = Peer::connect(&io, &tally).await;
    let block = block(event, in_flight as usize);
    let answers = peer.ask(&block, in_flight).await;
    assert_eq!(answers.matches(answer).count() as u64, in_flight, "{answers}");
    let rounds = MESSAGES / in_flight;
    peer.rounds(&block, in_flight, rounds).await;

    let _profiler = profiler();
    let before = HeapStats::get();
    peer.rounds(&block, in_flight, rounds).await;
    check(what, since(&before), rounds * in_flight, bound);
}

/// Broadcasts to a room, and the delivery to its members.
async fn broadcasts(room: &'static str, io: Io, bounds: [f64; 2]) {
    let tally = Tally::new();
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        let (peer, socket) = Peer::connect(&io, &tally).await;
        socket.join(room).await.unwrap();
        members.push((peer, socket));
    }
    let data = RawValue::from_string(format!("{:?}", "x".repeat(126))).unwrap();
    let round = async || {
        let due = tally.count() + MEMBERS;
        assert_eq!(io.to(room).emit("message", &data).await, Ok(MEMBERS as usize));
        due
    };
    for _ in 0..BROADCASTS {
        tally.reach(round().await).await;
    }

    let _profiler = profiler();
    let (mut emitting, mut delivering) = ((0, 0), (0, 0));
    let add = |sum: &mut (u64, u64), (blocks, bytes)| *sum = (sum.0 + blocks, sum.1 + bytes);
    for _ in 0..BROADCASTS {
        let before = HeapStats::get();
        let due = round().await;
        add(&mut emitting, since(&before));
        let before = HeapStats::get();
        tally.reach(due).await;
        add(&mut delivering, since(&before));
    }
    check(&format!("{room}: a broadcast"), emitting, BROADCASTS, bounds[0]);
    check(&format!("{room}: a delivery"), delivering, BROADCASTS * MEMBERS, bounds[1]);
}

fn server() -> Io {
    Io::builder().config(quiet()).build().unwrap()
}

fn echo() -> Io {
    let io = server();
    io.on("echo", |socket: Socket, data: Box<RawValue>| socket.emit("echo", data));
    io
}

async fn all() {
    let payload = "x".repeat(126);
    let event = format!(r#"{{"event":"echo","data":"{payload}"}}"#);
    let echoed = format!(r#"{{"event":"echo","data":"{payload}"}}"#);
    events("an echo, 1 in flight", echo(), &event, 1, &echoed, ECHO).await;
    events("an echo, 32 in flight", echo(), &event, 32, &echoed, ECHO_32_IN_FLIGHT).await;

    let io = server();
    io.on("add", |_: Socket, data: Box<RawValue>| async move { data.get().len() as u64 });
    let event = format!(r#"{{"event":"add","id":7,"data":"{payload}"}}"#);
    events("a request, answered", io, &event, 1, r#"{"event":"ack","id":7,"data":128}"#, REQUEST).await;

    let io = server();
    io.on("echo", |socket: Socket, data: Box<RawValue>| async move {
        yield_now().await;
        socket.emit("echo", data).await
    });
    let event = format!(r#"{{"event":"echo","data":"{payload}"}}"#);
    events("an echo by a handler that waits", io, &event, 1, &echoed, WAITING).await;

    broadcasts("room", server(), [BROADCAST, DELIVERY]).await;
    let io = server();
    io.rooms("log").history(History::messages(50));
    broadcasts("log", io, [LOGGED_BROADCAST, LOGGED_DELIVERY]).await;
}

/// One test for all: the allocator is the program's.
#[test]
fn a_message_costs_no_more_allocations_than_it_did() {
    // Time stands still as long as there is something to do: what the server does every few seconds is not a message's. What is
    // waited for in vain makes it jump.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // In a task, so that it is woken as the server's are.
        tokio::time::timeout(Duration::from_secs(120), tokio::spawn(all())).await.unwrap().unwrap();
    });
}
