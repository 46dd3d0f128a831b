//! At-least-once, over real sockets: each message is acknowledged, sent again, or given up, and the sums agree.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod by_id;
mod crowd;
mod dialects;
mod ends;
mod window;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventwire::{AtLeastOnce, DeadLetter, History, Io};
use serde_json::{Value, json};

use self::support::*;

/// Quick to send again.
pub fn quick() -> AtLeastOnce {
    AtLeastOnce::default().ack_timeout(Duration::from_millis(120)).tries(3).backoff(Duration::from_millis(20))
}

/// Slow to send again: what comes again came for another reason.
pub fn patient() -> AtLeastOnce {
    quick().ack_timeout(Duration::from_secs(60))
}

/// What was given up so far.
#[derive(Clone, Default, Debug)]
pub struct Letters(Arc<Mutex<Vec<DeadLetter>>>);

impl Letters {
    pub fn of(io: &Io) -> Letters {
        let letters = Letters::default();
        let all = letters.clone();
        io.on_dead_letter(move |letter| {
            all.0.lock().unwrap().push(letter);
            async {}
        });
        letters
    }

    pub fn all(&self) -> Vec<DeadLetter> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub async fn wait(&self, count: usize) -> Vec<DeadLetter> {
        until("letters", || self.count() >= count).await;
        self.all()
    }
}

/// With `once:*`, which remember, and `plain:*`, which do not.
async fn server(delivery: AtLeastOnce) -> (Server, Letters) {
    server_with(delivery, json!({})).await
}

async fn server_with(delivery: AtLeastOnce, config: Value) -> (Server, Letters) {
    let server = Server::with(config).await;
    server.io.rooms("once:*").public().history(History::messages(10_000)).at_least_once(delivery);
    server.io.rooms("plain:*").public().at_least_once(delivery);
    let letters = Letters::of(&server.io);
    (server, letters)
}

/// Emits `from..=to` as numbers.
async fn emit(server: &Server, room: &str, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        server.io.to(room).emit("n", n).await.unwrap();
    }
}

async fn ack(client: &mut Client, room: &str, seq: u64) {
    client.send_text(json!({"event": "ack", "room": room, "seq": seq}).to_string()).await;
}

async fn nack(client: &mut Client, room: &str, seq: u64) {
    client.send_text(json!({"event": "nack", "room": room, "seq": seq, "data": {"reason": "busy"}}).to_string()).await;
}

/// The next frame's number, and how often it was sent before.
async fn number(client: &mut Client) -> (u64, u64) {
    let frame = client.next().await;
    assert_eq!(frame["event"], "n", "{frame}");
    (frame["data"].as_u64().unwrap(), frame["again"].as_u64().unwrap_or(0))
}

async fn numbers(client: &mut Client, count: usize) -> Vec<(u64, u64)> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(number(client).await);
    }
    numbers
}

/// Whether everything that was delivered is accounted for.
fn balance(server: &Server, letters: &Letters) {
    let stats = server.io.stats();
    let sent_in_vain = letters.all().iter().filter(|letter| letter.tries > 0).map(|letter| letter.count).sum::<u64>();
    assert_eq!(stats.delivered, stats.acked + sent_in_vain + stats.left, "{stats:?}");
    assert_eq!(stats.dead_letters, letters.all().iter().map(|letter| letter.count).sum::<u64>());
}
