//! The end of a socket in a room with history: what was there is sent, and nothing of it stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventwire::{DisconnectReason, History, Io, Socket};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::follow::*;
use crate::kit::Log;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_emitted_before_the_end_arrives_before_it() {
    let server = server(History::messages(1000)).await;
    server.io.on::<u64>("bye", |socket: Socket, n| async move {
        for n in 1..=n {
            socket.io().to("log").emit("n", n).await?;
        }
        socket.disconnect();
        socket.io().to("log").emit("late", 0).await?;
        eventwire::ok(n)
    });
    for round in 1..=50 {
        let mut client = server.client().await;
        let mut follower = follow(&mut client, json!({"room": "log", "last": 0})).await;
        let last = follower.next.unwrap() + round - 1;
        client.ask("bye", json!(round)).await;
        let (code, frames) = client.closed().await;
        assert_eq!(code, 1000);
        assert_eq!(frames.last().unwrap()["event"], "closing");
        frames.iter().filter(|frame| frame["event"] == "n").for_each(|frame| assert!(follower.take(frame)));
        assert_eq!(follower.next, Some(last + 1), "round {round}: {frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_sends_what_was_emitted_before_it_to_those_that_lag_too() {
    let server = server(History::bytes(16 << 20)).await;
    let mut clients = server.clients(10).await;
    for client in &mut clients {
        client.request("subscribe", json!("log")).await.unwrap();
    }
    let data = "x".repeat(1000);
    for _ in 0..2000 {
        server.io.to("log").emit("n", &data).await.unwrap();
    }
    let io = server.io.clone();
    let shutting = tokio::spawn(async move { io.shutdown(DEADLINE).await });
    let reading = clients.into_iter().map(|mut client| async move {
        let (code, frames) = client.closed().await;
        let of_the_room: Vec<Value> = frames.into_iter().filter(|frame| frame["room"] == "log").collect();
        (code, seqs(&of_the_room))
    });
    for (code, got) in futures::future::join_all(reading).await {
        assert_eq!(code, 1001);
        assert_eq!(got, (1..=2000).collect::<Vec<u64>>());
    }
    assert_eq!(shutting.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_busy_room_the_end_comes_with_what_was_there_at_the_time() {
    let server = server(History::bytes(16 << 20)).await;
    let publisher = Publisher::start(&server.io, "log");
    for _ in 0..20 {
        let mut client = server.client().await;
        let mut follower = follow(&mut client, json!({"room": "log", "last": 2000})).await;
        follower.read(&mut client, 10).await;
        let first = server.io.room("log").last_seq();
        server.socket(&client).disconnect();
        let (code, frames) = client.closed().await;
        assert_eq!(code, 1000);
        frames.iter().filter(|frame| frame["event"] == "n").for_each(|frame| assert!(follower.take(frame)));
        assert!(follower.next.unwrap() > first, "what was there: {first}, {follower:?}");
    }
    publisher.stop().await;
}

#[tokio::test]
async fn an_abort_overtakes_what_waits() {
    let server = Server::narrow(json!({"maxInvalidFrames": 0})).await;
    let reasons = Log::default();
    let note = reasons.clone();
    server.io.on_disconnect(move |_, reason: DisconnectReason| {
        note.add(format!("{reason:?}"));
        async {}
    });
    rules(&server.io, History::bytes(16 << 20));
    let mut client = Client::narrow(&server).await;
    client.request("subscribe", json!("log")).await.unwrap();
    let data = "x".repeat(4000);
    for _ in 0..1000 {
        server.io.to("log").emit("n", &data).await.unwrap();
    }
    client.send_text("no envelope").await;
    let (code, frames) = client.closed().await;
    assert_eq!((code, frames.last().unwrap()["event"].as_str()), (1008, Some("closing")));
    assert!(frames.len() < 1000, "{}", frames.len());
    until("it is told", || reasons.has("InvalidFrames")).await;
    assert_eq!(server.io.room_len("log"), 0);
}

/// Members come and go in every way, behind and at the head; then nothing is left of them or of the rooms.
async fn nothing_is_left() {
    let server = Server::with(json!({"drainTimeout": "100ms"})).await;
    let kept = Arc::new(());
    let state = kept.clone();
    rules(&server.io, History::messages(20).ttl(Duration::from_millis(200)));
    server.io.rooms("log:s*").history(History::messages(20).ttl(Duration::from_millis(200)).snapshot(
        "sum",
        0u64,
        move |count: &mut u64, _| *count += Arc::strong_count(&state) as u64,
    ));
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for round in 0..200u64 {
        let (a, b) = (format!("log:{}", round % 5), format!("log:s:{}", round % 7));
        publish(&server.io, &a, 25).await;
        publish(&server.io, &b, 25).await;
        let mut client = server.client().await;
        client.request("subscribe", json!([a, b, "plain"])).await.unwrap();
        publish(&server.io, &b, 5).await;
        match round % 5 {
            0 => client.close().await,
            1 => drop(client),
            2 => {
                server.socket(&client).disconnect();
                assert_eq!(client.closed().await.0, 1000);
            }
            3 => {
                client.request("unsubscribe", json!([a, b])).await.unwrap();
            }
            _ => {
                server.io.room(&a).clear();
                server.io.room(&b).clear();
                client.close().await;
            }
        }
    }
    until("all are gone", || server.io.stats().sockets == 0).await;
    until("every room is forgotten", || server.io.stats().logs == 0).await;
    let stats = server.io.stats();
    assert_eq!((stats.rooms, stats.members, stats.logged_messages, stats.logged_bytes), (0, 0, 0, 0));
    // The listener, who sweeps, and who watches.
    until("every task has ended", || tasks() <= 3).await;
    let weak = Arc::downgrade(&kept);
    drop(kept);
    server.io.rooms("log:s*").history(History::default());
    until("no fold is kept by a room or a member", || weak.strong_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_all_are_gone_nothing_is_left() {
    if is_alone("ends::after_all_are_gone_nothing_is_left") {
        nothing_is_left().await;
    }
}

/// A sweeper holds no `Io`: when the last handle is gone, so is it.
#[tokio::test]
async fn who_sweeps_the_rooms_ends_with_the_io() {
    let io = Io::new();
    rules(&io, History::default().ttl(Duration::from_millis(80)));
    publish(&io, "log", 1).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 1);
    let start = Instant::now();
    drop(io);
    until("it has ended", || tasks() == 0).await;
    assert!(start.elapsed() < Duration::from_secs(5));
}
