//! Invariant 4: the read loop never awaits user code. Who sends faster than is handled is not read.

use std::sync::Arc;
use std::time::Duration;

use eventwire::{RequestError, Socket};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

/// A handler of `e` that waits at the gate for each event and notes its number.
fn gated(server: &Server) -> (Log, Arc<Semaphore>) {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let (note, wait) = (log.clone(), gate.clone());
    server.io.on::<(u32, String)>("e", move |_, (n, _)| {
        let (log, gate) = (note.clone(), wait.clone());
        async move {
            gate.acquire().await.unwrap().forget();
            log.add(n);
        }
    });
    (log, gate)
}

fn event(n: u32, bytes: usize) -> Vec<u8> {
    text_frame(&format!(r#"{{"event":"e","data":[{n},"{}"]}}"#, "x".repeat(bytes)))
}

/// Sends events in a task of its own. Returns the task; what is read is counted by the server.
fn send_all(raw: Raw, events: u32, bytes: usize) -> tokio::task::JoinHandle<Raw> {
    tokio::spawn(async move {
        let mut raw = raw;
        for n in 0..events {
            // Not the kit's `write`, which has a deadline.
            raw.stream.write_all(&event(n, bytes)).await.unwrap();
        }
        raw
    })
}

/// Waits until the server has read as much as it will: reading pauses, for there is more to read.
async fn paused(server: &Server, at_least: u64) -> u64 {
    let read = || server.io.stats().messages_in;
    until("enough is read", || read() >= at_least).await;
    settled(read).await
}

#[tokio::test]
async fn invariant_04_a_slow_handler_pauses_reading_and_all_are_handled_in_order_in_the_end() {
    let server = Server::new().await;
    let (log, gate) = gated(&server);
    let sending = send_all(server.raw().await, 50_000, 1000);
    // One is with the handler, 256 wait; the others stay with the kernel and the client.
    let read = paused(&server, 257).await;
    assert_eq!(read, 257, "the inbox holds 256 messages");
    assert!(!sending.is_finished(), "50 MB are more than the kernel takes: the client is held back");
    gate.add_permits(50_000);
    let mut raw = sending.await.unwrap();
    until("all are handled", || log.len() == 50_000).await;
    let all = log.all();
    assert!(all.iter().enumerate().all(|(n, one)| *one == n.to_string()), "in order");
    assert_eq!(server.io.stats().messages_in, 50_000);
    raw.is_alive().await;
}

#[tokio::test]
async fn default_inbox_is_256_messages_and_1_mib() {
    let server = Server::new().await;
    let (_log, gate) = gated(&server);
    // 100 KiB each: the bytes are the first to be full.
    let sending = send_all(server.raw().await, 200, 100 * 1024);
    let read = paused(&server, 11).await;
    // One is handled; ten hold a little less than 1 MiB, the eleventh goes beyond it.
    assert_eq!(read, 12, "it is full once it holds 1 MiB");
    gate.add_permits(200);
    sending.await.unwrap();
    until("all are read", || server.io.stats().messages_in == 200).await;
}

#[tokio::test]
async fn a_small_inbox_loses_nothing() {
    for config in [json!({"messages": 1}), json!({"messages": 2, "bytes": 10}), json!({"bytes": 1})] {
        let server = Server::with(json!({"inbox": config})).await;
        let (log, gate) = gated(&server);
        let sending = send_all(server.raw().await, 500, 10);
        until("the first is read", || server.io.stats().messages_in >= 1).await;
        gate.add_permits(500);
        let mut raw = sending.await.unwrap();
        until("all are handled", || log.len() == 500).await;
        assert!(log.all().iter().enumerate().all(|(n, one)| *one == n.to_string()), "{config}: in order");
        raw.is_alive().await;
    }
}

#[tokio::test]
async fn invariant_04_the_silence_clock_pauses_with_reading() {
    let server = Server::with(json!({"inbox": {"messages": 1}, "pingInterval": "50ms", "silenceTimeout": "200ms"}));
    let server = server.await;
    let (log, gate) = gated(&server);
    let mut raw = server.raw().await;
    for n in 0..5 {
        raw.write(&event(n, 10)).await;
    }
    assert_eq!(paused(&server, 2).await, 2);
    // Four times the silence; nobody listens, so nobody is silent.
    sleep(Duration::from_millis(800)).await;
    assert_eq!(server.io.stats().sockets, 1, "not cut for what was not read");
    gate.add_permits(5);
    until("all are handled", || log.len() == 5).await;
    // Reading goes on, and with it the clock: this peer answers no pings.
    let start = Instant::now();
    let (code, _) = raw.closed().await;
    assert_eq!(code, 1008);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}: the clock began anew", start.elapsed());
}

/// A handler of `ask` that asks back, after the events behind it have come, and notes the answer.
fn asks_back(server: &Server) -> Log {
    let log = Log::default();
    let note = log.clone();
    server.io.on::<()>("ask", move |socket: Socket, ()| {
        let log = note.clone();
        async move {
            // Reading has paused by then.
            until("the inbox is full", || socket.io().stats().messages_in >= 5).await;
            let answer = socket.request::<Value>("question", 1).timeout(DEADLINE).await;
            log.add(match &answer {
                Ok(answer) => answer.to_string(),
                Err(error) => format!("{error:?}"),
            });
            answer.map_err(eventwire::Error::from)
        }
    });
    let note = log.clone();
    server.io.on::<u32>("e", move |_, n| std::future::ready(note.add(format!("event {n}"))));
    log
}

#[tokio::test]
async fn invariant_04_reading_goes_on_to_four_times_while_a_request_is_pending() {
    let server = Server::with(json!({"inbox": {"messages": 4}})).await;
    let log = asks_back(&server);
    let mut client = server.client().await;
    let asked = client.ask("ask", json!(null)).await;
    for n in 0..15 {
        client.send("e", json!(n)).await;
    }
    // The answer lies behind 15 events, of which the inbox holds 4.
    assert_eq!(client.reply("question", json!("yes")).await, json!(1));
    assert_eq!(client.answer(asked).await, Ok(json!("yes")));
    client.request("e", json!(15)).await.unwrap();
    let expected: Vec<_> = [r#""yes""#.to_owned()].into_iter().chain((0..16).map(|n| format!("event {n}"))).collect();
    assert_eq!(log.all(), expected);
}

#[tokio::test]
async fn invariant_04_beyond_four_times_it_is_1008_busy() {
    let server = Server::with(json!({"inbox": {"messages": 4}})).await;
    let log = asks_back(&server);
    let mut client = server.client().await;
    client.ask("ask", json!(null)).await;
    for n in 0..40 {
        client.send("e", json!(n)).await;
    }
    let (code, before) = client.closed().await;
    let closing = before.last().unwrap();
    assert_eq!((code, &closing["event"], &closing["data"]["code"]), (1008, &json!("closing"), &json!("busy")));
    until("the request is settled", || log.len() > 0).await;
    assert_eq!(log.all()[0], format!("{:?}", RequestError::Disconnected));
    assert!(server.io.stats().messages_in <= 1 + 4 * 4 + 1, "{:?}", server.io.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_04_pausing_and_going_on_loses_no_wake_up() {
    // The lane frees the inbox in one thread while the connection finds it full in another.
    for messages in [1, 2, 8] {
        let server = Server::with(json!({"inbox": {"messages": messages}})).await;
        let log = Log::default();
        let note = log.clone();
        server.io.on::<(u64, String)>("e", move |_, (n, _)| {
            let log = note.clone();
            async move {
                for _ in 0..mixed(n) % 4 {
                    tokio::task::yield_now().await;
                }
                log.add(n);
            }
        });
        let mut raw = send_all(server.raw().await, 3_000, 20).await.unwrap();
        until("all are handled", || log.len() == 3_000).await;
        assert!(log.all().iter().enumerate().all(|(n, one)| *one == n.to_string()), "{messages}: in order");
        raw.is_alive().await;
    }
}
