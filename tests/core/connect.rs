//! The beginning and the end, as an application sees them: `on_connect`, `on_disconnect`.

use std::time::Duration;

use eventwire::{DisconnectReason, Error, Socket};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::kit::*;
use crate::support::*;

fn note_reasons(server: &Server) -> Log {
    let log = Log::default();
    let reasons = log.clone();
    server.io.on_disconnect(move |_, reason| std::future::ready(reasons.add(format!("{reason:?}"))));
    log
}

#[tokio::test]
async fn connected_is_the_first_frame_and_says_what_holds_here() {
    let server = Server::with(json!({"pingInterval": "7s", "maxMessage": "2KiB"})).await;
    server.io.on_connect(|socket: Socket| async move {
        socket.emit("welcome", 1).await?;
        Ok(())
    });
    let mut client = server.client().await;
    let id: uuid::Uuid = client.id.parse().unwrap();
    assert_eq!(id.get_version_num(), 4, "unguessable");
    let expected = json!({"id": client.id, "session": null, "recovered": false, "protocol": 1, "pingInterval": 7000,
        "maxMessage": 2048});
    assert_eq!(client.connected, expected);
    assert_eq!(client.next().await, json!({"event": "welcome", "data": 1}));
    let other = server.client().await;
    assert_ne!(other.id, client.id);
}

#[tokio::test]
async fn invariant_02_handlers_registered_after_an_await_miss_nothing() {
    let server = Server::new().await;
    server.io.on_connect(|socket: Socket| async move {
        // As slow as a database: by then the client's events have long come.
        sleep(Duration::from_millis(50)).await;
        socket.on::<u32>("e", async |_, n| n);
        Ok(())
    });
    let mut clients = server.clients(20).await;
    for client in &mut clients {
        for n in 0..50 {
            client.ask("e", json!(n)).await;
        }
    }
    for client in &mut clients {
        for n in 0..50 {
            let frame = client.next().await;
            assert_eq!(frame, json!({"event": "ack", "id": n + 1, "data": n}), "in order, none missed");
        }
    }
}

#[tokio::test]
async fn invariant_02_acks_are_settled_while_on_connect_runs_and_events_wait() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on_connect(move |socket: Socket| {
        let log = note.clone();
        async move {
            let name: String = socket.request("name?", ()).await?;
            log.add(format!("connected {name}"));
            Ok(())
        }
    });
    let note = log.clone();
    server.io.on::<u32>("e", move |_, n| std::future::ready(note.add(format!("event {n}"))));
    let mut client = server.client().await;
    // It comes before the answer, and is handled after it.
    let event = client.ask("e", json!(1)).await;
    // The read loop answers by itself meanwhile.
    client.send("ping", json!("p")).await;
    assert_eq!(client.expect("pong").await, json!("p"));
    assert_eq!(log.len(), 0, "{:?}", log.all());
    client.reply("name?", json!("ann")).await;
    assert_eq!(client.answer(event).await, Ok(json!(null)));
    assert_eq!(log.all(), ["connected ann", "event 1"]);
}

#[tokio::test]
async fn an_err_of_on_connect_closes_with_its_code_and_1008() {
    for slow in [false, true] {
        let server = Server::new().await;
        let reasons = note_reasons(&server);
        let log = Log::default();
        let note = log.clone();
        server.io.on_connect(move |socket: Socket| async move {
            socket.emit("sorry", 1).await?;
            if slow {
                sleep(Duration::from_millis(20)).await;
            }
            Err(Error::new("banned", "not you again"))
        });
        server.io.on_connect(move |_| std::future::ready(note.add("the next connect handler")));
        let mut client = server.client().await;
        let (code, before) = client.closed().await;
        let closing = json!({"code": "banned", "reason": "not you again", "reconnect": false, "after": 0});
        let expected = [json!({"event": "sorry", "data": 1}), json!({"event": "closing", "data": closing})];
        assert_eq!((code, before.as_slice()), (1008, expected.as_slice()), "slow: {slow}");
        until("it is gone", || reasons.all() == [r#"Refused("banned")"#]).await;
        assert_eq!(log.len(), 0, "{:?}", log.all());
    }
}

#[tokio::test]
async fn an_err_of_on_connect_is_a_refusal_whatever_its_code() {
    let server = Server::new().await;
    server.io.on_connect(|_| async { Err(Error::new("internal", "the database is away")) });
    let mut client = server.client().await;
    let (code, before) = client.closed().await;
    // The code `internal` is anybody's; only a panic is 1011.
    assert_eq!((code, &before[0]["data"]["reason"]), (1008, &json!("the database is away")));
}

#[tokio::test]
async fn events_of_a_socket_that_on_connect_refuses_are_never_handled() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on::<u32>("delete", move |_, n| std::future::ready(note.add(n)));
    server.io.on_connect(|_| async {
        // As one that looks up in a database whether this user may come in.
        sleep(Duration::from_millis(50)).await;
        Err(Error::new("forbidden", "you may not"))
    });
    let mut client = server.client().await;
    for n in 0..10 {
        client.send("delete", json!(n)).await;
    }
    assert_eq!(client.closed().await.0, 1008);
    until("it is gone", || server.io.stats().sockets == 0).await;
    settle().await;
    assert_eq!(log.all(), Vec::<String>::new(), "a socket that was not let in has been served");
}

#[tokio::test]
async fn events_that_wait_when_a_handler_disconnects_are_not_handled() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on::<u32>("e", move |_, n| std::future::ready(note.add(n)));
    server.io.on::<()>("kick", |socket: Socket, ()| async move {
        sleep(Duration::from_millis(50)).await;
        socket.disconnect();
    });
    let mut client = server.client().await;
    client.send("kick", json!(null)).await;
    for n in 0..10 {
        client.send("e", json!(n)).await;
    }
    assert_eq!(client.closed().await.0, 1000);
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!(log.all(), Vec::<String>::new());
}

