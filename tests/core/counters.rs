//! What is counted is counted for good: over those that are here and those that are gone.

use std::sync::atomic::{AtomicBool, Ordering};

use eventwire::{Io, Socket, Stats};
use serde_json::json;
use tokio::runtime::Handle;

use crate::support::*;

#[tokio::test]
async fn counters_are_summed_over_those_here_and_those_gone() {
    let server = Server::new().await;
    server.io.rooms("room").public();
    server.io.on::<String>("echo", |socket: Socket, text| async move { socket.emit("echo", text).await });
    let (mut all, mut open) = ((0u64, 0u64), Vec::new());
    for round in 1..=5u64 {
        let mut client = server.client().await;
        let text = r#"{"event":"echo","data":"0123456789"}"#;
        for _ in 0..10 {
            client.send_text(text).await;
            assert_eq!(client.expect("echo").await, "0123456789");
        }
        // `connected` and ten echoes; what is read in time is counted when it is asked for.
        all.0 += 10 * text.len() as u64;
        let frame = r#"{"event":"echo","data":"0123456789"}"#.len() as u64 + 2;
        let connected = json!({"event": "connected", "data": client.connected}).to_string().len() as u64 + 4;
        all.1 += 10 * frame + connected;
        if round % 2 == 0 {
            drop(client);
        } else {
            open.push(client);
        }
        let expected = || {
            let stats = server.io.stats();
            (stats.messages_in, stats.messages_out, stats.bytes_in) == (round * 10, round * 11, all.0)
        };
        until("all is counted", expected).await;
        until("bytes, too", || server.io.stats().bytes_out == all.1).await;
        assert_eq!(server.io.stats().connected, round);
    }
    let stats = serde_json::to_value(server.io.stats()).unwrap();
    for key in ["sockets", "rooms", "members", "connected", "messagesIn", "bytesIn", "messagesOut", "bytesOut"] {
        assert!(stats[key].is_u64(), "{key}: {stats}");
    }
    assert!(stats["encoded"].is_u64() && stats["dropped"].is_u64() && stats["panics"].is_u64(), "{stats}");
}

/// The counters alone, which only grow.
fn counters(stats: &Stats) -> [u64; 5] {
    [stats.connected, stats.messages_in, stats.bytes_in, stats.messages_out, stats.bytes_out]
}

/// Reads the counters all the time, until it is told to stop. Returns how often.
fn watch(io: &Io, stop: &AtomicBool) -> usize {
    let (mut before, mut read) = ([0; 5], 0);
    while !stop.load(Ordering::Relaxed) {
        let now = counters(&io.stats());
        assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{before:?}, then {now:?}");
        (before, read) = (now, read + 1);
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_never_go_back_while_sockets_go() {
    let server = Server::new().await;
    server.io.on::<String>("echo", |socket: Socket, text| async move { socket.emit("echo", text).await });
    let stop = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&server.io, &stop));
        tokio::task::block_in_place(|| {
            Handle::current().block_on(async {
                for _ in 0..20 {
                    let mut clients = Vec::new();
                    for _ in 0..20 {
                        let mut client = server.client().await;
                        client.send_text(r#"{"event":"echo","data":"0123456789"}"#).await;
                        assert_eq!(client.expect("echo").await, "0123456789");
                        clients.push(client);
                    }
                    drop(clients);
                    until("all are gone", || server.io.stats().sockets == 0).await;
                }
            })
        });
        stop.store(true, Ordering::Relaxed);
        watching.join()
    });
    assert!(read.unwrap() > 20, "it looked");
    let stats = server.io.stats();
    assert_eq!((stats.connected, stats.messages_in, stats.messages_out), (400, 400, 800));
}

#[tokio::test]
async fn what_the_kernel_took_of_the_last_turn_is_counted() {
    let server = Server::narrow(json!({})).await;
    let mut client = Client::narrow(&server).await;
    let data = "x".repeat(100);
    let socket = server.socket(&client);
    for n in 0..800 {
        socket.try_emit("n", (n, &data)).unwrap();
    }
    for n in 0..50 {
        assert_eq!(client.expect("n").await[0], n);
    }
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    let sent = server.io.stats().messages_out;
    assert!((51..801).contains(&sent), "50 and `connected` were read, and not all were sent: {sent}");
}
