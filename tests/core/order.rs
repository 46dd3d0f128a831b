//! Invariant 3: what arrives in order is handled in order, and what one task says arrives in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventwire::{Pace, Socket};
use serde_json::json;
use tokio::time::sleep;

use crate::kit::*;
use crate::support::*;

/// Handlers that take their time, each in its own way.
async fn random_await(n: u64) {
    match mixed(n) % 8 {
        0 => tokio::task::yield_now().await,
        1 => sleep(Duration::from_micros(mixed(n) % 300)).await,
        2 => {
            for _ in 0..mixed(n) % 5 {
                tokio::task::yield_now().await;
            }
        }
        // One in eight goes by another thread.
        3 => drop(tokio::spawn(async {}).await),
        _ => {}
    }
}

/// Events of several sockets, all at once; each socket's must be handled in order.
async fn events_are_handled_in_order(sockets: usize, events: u64) {
    let server = Server::new().await;
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    #[derive(Default)]
    struct Next(AtomicU64);
    server.io.on::<u64>("e", move |socket: Socket, n| {
        let handled = count.clone();
        async move {
            random_await(n).await;
            let next = socket.extensions().get_or_insert_with(Next::default);
            // After the await: a task per event would be caught here.
            let expected = next.0.fetch_add(1, Ordering::Relaxed);
            handled.fetch_add(1, Ordering::Relaxed);
            if expected == n { eventwire::ok(n) } else { Err(format!("{expected} was expected, not {n}").into()) }
        }
    });
    let clients = server.clients(sockets).await;
    let exchanges = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            use futures::{SinkExt, StreamExt};
            use tokio_tungstenite::tungstenite::Message;
            let (mut writer, mut reader) = client.ws.split();
            let writing = tokio::spawn(async move {
                for n in 0..events {
                    let text = format!(r#"{{"event":"e","id":{n},"data":{n}}}"#);
                    writer.feed(Message::text(text)).await.unwrap();
                    if n % 32 == 0 {
                        writer.flush().await.unwrap();
                    }
                }
                writer.flush().await.unwrap();
                writer
            });
            for n in 0..events {
                let mut frame = within("an ack", reader.next()).await.unwrap().unwrap();
                while frame.is_ping() {
                    frame = within("an ack", reader.next()).await.unwrap().unwrap();
                }
                let expected = format!(r#"{{"event":"ack","id":{n},"data":{n}}}"#);
                assert_eq!(frame.to_text().unwrap(), expected);
            }
            drop(writing.await.unwrap());
        })
    });
    for exchange in exchanges.collect::<Vec<_>>() {
        exchange.await.unwrap();
    }
    assert_eq!(handled.load(Ordering::Relaxed), sockets as u64 * events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_order_of_5000_events_with_handlers_of_random_awaits() {
    events_are_handled_in_order(1, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_order_of_many_sockets_at_once() {
    events_are_handled_in_order(10, 500).await;
}

#[ignore = "takes a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_order_of_100000_events_with_handlers_of_random_awaits() {
    events_are_handled_in_order(1, 100_000).await;
    events_are_handled_in_order(20, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_order_of_what_one_task_emits_and_the_ack_comes_last() {
    let server = Server::new().await;
    server.io.rooms("room:*").public();
    server.io.on::<u64>("burst", |socket: Socket, round| async move {
        let io = socket.io().clone();
        for n in 0..100u64 {
            match mixed(round * 100 + n) % 6 {
                0 => io.to("room:a").emit("n", n).await.map(drop)?,
                1 => io.to("room:b").to("room:a").emit("n", n).await.map(drop)?,
                2 => io.broadcast().emit("n", n).await.map(drop)?,
                3 => io.to("room:b").paced(Pace::slowest(1 << 20)).emit("n", n).await.map(drop)?,
                4 => socket.try_emit("n", n)?,
                _ => socket.emit("n", n).await?,
            }
            if mixed(n).is_multiple_of(16) {
                random_await(round * 1000 + n).await;
            }
        }
        eventwire::ok(round)
    });
    let mut client = server.client().await;
    client.request("subscribe", json!(["room:a", "room:b"])).await.unwrap();
    for round in 0..200 {
        let id = client.ask("burst", json!(round)).await;
        for n in 0..100 {
            let frame = client.next().await;
            assert_eq!((&frame["event"], &frame["data"]), (&json!("n"), &json!(n)), "round {round}: {frame}");
        }
        let ack = client.next().await;
        assert_eq!(ack, json!({"event": "ack", "id": id, "data": round}), "after what the handler emitted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_order_of_a_broadcast_then_a_room_is_never_inverted() {
    // The fault of go-ws: inverted in 200 of 200 pairs.
    let server = Server::new().await;
    server.io.rooms("room").public();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.client_in("room").await);
    }
    // Two tasks, each with its own order.
    for task in 0..2u64 {
        let io = server.io.clone();
        tokio::spawn(async move {
            for pair in 0..200u64 {
                let name = format!("task:{task}");
                io.broadcast().emit(&name, pair * 2).await.unwrap();
                io.to("room").emit(&name, pair * 2 + 1).await.unwrap();
                if mixed(pair).is_multiple_of(4) {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for client in &mut clients {
        let mut next = [0, 0];
        while next != [400, 400] {
            let frame = client.next().await;
            let task = usize::from(frame["event"] == "task:1");
            assert_eq!(frame["data"], next[task], "{frame}");
            next[task] += 1;
        }
    }
}

#[tokio::test]
async fn invariant_03_order_of_an_error_or_a_refusal_after_what_was_emitted() {
    let server = Server::new().await;
    server.io.on::<()>("fail", |socket: Socket, ()| async move {
        socket.emit("first", 1).await?;
        Err::<(), _>(eventwire::Error::new("failed", "second"))
    });
    server.io.on::<()>("panic", |socket: Socket, ()| async move {
        socket.emit("first", 1).await.unwrap();
        oops("second");
    });
    let mut client = server.client().await;
    for event in ["fail", "panic"] {
        client.ask(event, json!(null)).await;
        assert_eq!(client.next().await["event"], "first", "{event}");
        assert_eq!(client.next().await["event"], "error", "{event}");
    }
}

#[tokio::test]
async fn invariant_03_order_of_pings_is_not_held_up_by_a_handler() {
    let server = Server::new().await;
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    let mut raw = server.raw().await;
    raw.write(&text_frame(r#"{"event":"hang","id":1}"#)).await;
    // WebSocket's own ping and the protocol's are the read loop's to answer.
    raw.write(&frame(0x89, b"hello")).await;
    assert_eq!(raw.frame().await.unwrap(), RawFrame { opcode: 10, payload: b"hello".to_vec() });
    raw.is_alive().await;
}
