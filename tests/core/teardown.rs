//! Invariants 10 and 11: a disconnect is one thing, in one order, after which nothing is left; and what
//! was said before it arrives before the close frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eventwire::{JoinError, RequestError, Socket};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

/// Notes what a socket is like when `on_disconnect` runs.
fn note_the_end(server: &Server) -> Log {
    let log = Log::default();
    let note = log.clone();
    server.io.on_disconnect(move |socket: Socket, _| {
        let log = note.clone();
        async move {
            let mut rooms = socket.rooms();
            rooms.sort();
            let members: usize = rooms.iter().map(|room| socket.io().room_len(room)).sum();
            log.add(format!("was in {rooms:?}, of which it is in {members}, connected {}", socket.is_connected()));
            log.add(format!("known {}", socket.io().socket(socket.id()).is_some()));
        }
    });
    log
}

#[tokio::test]
async fn invariant_10_the_end_is_in_order_and_runs_once() {
    let server = Server::new().await;
    let log = note_the_end(&server);
    let note = log.clone();
    server.io.on::<()>("work", move |socket: Socket, ()| {
        let log = note.clone();
        async move {
            log.add("work begins");
            let asked = socket.request::<Value>("question", 1).await;
            assert_eq!(asked, Err(RequestError::Disconnected));
            log.add(format!("the request has failed, in {} rooms", socket.io().room_len("a")));
            assert_eq!(socket.join("c").await, Err(JoinError::Disconnected));
            socket.leave("a");
            sleep(Duration::from_millis(100)).await;
            log.add("work ends");
        }
    });
    let mut client = server.client().await;
    let socket = server.socket(&client);
    socket.join("a").await.unwrap();
    socket.join("b").await.unwrap();
    client.ask("work", json!(null)).await;
    client.expect("question").await;
    drop(client);
    until("on_disconnect has run", || log.len() >= 5).await;
    let expected = [
        "work begins",
        "the request has failed, in 0 rooms",
        "work ends",
        // The handler had its time to finish, and this comes last; `rooms` still answers.
        r#"was in ["a", "b"], of which it is in 0, connected false"#,
        "known false",
    ];
    assert_eq!(log.all(), expected);
    socket.disconnect();
    settle().await;
    assert_eq!(log.len(), 5, "once");
    let stats = server.io.stats();
    assert_eq!((stats.sockets, stats.rooms, stats.members, stats.panics), (0, 0, 0, 0));
}

#[tokio::test]
async fn invariant_10_handlers_get_drain_timeout_and_are_then_cancelled() {
    let server = Server::with(json!({"drainTimeout": "150ms"})).await;
    let log = note_the_end(&server);
    let hang = |event: &str| {
        let log = log.clone();
        server.io.on::<()>(event, move |_, ()| {
            let (log, guard) = (log.clone(), Dropped(log.clone(), "cancelled"));
            async move {
                let _guard = guard;
                log.add("hangs");
                std::future::pending::<()>().await;
            }
        })
    };
    hang("lane");
    hang("beside").concurrent(5);
    let mut client = server.client().await;
    for event in ["beside", "beside", "lane"] {
        client.ask(event, json!(null)).await;
    }
    until("all three hang", || log.len() == 3).await;
    let start = Instant::now();
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    until("on_disconnect has run", || log.has("known false")).await;
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(140)..Duration::from_secs(3)).contains(&elapsed), "{elapsed:?}");
    until("all are cancelled", || log.all().iter().filter(|what| *what == "cancelled").count() == 3).await;
}