#[tokio::test]
async fn a_panic_of_on_connect_closes_with_1011_and_keeps_its_text() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    server.io.on_connect(|_| async { oops("the password is swordfish") });
    let mut raw = Raw::connect(server.address).await;
    raw.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await;
    let (code, before) = raw.closed().await;
    let before: Vec<Value> = before.iter().map(RawFrame::json).collect();
    let events: Vec<_> = before.iter().map(|frame| &frame["event"]).collect();
    // A panic at the first poll, before anything was written, does not overtake the first frame.
    assert_eq!(events, ["connected", "closing"]);
    assert_eq!((code, &before[1]["data"]["code"]), (1011, &json!("internal")));
    assert!(!format!("{before:?}").contains("swordfish"));
    until("it is gone", || reasons.all() == ["Failed"]).await;
    assert_eq!(server.io.stats().panics, 1);
}

#[tokio::test]
async fn default_on_connect_may_take_10_s() {
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    let log = Log::default();
    let note = log.clone();
    server.io.on_connect(move |_| {
        let guard = Dropped(note.clone(), "cancelled");
        async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }
    });
    let mut client = server.client().await;
    skip(Duration::from_millis(9_000)).await;
    client.expect_nothing().await;
    assert_eq!(log.len(), 0, "9 s are not too long");
    skip(Duration::from_millis(1_000)).await;
    let (code, before) = client.closed().await;
    assert_eq!((code, &before[0]["data"]["code"]), (1008, &json!("timeout")));
    until("it is gone", || reasons.all() == [r#"Refused("timeout")"#]).await;
    assert_eq!(log.all(), ["cancelled"]);
}

#[tokio::test]
async fn connect_and_disconnect_handlers_run_in_order_the_ios_first() {
    let server = Server::new().await;
    let log = Log::default();
    for n in [1, 2] {
        let note = log.clone();
        server.io.on_connect(move |_| {
            let log = note.clone();
            async move {
                sleep(Duration::from_millis(10)).await;
                log.add(format!("connect {n}"));
            }
        });
        let note = log.clone();
        server.io.on_disconnect(move |_, _| {
            let log = note.clone();
            async move {
                sleep(Duration::from_millis(10)).await;
                log.add(format!("io {n}"));
            }
        });
    }
    let client = server.client().await;
    until("connected", || log.len() == 2).await;
    let socket = server.socket(&client);
    for n in [1, 2] {
        let note = log.clone();
        socket.on_disconnect(move |_, _| std::future::ready(note.add(format!("socket {n}"))));
    }
    client.close().await;
    until("disconnected", || log.len() == 6).await;
    assert_eq!(log.all(), ["connect 1", "connect 2", "io 1", "io 2", "socket 1", "socket 2"]);
}

#[tokio::test]
async fn on_disconnect_is_told_why() {
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    let server = Server::new().await;
    let reasons = note_reasons(&server);
    let mut nth = 0;
    let mut next = async || {
        nth += 1;
        until("the reason", || reasons.len() == nth).await;
        reasons.all().pop().unwrap()
    };
    server.client().await.close().await;
    assert_eq!(next().await, "Client(1005)");
    let mut client = server.client().await;
    client.ws.close(Some(CloseFrame { code: 4001.into(), reason: "done".into() })).await.unwrap();
    assert_eq!(client.closed().await.0, 4001, "the server answers with the same code");
    assert_eq!(next().await, "Client(4001)");
    drop(server.client().await);
    assert_eq!(next().await, format!("{:?}", DisconnectReason::Lost));
    let mut client = server.client().await;
    server.socket(&client).disconnect();
    let (code, before) = client.closed().await;
    let closing: &Value = &before[0];
    assert_eq!((code, &closing["event"]), (1000, &json!("closing")));
    assert_eq!(closing["data"]["code"], "disconnect");
    assert_eq!((&closing["data"]["reconnect"], &closing["data"]["after"]), (&json!(false), &json!(0)));
    assert_eq!(next().await, "Server");
}
