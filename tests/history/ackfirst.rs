//! The acknowledgement precedes the first frame of its room, and nothing follows that of the leave, whatever the publishers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventwire::{History, Socket};
use serde_json::json;
use tokio::time::sleep;

use crate::follow::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ack_precedes_the_rooms_first_frame_under_a_publisher_that_never_pauses() {
    let server = server(History::messages(64)).await;
    let publishers = [Publisher::start(&server.io, "log"), Publisher::start(&server.io, "log:2")];
    for round in 0..100 {
        let mut client = server.client().await;
        let data = if round % 3 == 0 { json!(["log", "log:2"]) } else { json!("log") };
        let id = client.ask("subscribe", data).await;
        let first = client.next().await;
        assert_eq!((&first["event"], &first["id"]), (&json!("ack"), &json!(id)), "round {round}: {first}");
        let acks = first["data"].as_array().cloned().unwrap_or_else(|| vec![first["data"].clone()]);
        let mut followers: Vec<Follower> = acks.iter().map(Follower::begun).collect();
        while followers.iter().any(|follower| follower.got < 80) {
            let frame = client.next().await;
            assert!(followers.iter_mut().any(|follower| follower.take(&frame)), "{frame}");
        }
    }
    for publisher in publishers {
        publisher.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_room_comes_after_the_ack_of_unsubscribe() {
    let server = server(History::messages(64)).await;
    let publisher = Publisher::start(&server.io, "log");
    let mut client = server.client().await;
    for round in 0..100 {
        let mut follower = follow(&mut client, json!("log")).await;
        follower.read(&mut client, 20).await;
        let id = client.ask("unsubscribe", json!("log")).await;
        loop {
            let frame = client.next().await;
            if frame["id"] == id {
                break;
            }
            assert!(follower.take(&frame), "round {round}: {frame}");
        }
        client.expect_nothing().await;
    }
    publisher.stop().await;
}

/// A subscription that follows an event whose handler takes time is handled in another task than the one that writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_moves_begins_behind_the_ack_wherever_that_is_handled() {
    let server = server(History::messages(2_000)).await;
    server.io.on::<()>("wait", |_: Socket, ()| sleep(Duration::from_micros(200)));
    let (io, read) = (server.io.clone(), Arc::new(AtomicU64::new(0)));
    let reader = read.clone();
    let publishing = tokio::spawn(async move {
        loop {
            // So far ahead that there is always something to send, and nothing is evicted that is asked for.
            while io.room("log").last_seq() < reader.load(Ordering::Relaxed) + 1_000 {
                publish(&io, "log", 1).await;
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    });
    let mut client = server.client().await;
    let mut follower = follow(&mut client, json!("log")).await;
    follower.read(&mut client, 100).await;
    for round in 0..150 {
        let next = follower.next.unwrap();
        read.store(next, Ordering::Relaxed);
        client.send("wait", json!(null)).await;
        let place = json!({"room": "log", "since": next - 21, "epoch": follower.epoch});
        if round % 2 == 0 {
            client.ask("unsubscribe", json!("log")).await;
        }
        let id = client.ask("subscribe", place).await;
        loop {
            let frame = client.next().await;
            if frame["id"] == id {
                follower = Follower::begun(&frame["data"]);
                assert_eq!(follower.next, Some(next - 20), "round {round}");
                break;
            }
            assert!(frame["event"] == "ack" || follower.take(&frame), "round {round}: {frame}");
        }
        follower.read(&mut client, 100).await;
    }
    publishing.abort();
}
