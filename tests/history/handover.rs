//! From the past to the present: each message once and in order, whoever publishes, comes, goes and resumes meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use eventwire::{History, Io};
use serde_json::{Value, json};

use crate::follow::*;
use crate::kit::mixed;
use crate::support::*;

const PUBLISHERS: u64 = 4;

/// Several tasks publish `[publisher, n]`.
async fn publish_from_several(io: &Io, room: &'static str, each: u64) {
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let io = io.clone();
        tokio::spawn(async move {
            for n in 1..=each {
                io.to(room).emit("n", [publisher, n]).await.unwrap();
                if mixed(n ^ publisher << 32).is_multiple_of(8) {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for publishing in futures::future::join_all(publishing).await {
        publishing.unwrap();
    }
}

/// Comes and goes in every way, and follows all the while. Returns how many messages it has checked.
async fn come_and_go(server: &Server, seed: u64, last: u64) -> u64 {
    let mut client = server.client().await;
    let mut follower = follow(&mut client, json!("log")).await;
    let mut checked = 0;
    for round in 0.. {
        let random = mixed(seed << 32 | round);
        let left = last + 1 - follower.next.unwrap();
        let messages = (random % 600).min(left);
        follower.read(&mut client, messages).await;
        if left == messages {
            break;
        }
        let next = follower.next.unwrap();
        let resume = json!({"room": "log", "since": next - 1, "epoch": follower.epoch});
        match random >> 32 & 3 {
            // The connection is lost, and another goes on.
            0 => {
                checked += follower.got;
                client = server.client().await;
                follower = follow(&mut client, resume).await;
                assert_eq!(follower.next, Some(next));
            }
            // It leaves, and comes again where it was. What was on its way is passed over.
            1 => {
                client.request("unsubscribe", json!("log")).await.unwrap();
                while client.early() > 0 {
                    follower.take(&client.next().await);
                }
                checked += follower.got;
                let since = follower.next.unwrap() - 1;
                follower = follow(&mut client, json!({"room": "log", "since": since, "epoch": follower.epoch})).await;
                assert_eq!(follower.next, Some(since + 1));
            }
            // Another comes for the last few.
            2 => {
                let mut other = server.client().await;
                let mut begun = follow(&mut other, json!({"room": "log", "last": random % 50})).await;
                begun.read(&mut other, random % 50).await;
                checked += begun.got;
            }
            // Back to where it was a while ago.
            _ => {
                let since = next.saturating_sub(random % 300 + 1);
                let place = json!({"room": "log", "since": since, "epoch": follower.epoch});
                let id = client.ask("subscribe", place).await;
                loop {
                    let frame = client.next().await;
                    if frame["id"] == id {
                        checked += follower.got;
                        follower = Follower::begun(&frame["data"]);
                        assert_eq!(follower.next, Some(since + 1));
                        break;
                    }
                    assert!(follower.take(&frame), "{frame}");
                }
            }
        }
        assert!(follower.gaps.is_empty(), "everything is kept: {follower:?}");
    }
    checked + follower.got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_get_100000_messages_without_a_gap_or_a_double() {
    const EACH: u64 = 2_100;
    let server = Arc::new(server(History::bytes(16 << 20)).await);
    let members: Vec<_> = (0..12)
        .map(|seed| {
            let server = server.clone();
            tokio::spawn(async move { come_and_go(&server, seed, EACH * PUBLISHERS).await })
        })
        .collect();
    publish_from_several(&server.io, "log", EACH).await;
    let mut checked = 0;
    for member in members {
        checked += within("a member", member).await.unwrap();
    }
    println!("{checked} messages");
    assert!(checked >= 100_000, "{checked}");
    // One more reads it all: each publisher's are complete and in order.
    let mut late = server.client_in("log").await;
    let mut from: HashMap<u64, u64> = HashMap::new();
    for seq in 1..=EACH * PUBLISHERS {
        let frame = late.next().await;
        assert_eq!(frame["seq"], seq);
        let n = from.entry(frame["data"][0].as_u64().unwrap()).or_default();
        *n += 1;
        assert_eq!(frame["data"][1], *n);
    }
    assert!(from.values().all(|n| *n == EACH), "{from:?}");
    assert_eq!(server.io.stats().gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_with_and_without_history_and_direct_emits_share_a_socket_and_each_is_complete() {
    const EACH: u64 = 500;
    let mut config = eventwire::Config::default();
    config.outbox.messages = 100_000;
    config.outbox.bytes = 64 << 20;
    let server = Server::of(Io::builder().config(config).build().unwrap()).await;
    rules(&server.io, History::bytes(16 << 20));
    let names = ["log:1", "log:2", "log:3", "plain:1", "plain:2"];
    let mut clients = server.clients(4).await;
    for client in &mut clients {
        client.request("subscribe", json!(names)).await.unwrap();
    }
    let mut publishing = Vec::new();
    for room in names {
        let io = server.io.clone();
        publishing.push(tokio::spawn(async move {
            for n in 1..=EACH {
                io.to(room).emit("n", n).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    for client in &clients {
        let socket = server.socket(client);
        publishing.push(tokio::spawn(async move {
            for n in 1..=EACH {
                socket.emit("n", n).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    for client in &mut clients {
        let mut next: HashMap<String, u64> = HashMap::new();
        for _ in 0..EACH * 6 {
            let frame = client.next().await;
            let room = frame["room"].as_str().unwrap_or("me");
            let n = next.entry(room.to_owned()).or_default();
            *n += 1;
            assert_eq!(frame["data"], *n, "{frame}");
            assert_eq!(frame["seq"], if room.starts_with("log") { json!(*n) } else { Value::Null });
        }
        assert!(next.len() == 6 && next.values().all(|n| *n == EACH), "{next:?}");
        client.expect_nothing().await;
    }
    for publishing in publishing {
        publishing.await.unwrap();
    }
}
