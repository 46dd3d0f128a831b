//! What waits, who lags, and what was dropped by which policy.

use std::sync::Arc;
use std::time::Duration;

use eventwire::{EmitError, History, Overflow, Socket};
use serde_json::json;
use tokio::sync::Notify;

use crate::kit::*;
use crate::support::*;

async fn narrow(name: &str) -> Server {
    Server::narrow_of(builder(name, json!({"outbox": {"messages": 8}})).build().unwrap()).await
}

/// A member of `room` that does not read, with full kernel buffers. Returns how many messages that took.
async fn stalled(server: &Server) -> (Client, u64) {
    let client = Client::narrow(server).await;
    let socket = server.socket(&client);
    socket.join("room").await.unwrap();
    let (data, mut taken, mut full) = ("c".repeat(4000), 0, 0);
    while full < 5 {
        match socket.try_emit("clog", &data) {
            Ok(()) => (taken, full) = (taken + 1, 0),
            Err(EmitError::Full) => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (client, taken)
}

#[tokio::test]
async fn what_was_dropped_is_what_the_client_missed_by_policy() {
    let recorder = Recorder::new();
    let server = narrow("drops").await;
    let mut missed = Vec::new();
    for (policy, overflow) in
        [("drop_oldest", Some(Overflow::DropOldest)), ("drop_newest", Some(Overflow::DropNewest)), ("volatile", None)]
    {
        let (mut client, taken) = stalled(&server).await;
        let deepest = recorder.read(&server.io).get("eventwire_outbox_deepest_messages");
        assert!((1..=8).contains(&deepest), "{deepest}");
        // The kernel may take some after all, as the client's side moves what has come.
        for n in 0..40 {
            let broadcast = server.io.to("room");
            match overflow {
                Some(overflow) => broadcast.overflow(overflow).emit("n", n).await.unwrap(),
                None => broadcast.volatile().emit("n", n).await.unwrap(),
            };
        }
        let socket = server.socket(&client);
        let last = tokio::spawn(async move { socket.emit("last", 1).await });
        let mut got = 0;
        let mut clogged = 0;
        loop {
            match client.next().await["event"].as_str().unwrap() {
                "last" => break,
                "n" => got += 1,
                _ => clogged += 1,
            }
        }
        last.await.unwrap().unwrap();
        assert_eq!(clogged, taken, "what was emitted to it alone is not dropped");
        assert!(got < 40);
        missed.push((policy, 40 - got));
        client.close().await;
    }
    let (mut client, _) = stalled(&server).await;
    assert_eq!(server.io.to("room").emit("n", 1).await, Ok(0));
    assert_eq!(client.closed().await.0, 1008);
    missed.push(("disconnect", 1));
    until("it is gone", || server.io.stats().sockets == 0).await;
    let told = recorder.read(&server.io);
    assert_eq!(told.family("eventwire_dropped_total"), missed.iter().copied().collect());
    assert_eq!(server.io.stats().dropped, missed.iter().map(|(_, n)| n).sum::<u64>());
    assert_eq!(told.family("eventwire_closes_total").get("slow"), Some(&1));
    assert_eq!(server.io.health().errors.slow, 1);
    assert_eq!((told.get("eventwire_outbox_messages"), told.get("eventwire_outbox_deepest_bytes")), (0, 0));
}

#[tokio::test]
async fn how_far_the_slowest_member_is_behind() {
    let recorder = Recorder::new();
    let server = Server::narrow_of(builder("lag", json!({})).build().unwrap()).await;
    server.io.rooms("log").public().history(History::messages(2000));
    let mut quick = server.client_in("log").await;
    let mut slow = Client::narrow(&server).await;
    slow.request("subscribe", json!("log")).await.unwrap();
    let told = recorder.read(&server.io);
    assert_eq!((told.get("eventwire_lag_messages"), told.get("eventwire_logs")), (0, 1));
    let data = "x".repeat(1000);
    for _ in 0..1000 {
        server.io.to("log").emit("n", &data).await.unwrap();
    }
    for _ in 0..1000 {
        quick.expect("n").await;
    }
    let behind = settled(|| recorder.read(&server.io).get("eventwire_lag_messages")).await;
    // What it has not got is on its way or in the room: some lies in the kernel.
    assert!((300..1000).contains(&behind), "{behind}");
    let told = recorder.read(&server.io);
    let bytes = told.get("eventwire_lag_bytes");
    assert!(bytes > behind * 1000 && bytes < behind * 1100, "{bytes} for {behind}");
    assert_eq!(told.get("eventwire_logged_messages"), 1000);
    for _ in 0..1000 {
        slow.expect("n").await;
    }
    until("it has caught up", || recorder.read(&server.io).get("eventwire_lag_messages") == 0).await;
    assert_eq!(recorder.read(&server.io).get("eventwire_lag_bytes"), 0);

    // Overtaken, it is told a gap, which is counted.
    for _ in 0..6000 {
        server.io.to("log").emit("n", &data).await.unwrap();
        tokio::task::yield_now().await;
    }
    let told = recorder.read(&server.io);
    assert!(told.get("eventwire_lag_messages") > told.get("eventwire_logged_messages"), "those that it missed, too");
    let told_by = |client: &Client| client.id.clone();
    assert_ne!(told_by(&quick), told_by(&slow));
    let mut gaps = 0;
    for client in [&mut quick, &mut slow] {
        let mut last = 0;
        while last < 7000 {
            let frame = client.wait_for(|frame| frame["event"] == "gap" || frame["seq"].is_u64()).await;
            if frame["event"] == "gap" {
                gaps += 1;
            }
            last = frame["seq"].as_u64().unwrap_or(last);
        }
    }
    assert!(gaps > 0);
    assert_eq!(recorder.read(&server.io).get("eventwire_gaps_total"), gaps);
}

#[tokio::test]
async fn what_waits_for_handlers_and_who_is_not_read() {
    let recorder = Recorder::new();
    let server = server("inbox", json!({"inbox": {"messages": 5}})).await;
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    server.io.on::<()>("wait", move |_: Socket, ()| {
        let wait = wait.clone();
        async move { wait.notified().await }
    });
    let mut client = server.client().await;
    let _other = server.client().await;
    for _ in 0..20 {
        client.send("wait", json!(null)).await;
    }
    until("reading pauses", || recorder.read(&server.io).get("eventwire_reading_paused") == 1).await;
    let told = recorder.read(&server.io);
    assert_eq!((told.get("eventwire_inbox_messages"), told.get("eventwire_inbox_deepest_messages")), (5, 5));
    assert!(told.get("eventwire_inbox_bytes") > 0);
    until("all are handled", || {
        go.notify_one();
        recorder.read(&server.io).0.get("eventwire_handler_seconds_count{event=\"wait\"}") == Some(&20.0)
    })
    .await;
    let told = recorder.read(&server.io);
    assert_eq!((told.get("eventwire_inbox_messages"), told.get("eventwire_reading_paused")), (0, 0));
}