#[tokio::test]
async fn default_drain_timeout_is_5_s() {
    let server = Server::new().await;
    let log = note_the_end(&server);
    let note = log.clone();
    server.io.on::<()>("hang", move |_, ()| {
        let guard = Dropped(note.clone(), "cancelled");
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let mut client = server.client().await;
    client.send("hang", json!(null)).await;
    until("it is read", || server.io.stats().messages_in == 1).await;
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    skip(Duration::from_millis(4_500)).await;
    assert_eq!(log.len(), 0, "4.5 s are not too long");
    skip(Duration::from_millis(600)).await;
    until("on_disconnect has run", || log.has("known false")).await;
    until("it is cancelled", || log.has("cancelled")).await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_closed_is_handled() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on::<u32>("save", move |_, n| {
        let log = note.clone();
        async move {
            sleep(Duration::from_millis(1)).await;
            log.add(n);
        }
    });
    let note = log.clone();
    server.io.on_disconnect(move |_, _| std::future::ready(note.add("gone")));
    for _ in 0..20 {
        let mut client = server.client().await;
        let before = log.len();
        for n in 0..20 {
            client.send("save", json!(n)).await;
        }
        client.close().await;
        until("all is handled", || log.len() == before + 21).await;
        let expected: Vec<_> = (0..20).map(|n| n.to_string()).chain(["gone".to_owned()]).collect();
        assert_eq!(log.all().split_off(before), expected, "in order, and then `on_disconnect`");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_10_on_disconnect_runs_once_whoever_ends_it() {
    let server = Server::new().await;
    let called = Arc::new(AtomicUsize::new(0));
    let count = called.clone();
    server.io.on_disconnect(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    });
    server.io.on::<()>("bye", async |socket: Socket, ()| socket.disconnect());
    for round in 0..200u64 {
        let mut client = server.client().await;
        let socket = server.socket(&client);
        // All at once: a handler, another task, the client.
        client.send("bye", json!(null)).await;
        let other = tokio::spawn(async move { socket.disconnect() });
        match round % 3 {
            0 => drop(client),
            1 => client.close().await,
            _ => {
                client.send("bye", json!(null)).await;
                assert_eq!(client.closed().await.0, 1000);
            }
        }
        other.await.unwrap();
    }
    until("all are gone", || server.io.stats().sockets == 0).await;
    until("all are told", || called.load(Ordering::SeqCst) == 200).await;
    settle().await;
    assert_eq!(called.load(Ordering::SeqCst), 200);
    assert_eq!((server.io.stats().connected, server.io.stats().panics), (200, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_11_what_was_emitted_before_disconnect_arrives_before_the_close_frame() {
    let server = Server::new().await;
    server.io.on::<u64>("burst", |socket: Socket, n| async move {
        for line in 0..n {
            socket.emit("line", (line, "x".repeat(100))).await?;
        }
        socket.io().broadcast().emit("last", n).await?;
        socket.disconnect();
        eventwire::ok("after the end")
    });
    for round in 0..200u64 {
        let lines = mixed(round) % 900;
        let mut client = server.client().await;
        client.ask("burst", json!(lines)).await;
        let (code, before) = client.closed().await;
        assert_eq!((code, before.len() as u64), (1000, lines + 2), "round {round}");
        for (n, frame) in before[..lines as usize].iter().enumerate() {
            assert_eq!(frame["data"][0], n, "round {round}");
        }
        assert_eq!(before[lines as usize]["event"], "last");
        let closing =
            json!({"code": "disconnect", "reason": "disconnected by the server", "reconnect": false, "after": 0});
        assert_eq!(before[lines as usize + 1], json!({"event": "closing", "data": closing}));
    }
}

#[tokio::test]
async fn invariant_11_a_slow_reader_gets_all_of_it_too() {
    let server = Server::narrow(json!({})).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    for n in 0..1000 {
        socket.emit("line", (n, "x".repeat(1000))).await.unwrap();
    }
    socket.disconnect();
    assert!(socket.emit("late", 1).await.is_err());
    let (code, before) = client.closed().await;
    assert_eq!((code, before.len()), (1000, 1001));
    assert!(before[..1000].iter().enumerate().all(|(n, frame)| frame["data"][0] == n));
}

#[tokio::test]
async fn after_disconnect_the_peer_need_not_answer_the_close_frame() {
    let server = Server::new().await;
    let log = note_the_end(&server);
    let mut raw = server.raw().await;
    server.io.sockets()[0].disconnect();
    let (code, _) = raw.closed().await;
    assert_eq!(code, 1000);
    // It stays silent; the server lingers for a second, and then it is over.
    until("it is gone", || log.has("known false")).await;
    assert_eq!(raw.frame().await, None);
}

#[tokio::test]
async fn the_socket_stays_a_valid_handle_after_its_end() {
    let server = Server::new().await;
    let client = server.client().await;
    let socket = server.socket(&client);
    socket.extensions().insert(5u32);
    client.close().await;
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!(*socket.extensions().get::<u32>().unwrap(), 5);
    assert_eq!(socket.handshake().path(), "/ws");
    socket.disconnect();
    socket.leave("room");
    let id = socket.on::<()>("e", async |_, ()| ());
    assert_eq!(socket.off(id), 1);
    assert_eq!(socket.to("room").emit("e", 1).await, Ok(0));
    assert_eq!(socket.rooms(), Vec::<String>::new());
}
