//! To many at once: whom a broadcast reaches, how often, and as from which room.

use eventwire::{Except, Pace};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// Four clients: 0 in `a`, 1 in `a` and `b`, 2 in `b`, 3 in none.
async fn four() -> (Server, Vec<Client>, Vec<eventwire::Socket>) {
    let server = Server::new().await;
    let clients = server.clients(4).await;
    let sockets: Vec<_> = clients.iter().map(|client| server.socket(client)).collect();
    for (index, room) in [(0, "a"), (1, "a"), (1, "b"), (2, "b")] {
        sockets[index].join(room).await.unwrap();
    }
    (server, clients, sockets)
}

/// The rooms as from which each client has been told, `-` for none; and nothing twice.
async fn told(clients: &mut [Client], data: Value) -> Vec<String> {
    let mut told = Vec::new();
    for client in clients {
        // A ping after the broadcast: its pong comes after whatever that brought.
        client.send("ping", json!("mark")).await;
        let frame = client.next().await;
        if frame["event"] == "pong" {
            told.push("-".into());
            continue;
        }
        assert_eq!((&frame["event"], &frame["data"]), (&json!("news"), &data), "{frame}");
        told.push(frame["room"].as_str().unwrap_or("everyone").to_owned());
        assert_eq!(client.next().await["event"], "pong", "one copy");
    }
    told
}

#[tokio::test]
async fn a_broadcast_reaches_whom_it_names_once_and_counts_them() {
    let (server, mut clients, sockets) = four().await;
    let (io, socket) = (&server.io, &sockets[1]);
    let mut n = 0;
    macro_rules! check {
        ($broadcast:expr => $delivered:literal, $told:expr) => {{
            n += 1;
            assert_eq!($broadcast.emit("news", n).await, Ok($delivered), "{}", stringify!($broadcast));
            assert_eq!(told(&mut clients, json!(n)).await, $told, "{}", stringify!($broadcast));
        }};
    }
    check!(io.broadcast() => 4, ["everyone", "everyone", "everyone", "everyone"]);
    check!(io => 4, ["everyone", "everyone", "everyone", "everyone"]);
    check!(io.local() => 4, ["everyone", "everyone", "everyone", "everyone"]);
    check!(io.volatile() => 4, ["everyone", "everyone", "everyone", "everyone"]);
    check!(io.paced(Pace::slowest(1)) => 4, ["everyone", "everyone", "everyone", "everyone"]);
    check!(io.to("a") => 2, ["a", "a", "-", "-"]);
    check!(io.to("nobody") => 0, ["-", "-", "-", "-"]);
    // One copy per socket, told as from the first of the rooms named.
    check!(io.to("a").to("b") => 3, ["a", "a", "b", "-"]);
    check!(io.to("b").to("a") => 3, ["a", "b", "b", "-"]);
    check!(io.to("a").to("a").to("nobody") => 2, ["a", "a", "-", "-"]);
    check!(io.to("a").except(socket) => 1, ["a", "-", "-", "-"]);
    check!(io.to("a").except("b") => 1, ["a", "-", "-", "-"]);
    check!(io.to("a").to("b").except("a") => 1, ["-", "-", "b", "-"]);
    check!(io.to("a").except("a") => 0, ["-", "-", "-", "-"]);
    check!(io.to("a").except("nobody") => 2, ["a", "a", "-", "-"]);
    check!(io.except("b") => 2, ["everyone", "-", "-", "everyone"]);
    check!(io.except(&String::from("b")).except("a") => 1, ["-", "-", "-", "everyone"]);
    check!(io.except(&sockets[0]).except(sockets[1].id()).except(&sockets[2]) => 1, ["-", "-", "-", "everyone"]);
    check!(io.except(Except::Room("a")).except(Except::Socket(sockets[2].id())) => 1, ["-", "-", "-", "everyone"]);
    // From a socket, itself is left out, whether it is a member or not.
    check!(socket.broadcast() => 3, ["everyone", "-", "everyone", "everyone"]);
    check!(socket.to("a") => 1, ["a", "-", "-", "-"]);
    check!(socket.to("a").to("b") => 2, ["a", "-", "b", "-"]);
    check!(sockets[3].to("a") => 2, ["a", "a", "-", "-"]);
    check!(socket.except("b") => 2, ["everyone", "-", "-", "everyone"]);
    check!(socket.to("a").except(&sockets[0]) => 0, ["-", "-", "-", "-"]);
    check!(socket.to("b").local().volatile() => 1, ["-", "-", "b", "-"]);
    assert_eq!(io.stats().dropped, 0);
}

