//! Many at once: some that never acknowledge, some that refuse, some that come and go. Each message is acknowledged, sent again or
//! given up, and what the server counts is what the clients counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::GivenUp;
use futures::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::*;

const ROOM: &str = "once:crowd";

/// What one client saw and said.
#[derive(Debug, Default)]
struct Saw {
    /// How often each number came.
    came: HashMap<u64, u64>,
    marked: u64,
    refused: u64,
    /// Its last unbroken number.
    highest: u64,
}

/// Reads to the last number, which it acknowledges.
async fn read(mut client: Client, last: u64, refuses: bool, sent: Arc<AtomicU64>) -> Saw {
    let mut saw = Saw::default();
    let mut open: std::collections::BTreeSet<u64> = (1..=last).collect();
    while !open.is_empty() {
        let frame = client.next().await;
        let (seq, again) = (frame["seq"].as_u64().unwrap(), frame["again"].as_u64().unwrap_or(0));
        *saw.came.entry(seq).or_default() += 1;
        saw.marked += u64::from(again > 0);
        if refuses && again == 0 && seq % 3 == 0 {
            saw.refused += 1;
            nack(&mut client, ROOM, seq).await;
            continue;
        }
        open.remove(&seq);
        ack(&mut client, ROOM, seq).await;
    }
    sent.fetch_add(1, Ordering::Relaxed);
    // Until all that it said has been heard.
    client.request("ping", Value::Null).await.unwrap();
    saw
}

/// Reads, and comes back again and again where it stopped.
async fn come_and_go(address: std::net::SocketAddr, last: u64, seed: u64) -> (Saw, u64) {
    let mut saw = Saw::default();
    let (mut epoch, mut acked, mut reconnects, mut dice) = (Value::Null, 0, 0, seed);
    while acked < last {
        let mut client = Client::connect(address, "/ws").await;
        let subscribe = match acked {
            0 => json!(ROOM),
            _ => json!({"room": ROOM, "since": acked, "epoch": epoch}),
        };
        let answer = client.request("subscribe", subscribe).await.unwrap();
        epoch = answer["epoch"].clone();
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (reads, acks) = ((dice >> 33) % 80 + 1, (dice >> 50) % 5 + 1);
        for n in 0..reads {
            let frame = client.next().await;
            let seq = frame["seq"].as_u64().unwrap();
            *saw.came.entry(seq).or_default() += 1;
            saw.highest = saw.highest.max(seq);
            if n % acks == 0 || seq == last {
                // What it has acknowledged is what it knows to go on from; a later one that came again is behind it.
                acked = acked.max(seq);
                ack(&mut client, ROOM, seq).await;
            }
            if acked == last {
                break;
            }
        }
        if acked == last {
            client.request("ping", Value::Null).await.unwrap();
        }
        // Without a close frame, as a train into a tunnel.
        drop(client);
        reconnects += 1;
    }
    (saw, reconnects)
}

/// Reads and says nothing.
async fn keep_silent(mut client: Client) -> (u64, u64) {
    let (mut came, mut marked) = (0, 0);
    while let Some(Ok(message)) = client.ws.next().await {
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["event"] == "n" {
                came += 1;
                marked += u64::from(frame["again"].is_u64());
            }
        }
    }
    (came, marked)
}

async fn crowd(good: usize, never: usize, refusing: usize, moving: u64, messages: u64) {
    let delivery =
        AtLeastOnce::default().ack_timeout(Duration::from_millis(1500)).tries(2).backoff(Duration::from_millis(30));
    let (server, letters) = server_with(delivery, json!({"maxInFlight": 64})).await;
    let done = Arc::new(AtomicU64::new(0));
    let mut silent = Vec::new();
    for _ in 0..never {
        silent.push(tokio::spawn(keep_silent(server.client_in(ROOM).await)));
    }
    let mut reading = Vec::new();
    for n in 0..good + refusing {
        let client = server.client_in(ROOM).await;
        reading.push(tokio::spawn(read(client, messages, n >= good, done.clone())));
    }
    let comers: Vec<_> =
        (0..moving).map(|seed| tokio::spawn(come_and_go(server.address, messages, seed + 1))).collect();
    for n in 1..=messages {
        server.io.to(ROOM).emit("n", n).await.unwrap();
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (mut refused, mut marked) = (0, 0);
    for reader in reading {
        let saw = tokio::time::timeout(Duration::from_secs(120), reader).await.expect("it reads to the end").unwrap();
        assert_eq!(saw.came.len() as u64, messages, "nothing is lost");
        refused += saw.refused;
        marked += saw.marked;
    }
    for comer in comers {
        let (saw, reconnects) =
            tokio::time::timeout(Duration::from_secs(120), comer).await.expect("it gets to the end").unwrap();
        assert_eq!(saw.came.len() as u64, messages, "nothing is lost, over {reconnects} connections");
    }
    assert_eq!(refused, refusing as u64 * (messages / 3));
    // Those that never acknowledge are sent so much twice, and then the next.
    let in_flight = never as u64 * 64;
    until("the first of the silent are given up", || server.io.stats().dead_letters >= in_flight).await;
    server.io.shutdown(Duration::from_secs(5)).await;
    let mut came = 0;
    for client in silent {
        let (all, again) = client.await.unwrap();
        came += all;
        marked += again;
    }
    until("all is told", || server.io.stats().dead_letters == letters.count() as u64).await;
    let stats = server.io.stats();
    assert_eq!(stats.nacked, refused, "each refusal was heard");
    assert!(stats.again >= marked && came > 0, "{marked} of {} came marked", stats.again);
    let told = letters.all();
    assert!(told.iter().all(|letter| letter.reason == GivenUp::Timeout && letter.tries == 2), "{told:?}");
    assert_eq!(stats.delivered, stats.acked + told.len() as u64 + stats.left, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_agree() {
    crowd(4, 2, 2, 2, 300).await;
}

/// 50 clients: 20 good ones, 10 that never acknowledge, 10 that refuse every third, 10 that come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn the_sums_of_fifty_agree() {
    crowd(20, 10, 10, 10, 3000).await;
}
