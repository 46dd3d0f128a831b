//! Folds that fail, take their time, or call back.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use eventwire::{History, Io};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::follow::*;
use crate::support::*;

#[tokio::test]
async fn a_fold_that_panics_leaves_a_room_that_tells_gaps() {
    let history = History::messages(4).snapshot("sum", 0u64, |sum: &mut u64, message| {
        assert!(message.seq != 10, "no ten");
        *sum += message.seq;
    });
    let server = server(history).await;
    publish(&server.io, "log", 13).await;
    let mut client = server.client_in("log").await;
    assert_eq!(client.next().await["data"], 45, "up to nine all is well");
    assert_eq!(seqs(&arrived(&mut client).await), [10, 11, 12, 13]);
    for more in [14..=16, 17..=20] {
        publish(&server.io, "log", more.clone().count() as u64).await;
        assert_eq!(seqs(&arrived(&mut client).await), more.collect::<Vec<u64>>());
    }
    let epoch = server.io.room("log").epoch().unwrap();
    let mut late = server.client().await;
    let ack = late.request("subscribe", json!({"room": "log", "since": 9, "epoch": &*epoch})).await.unwrap();
    assert_eq!(ack["from"], 17);
    let gap = late.next().await["data"].clone();
    assert_eq!(gap, json!({"room": "log", "epoch": &*epoch, "from": 10, "to": 16, "reason": "evicted"}));
    assert_eq!(seqs(&arrived(&mut late).await), [17, 18, 19, 20]);
    // Another life begins with a new state.
    server.io.room("log").clear();
    publish(&server.io, "log", 6).await;
    let mut again = server.client_in("log").await;
    assert_eq!(again.next().await["data"], 3);
}

#[derive(Clone)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it cannot be written"))
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_written_leaves_a_room_that_tells_gaps() {
    let server = server(History::messages(4).snapshot("sum", Unwritable, |_, _| ())).await;
    publish(&server.io, "log", 10).await;
    let mut client = server.client().await;
    client.request("subscribe", json!("log")).await.unwrap();
    let gap = client.next().await["data"].clone();
    assert_eq!((&gap["from"], &gap["to"], &gap["reason"]), (&json!(1), &json!(6), &json!("slow")));
    assert_eq!(seqs(&arrived(&mut client).await), [7, 8, 9, 10]);
    publish(&server.io, "log", 3).await;
    assert_eq!(seqs(&arrived(&mut client).await), [11, 12, 13]);
    assert_eq!(server.io.room("log").len(), 4);
}

/// Whatever a fold calls, it does not wait for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_may_call_everything_its_own_room_included() {
    let own: Arc<Mutex<Option<Io>>> = Arc::default();
    let io = own.clone();
    let history = History::messages(4).snapshot("sum", 0u64, move |count: &mut u64, message| {
        *count += 1;
        let io = io.lock().unwrap().clone().unwrap();
        let _ = (io.stats(), io.room("log").last_seq(), io.room("log").read(..).len(), io.room("log").bytes());
        drop(io.to("log:other").emit("folded", message.seq));
        if message.seq % 3 == 0 {
            drop(io.to("log").emit("echo", message.seq));
        }
        for socket in io.sockets() {
            drop(socket.to("log").volatile().emit("v", 1));
        }
    });
    let server = server(history).await;
    server.io.rooms("log:other").history(History::default());
    *own.lock().unwrap() = Some(server.io.clone());
    let client = server.client_in("log").await;
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let io = server.io.clone();
            tokio::spawn(async move { publish(&io, "log", 100).await })
        })
        .collect();
    for task in tasks {
        within("no deadlock", task).await.unwrap();
    }
    let room = server.io.room("log");
    until("all is folded", || room.len() == 4).await;
    let folded = room.first_seq() - 1;
    let other = server.io.room("log:other").read(..);
    let told: Vec<u64> = other.iter().map(|message| message.decode().unwrap()).collect();
    assert_eq!(told, (1..=folded).collect::<Vec<u64>>(), "each message once, in order");
    drop(client);
    *own.lock().unwrap() = None;
}

/// A fold that stands still while its gate is closed, and says when it has begun.
fn gated() -> (History, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (began, begun) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (began, gate) = (Mutex::new(began), Mutex::new(gate));
    let history = History::messages(4).snapshot("sum", 0u64, move |count: &mut u64, _| {
        *count += 1;
        let _ = began.lock().unwrap().send(());
        let _ = gate.lock().unwrap().recv();
    });
    (history, begun, open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_that_takes_its_time_holds_up_nobody_but_who_needs_the_snapshot() {
    let (history, begun, open) = gated();
    let server = server(history).await;
    let mut member = server.client_in("log").await;
    let io = server.io.clone();
    let folding = tokio::task::spawn_blocking(move || {
        for n in 1..=5 {
            crate::kit::at_once(io.to("log").emit("n", n)).unwrap();
        }
    });
    begun.recv_timeout(DEADLINE).unwrap();
    publish(&server.io, "log", 20).await;
    let mut follower = Follower { room: "log".into(), next: Some(1), ..Follower::default() };
    follower.read_to(&mut member, 25).await;
    // Nothing is taken out before it is folded.
    let mut late = server.client_in("log").await;
    assert_eq!(late.next().await["seq"], 1);
    // However small the ring, a fold has some time to come back.
    publish(&server.io, "log", 2_000).await;
    follower.read_to(&mut member, 2025).await;
    drop(open);
    folding.await.unwrap();
    until("it has caught up", || server.io.room("log").len() == 4).await;
    let mut last = server.client_in("log").await;
    assert_eq!(last.next().await["data"], 2021);
}

/// What was emitted before the end arrives before the end, though the snapshot is not at hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_waits_for_a_snapshot_gets_the_ring_before_its_end() {
    for ends_first in [false, true] {
        let (history, begun, open) = gated();
        let server = server(history).await;
        let io = server.io.clone();
        let folding = tokio::task::spawn_blocking(move || {
            for n in 1..=6 {
                crate::kit::at_once(io.to("log").emit("n", n)).unwrap();
            }
        });
        begun.recv_timeout(DEADLINE).unwrap();
        open.send(()).unwrap();
        // The first is folded and taken out; somebody folds the second, and keeps the state.
        begun.recv_timeout(DEADLINE).unwrap();
        let mut client = server.client().await;
        let ack = client.request("subscribe", json!("log")).await.unwrap();
        assert_eq!((&ack["seq"], &ack["from"]), (&json!(6), &json!(2)));
        let socket = server.socket(&client);
        if !ends_first {
            client.request("ping", json!(1)).await.unwrap();
        }
        socket.disconnect();
        let (code, frames) = client.closed().await;
        assert_eq!(code, 1000);
        let gap = &frames[0]["data"];
        assert_eq!((&gap["from"], &gap["to"], &gap["reason"]), (&json!(1), &json!(1), &json!("slow")), "{frames:?}");
        assert_eq!(seqs(&frames[1..frames.len() - 1]), [2, 3, 4, 5, 6]);
        assert_eq!(frames.last().unwrap()["event"], "closing");
        drop(open);
        folding.await.unwrap();
    }
}
