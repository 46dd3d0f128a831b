//! Members that do not keep up: they lag, are told what they have missed, and hold up nobody.

use std::time::{Duration, Instant};

use eventwire::{DisconnectReason, History, Io, Overflow, Pace};
use serde_json::json;

use crate::follow::*;
use crate::kit::{Log, at_once};
use crate::support::*;

/// A room that keeps 64 KiB, on a server whose kernel holds little for a peer and whose outboxes hold next to nothing.
async fn narrow(more: serde_json::Value) -> Server {
    let mut config = json!({"outbox": {"messages": 8, "bytes": "16KiB"}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let server = Server::narrow(config).await;
    rules(&server.io, History::bytes(64 * 1024));
    server
}

/// Emits so many messages of 4 KB, without waiting.
fn pour(io: &Io, messages: u64) {
    let data = "x".repeat(4000);
    for _ in 0..messages {
        assert!(at_once(io.to("log").emit("n", &data)).is_ok());
    }
}

/// Until the connections have written what they can.
async fn stuck(server: &Server) {
    settled(|| server.io.stats().bytes_out).await;
}

#[tokio::test]
async fn a_reader_that_pauses_is_told_exactly_what_it_has_missed_and_stays() {
    let server = narrow(json!({})).await;
    let mut client = Client::narrow(&server).await;
    let mut follower = follow(&mut client, json!("log")).await;
    for round in 1..=5 {
        // The first fit into the room's ring, so that some of each round arrive.
        for messages in [10, 90, 300] {
            pour(&server.io, messages);
            stuck(&server).await;
        }
        follower.read_to(&mut client, round * 400).await;
        assert_eq!(follower.gaps.len() as u64, server.io.stats().gaps);
    }
    assert!(follower.gaps.len() >= 5 && follower.gaps.iter().all(|(_, _, reason)| reason == "slow"), "{follower:?}");
    let missed: u64 = follower.gaps.iter().map(|(from, to, _)| to + 1 - from).sum();
    assert_eq!(follower.got + missed, 2000);
    client.expect_nothing().await;
    let stats = server.io.stats();
    assert_eq!((stats.dropped, stats.sockets), (0, 1), "the outbox's policy has nothing to do with it");
}

#[tokio::test]
async fn no_policy_of_the_outbox_drops_from_a_room_with_history() {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest] {
        let server = Server::narrow(json!({"outbox": {"messages": 8, "bytes": "16KiB"}})).await;
        rules(&server.io, History::bytes(16 << 20));
        let mut client = Client::narrow(&server).await;
        let mut follower = follow(&mut client, json!("log")).await;
        let data = "x".repeat(4000);
        for _ in 0..1000 {
            assert_eq!(at_once(server.io.to("log").overflow(overflow).emit("n", &data)), Ok(1));
        }
        follower.read_to(&mut client, 1000).await;
        assert!(follower.gaps.is_empty(), "{overflow:?}");
        assert_eq!(server.io.stats().dropped, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_reads_is_closed_as_stalled_and_holds_up_nobody() {
    let server = narrow(json!({"writeTimeout": "400ms"})).await;
    let reasons = Log::default();
    let note = reasons.clone();
    server.io.on_disconnect(move |_, reason: DisconnectReason| {
        note.add(format!("{reason:?}"));
        async {}
    });
    let mut deaf = Client::narrow(&server).await;
    deaf.request("subscribe", json!("log")).await.unwrap();
    let mut reader = server.client().await;
    let mut follower = follow(&mut reader, json!("log")).await;
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while reasons.len() == 0 {
        assert!(start.elapsed() < DEADLINE, "it is closed");
        let before = Instant::now();
        pour(&server.io, 4);
        longest = longest.max(before.elapsed());
        follower.read_to(&mut reader, server.io.room("log").last_seq()).await;
        // Not faster than the kernels can be told apart from stalled ones.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(reasons.all(), ["Stalled"]);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert!(follower.gaps.is_empty(), "{follower:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    until("it is no member", || server.io.room_len("log") == 1).await;
    drop(deaf);
}

/// One that does not read is so far behind that a paced emit waits for it.
async fn one_behind() -> (Server, Client, Follower) {
    let server = narrow(json!({})).await;
    server.io.rooms("log").history(History::bytes(16 << 20));
    let mut client = Client::narrow(&server).await;
    let follower = follow(&mut client, json!("log")).await;
    pour(&server.io, 800);
    stuck(&server).await;
    (server, client, follower)
}

const AN_HOUR: Duration = Duration::from_secs(3600);

fn pace() -> Pace {
    Pace::slowest(256 * 1024).at_most(AN_HOUR)
}

#[tokio::test]
async fn a_paced_emit_waits_no_longer_than_it_was_told() {
    let (server, client, _) = one_behind().await;
    let at_most = Duration::from_millis(200);
    let start = Instant::now();
    assert_eq!(server.io.to("log").paced(pace().at_most(at_most)).emit("n", 1).await, Ok(1));
    assert!(start.elapsed() >= at_most);
    assert_eq!(server.io.room("log").last_seq(), 801, "it is there, whoever lags");
    drop(client);
}

#[tokio::test]
async fn a_paced_emit_waits_for_the_slowest_cursor() {
    let (server, mut client, mut follower) = one_behind().await;
    let mut quick = server.client().await;
    quick.request("subscribe", json!({"room": "log", "last": 1})).await.unwrap();
    let mut emit = tokio::spawn(server.io.to("log").paced(pace()).emit("n", 1));
    assert_eq!(quick.wait_for(|frame| frame["seq"] == 801).await["data"], 1);
    follower.read_to(&mut client, 400).await;
    assert!(!emit.is_finished(), "half of it is more than 256 KiB");
    follower.read_to(&mut client, 801).await;
    assert_eq!(within("it goes on", &mut emit).await.unwrap(), Ok(2));
    // One that is no further behind does not wait at all.
    assert_eq!(at_once(server.io.to("log").paced(pace()).emit("n", 2)), Ok(2));
}

#[tokio::test]
async fn a_paced_emit_goes_on_when_who_lags_leaves_disconnects_or_is_moved() {
    for way in ["unsubscribe", "disconnect", "gone", "clear", "moved"] {
        let (server, mut client, follower) = one_behind().await;
        let emit = tokio::spawn(server.io.to("log").paced(pace()).emit("n", 1));
        until("it is emitted", || server.io.room("log").last_seq() == 801).await;
        let socket = server.socket(&client);
        match way {
            "unsubscribe" => socket.leave("log"),
            "disconnect" => {
                socket.disconnect();
                tokio::spawn(async move { client.closed().await });
            }
            "gone" => drop(client),
            "clear" => server.io.room("log").clear(),
            _ => {
                let place = json!({"room": "log", "since": 801, "epoch": follower.epoch});
                client.send("subscribe", place).await;
                // Where it has moved is seen when it reads on.
                tokio::spawn(async move { client.closed().await });
            }
        }
        assert!(within(way, emit).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_paced_emit_to_many_rooms_waits_for_each_and_can_be_given_up() {
    let (server, mut client, mut follower) = one_behind().await;
    for _ in 0..100 {
        let waiting = server.io.to("plain").to("log").to("log:2").paced(pace()).emit("n", 1);
        assert!(futures::FutureExt::now_or_never(waiting).is_none(), "it waits, and is dropped");
    }
    assert_eq!(server.io.room("log").last_seq(), 900, "it was emitted, waited for or not");
    follower.read_to(&mut client, 900).await;
    assert_eq!(follower.gaps, []);
}