#[tokio::test]
async fn members_that_are_gone_are_not_counted() {
    let (server, mut clients, sockets) = four().await;
    // At once, though its connection is still there: it will not be sent anything.
    sockets[0].disconnect();
    assert_eq!(at_once(server.io.to("a").emit("news", 1)), Ok(1));
    assert_eq!(clients[1].next().await["data"], 1);
    let (code, before) = clients[0].closed().await;
    assert_eq!((code, before.len()), (1000, 1), "{before:?}");
    drop(clients.remove(2));
    until("both are gone", || server.io.stats().sockets == 2).await;
    assert_eq!(server.io.broadcast().emit("news", 2).await, Ok(2));
    assert_eq!(server.io.stats().dropped, 0, "the departed have missed nothing");
}

#[tokio::test]
async fn a_broadcast_of_what_is_no_json_reaches_nobody() {
    let (server, mut clients, _) = four().await;
    let no_json = std::collections::HashMap::from([(vec![1], 2)]);
    let emitted = server.io.to("a").emit("news", &no_json).await;
    assert!(matches!(emitted, Err(eventwire::EmitError::Encode(_))), "{emitted:?}");
    assert_eq!(told(&mut clients, json!(null)).await, ["-", "-", "-", "-"]);
}

#[tokio::test]
async fn a_socket_broadcasts_to_its_rooms_from_on_disconnect() {
    // The usual 'ann has left'.
    let (server, mut clients, _) = four().await;
    server.io.on_disconnect(|socket: eventwire::Socket, _| async move {
        for room in socket.rooms() {
            let told = socket.to(&room).emit("news", 1).await;
            assert_eq!(told, Ok(1));
        }
    });
    drop(clients.remove(0));
    let frame = clients[0].next().await;
    assert_eq!(frame, json!({"event": "news", "room": "a", "data": 1}));
    assert_eq!(server.io.stats().panics, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_disconnect_while_it_is_emitted_harm_nobody() {
    let server = Server::new().await;
    let mut reader = server.client().await;
    server.socket(&reader).join("room").await.unwrap();
    let (io, log) = (server.io.clone(), Log::default());
    let ended = log.clone();
    let emitting = tokio::spawn(async move {
        for n in 0..5_000u32 {
            let delivered = io.to("room").emit("n", n).await.unwrap();
            assert!((1..=5).contains(&delivered), "{delivered}");
            if n % 8 == 0 {
                tokio::task::yield_now().await;
            }
            // The reader keeps up, or it would be cut for being slow.
            while n % 512 == 511 && io.stats().messages_out < u64::from(n) / 2 {
                tokio::task::yield_now().await;
            }
        }
        ended.add("ended");
    });
    let churn = async {
        while !log.has("ended") {
            let clients = server.clients(4).await;
            for (index, client) in clients.into_iter().enumerate() {
                let socket = server.socket(&client);
                // It may be cut by the burst before it has joined.
                let _ = socket.join("room").await;
                match index {
                    0 => client.close().await,
                    1 => socket.disconnect(),
                    _ => drop(client),
                }
            }
        }
    };
    let reading = async {
        for n in 0..5_000 {
            assert_eq!(reader.next().await["data"], n, "none lost, in order");
        }
    };
    tokio::join!(churn, reading);
    emitting.await.unwrap();
    until("only the reader is left", || server.io.stats().sockets == 1).await;
    let stats = server.io.stats();
    assert_eq!((stats.members, server.io.room_len("room"), stats.panics), (1, 1, 0));
}
