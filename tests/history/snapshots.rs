//! What was evicted, folded into a state: snapshot and ring together are everything.

use std::sync::Arc;
use std::time::Duration;

use eventwire::{History, Io};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::follow::*;
use crate::kit::{at_once, mixed};
use crate::support::*;

/// What the messages come to: how many, their sum, and a number that depends on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    count: u64,
    sum: u64,
    order: u32,
}

impl Sum {
    fn add(&mut self, n: u64) {
        self.count += 1;
        self.sum += n;
        self.order = self.order.wrapping_mul(31).wrapping_add(n as u32);
    }
}

fn summed(history: History) -> History {
    history.snapshot("sum", Sum::default(), |sum: &mut Sum, message| sum.add(message.decode().unwrap()))
}

/// Follows, and keeps the sum of all it has been told of.
async fn sum_to(client: &mut Client, follower: &mut Follower, last: u64) -> Sum {
    let mut sum = Sum::default();
    while follower.next.is_none_or(|next| next <= last) {
        let frame = client.next().await;
        assert!(follower.take(&frame), "{frame}");
        if frame["snapshot"] == true {
            assert_eq!(frame["event"], "sum");
            sum = serde_json::from_value(frame["data"].clone()).unwrap();
            assert_eq!(frame["seq"], sum.count, "the number of the last one folded");
        } else if frame["event"] == "n" {
            sum.add(frame["data"].as_u64().unwrap());
        }
    }
    sum
}

#[tokio::test]
async fn who_begins_behind_the_ring_gets_the_snapshot_and_then_the_ring() {
    let server = server(summed(History::messages(4))).await;
    publish(&server.io, "log", 3).await;
    let mut early = server.client().await;
    let mut follower = follow(&mut early, json!("log")).await;
    assert_eq!(sum_to(&mut early, &mut follower, 3).await.count, 3);
    assert_eq!(follower.snapshots, 0, "nothing was evicted yet");
    publish(&server.io, "log", 7).await;
    let epoch = server.io.room("log").epoch().unwrap();
    let snapshot = json!({"event": "sum", "room": "log", "seq": 6, "snapshot": true, "data": {"count": 6, "sum": 21,
        "order": (1..=6u32).fold(0u32, |order, n| order.wrapping_mul(31) + n)}});
    for data in [
        json!("log"),
        json!({"room": "log", "since": 0, "epoch": &*epoch}),
        json!({"room": "log", "since": 5, "epoch": &*epoch}),
        json!({"room": "log", "last": 9}),
    ] {
        let mut client = server.client().await;
        let ack = client.request("subscribe", data.clone()).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(10), &json!(7)), "{data}");
        assert_eq!(client.next().await, snapshot, "{data}");
        assert_eq!(seqs(&arrived(&mut client).await), [7, 8, 9, 10]);
    }
    for data in [json!({"room": "log", "since": 6, "epoch": &*epoch}), json!({"room": "log", "last": 4})] {
        let mut client = server.client().await;
        client.request("subscribe", data).await.unwrap();
        assert_eq!(seqs(&arrived(&mut client).await), [7, 8, 9, 10], "who needs none gets none");
    }
    let mut other = server.client().await;
    other.request("subscribe", json!({"room": "log", "since": 3, "epoch": "other"})).await.unwrap();
    assert_eq!(other.next().await["data"]["reason"], "epoch");
    assert_eq!(other.next().await, snapshot);
    assert_eq!(seqs(&arrived(&mut other).await), [7, 8, 9, 10]);
}

#[tokio::test]
async fn clear_resets_the_state() {
    let server = server(summed(History::messages(2))).await;
    publish(&server.io, "log", 10).await;
    server.io.room("log").clear();
    publish(&server.io, "log", 5).await;
    let mut client = server.client_in("log").await;
    let snapshot = client.next().await;
    assert_eq!((&snapshot["seq"], &snapshot["data"]["sum"]), (&json!(3), &json!(6)));
    assert_eq!(seqs(&arrived(&mut client).await), [4, 5]);
}

#[tokio::test]
async fn what_becomes_too_old_is_folded_too() {
    let server = server(summed(History::messages(100).ttl(Duration::from_millis(200)))).await;
    let keeper = server.client_in("log").await;
    publish(&server.io, "log", 10).await;
    until("all are too old", || server.io.room("log").is_empty()).await;
    let mut client = server.client().await;
    let ack = client.request("subscribe", json!("log")).await.unwrap();
    assert_eq!((&ack["seq"], &ack["from"]), (&json!(10), &json!(11)));
    let snapshot = client.next().await;
    assert_eq!((&snapshot["seq"], &snapshot["data"]["sum"]), (&json!(10), &json!(55)));
    drop(keeper);
}

#[tokio::test]
async fn a_laggard_that_is_overtaken_gets_the_snapshot_in_place_of_a_gap() {
    let server = Server::narrow(json!({})).await;
    let history = History::bytes(64 * 1024).snapshot("sum", 0u64, |count: &mut u64, _| *count += 1);
    rules(&server.io, history);
    let mut client = Client::narrow(&server).await;
    let mut follower = follow(&mut client, json!("log")).await;
    let data = "x".repeat(4000);
    for _ in 0..1500 {
        at_once(server.io.to("log").emit("n", &data)).unwrap();
        tokio::task::yield_now().await;
    }
    let mut count = 0;
    while follower.next != Some(1501) {
        let frame = client.next().await;
        assert!(follower.take(&frame), "{frame}");
        count = if frame["snapshot"] == true { frame["data"].as_u64().unwrap() } else { count + 1 };
    }
    assert_eq!(count, 1500);
    assert!(follower.snapshots > 0 && follower.gaps.is_empty(), "{follower:?}");
    assert_eq!(server.io.stats().gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_and_ring_are_everything_for_joiners_and_laggards_under_publishers() {
    const EACH: u64 = 1_500;
    let server = Arc::new(Server::narrow(json!({})).await);
    rules(&server.io, summed(History::messages(40)));
    let publish = |io: Io, publisher: u64| async move {
        for n in 0..EACH {
            io.to("log").emit("n", mixed(n << 8 | publisher) % 1000).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let publishing: Vec<_> = (0..3).map(|one| tokio::spawn(publish(server.io.clone(), one))).collect();
    let last = 3 * EACH;
    let following: Vec<_> = (0..8u64)
        .map(|n| {
            let server = server.clone();
            tokio::spawn(async move {
                until("its time", || server.io.room("log").last_seq() >= n * last / 10).await;
                let mut client = if n % 2 == 0 { server.client().await } else { Client::narrow(&server).await };
                let ack = client.request("subscribe", json!("log")).await.unwrap();
                let mut follower = Follower::begun(&ack).behind(0);
                if n % 2 == 1 {
                    until("it lags", || server.io.room("log").last_seq() == last).await;
                }
                let sum = sum_to(&mut client, &mut follower, last).await;
                assert!(follower.gaps.is_empty(), "{follower:?}");
                sum
            })
        })
        .collect();
    for task in publishing {
        task.await.unwrap();
    }
    let mut late = server.client_in("log").await;
    let mut follower = Follower { room: "log".into(), next: Some(1), ..Follower::default() };
    let expected = sum_to(&mut late, &mut follower, last).await;
    let sum: u64 = (0..3).flat_map(|one| (0..EACH).map(move |n| mixed(n << 8 | one) % 1000)).sum();
    assert_eq!((expected.count, expected.sum), (last, sum));
    for following in following {
        assert_eq!(within("a follower", following).await.unwrap(), expected);
    }
}
