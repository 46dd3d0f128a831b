//! What a server says to one socket: `emit`, `try_emit`, `volatile`, `paced`, `error`.

use std::collections::HashMap;
use std::time::Duration;

use eventwire::{EmitError, Pace};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::kit::*;
use crate::support::*;

/// What a small outbox and small kernel buffers hold.
const SMALL: &str = r#"{"outbox": {"messages": 8}}"#;

fn small() -> serde_json::Value {
    serde_json::from_str(SMALL).unwrap()
}

#[tokio::test]
async fn emit_sends_one_frame_with_whatever_can_be_written() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    socket.emit("unit", ()).await.unwrap();
    socket.emit("text", "té\u{1}xt").await.unwrap();
    socket.emit("list", &[1, 2]).await.unwrap();
    socket.emit("named \"so\"", &HashMap::from([("a", Some(1.5))])).await.unwrap();
    socket.try_emit("tried", 1).unwrap();
    assert_eq!(socket.volatile().emit("volatile", 2), Ok(true));
    socket.paced(Pace::slowest(1024)).emit("paced", 3).await.unwrap();
    for (event, data) in [
        ("unit", json!(null)),
        ("text", json!("té\u{1}xt")),
        ("list", json!([1, 2])),
        ("named \"so\"", json!({"a": 1.5})),
        ("tried", json!(1)),
        ("volatile", json!(2)),
        ("paced", json!(3)),
    ] {
        assert_eq!(client.next().await, json!({"event": event, "data": data}));
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn what_is_no_json_is_an_error_and_sends_nothing() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let no_json = HashMap::from([(vec![1], 2)]);
    assert!(matches!(socket.emit("e", &no_json).await, Err(EmitError::Encode(_))));
    assert!(matches!(socket.try_emit("e", &no_json), Err(EmitError::Encode(_))));
    assert!(matches!(socket.volatile().emit("e", &no_json), Err(EmitError::Encode(_))));
    assert!(matches!(server.io.emit("e", &no_json).await, Err(EmitError::Encode(_))));
    let asked = socket.request::<()>("e", &no_json).await;
    assert!(matches!(asked, Err(eventwire::RequestError::Encode(_))), "{asked:?}");
    client.expect_nothing().await;
}

#[tokio::test]
async fn emits_to_a_socket_that_is_gone_fail() {
    let server = Server::new().await;
    let client = server.client().await;
    let socket = server.socket(&client);
    assert!(socket.is_connected());
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    let gone = EmitError::Disconnected;
    assert!(!socket.is_connected());
    assert_eq!(socket.emit("e", 1).await, Err(gone.clone()));
    assert_eq!(socket.try_emit("e", 1), Err(gone.clone()));
    assert_eq!(socket.volatile().emit("e", 1), Err(gone.clone()));
    assert_eq!(socket.error("code", "message").await, Err(gone.clone()));
    assert_eq!(socket.paced(Pace::slowest(0)).emit("e", 1).await, Err(gone.clone()));
    assert_eq!(socket.request::<()>("e", 1).await, Err(eventwire::RequestError::Disconnected));
    assert_eq!(socket.join("room").await, Err(eventwire::JoinError::Disconnected));
    assert_eq!(eventwire::Error::from(gone).code(), "disconnected");
    assert!(server.io.socket(socket.id()).is_none());
}

#[tokio::test]
async fn error_sends_the_applications_errors() {
    let server = Server::new().await;
    server.io.rooms("room").public();
    let (mut member, mut other) = (server.client_in("room").await, server.client().await);
    server.socket(&other).error("not_yours", "hands off").await.unwrap();
    let data = json!({"code": "not_yours", "message": "hands off"});
    assert_eq!(other.next().await, json!({"event": "error", "data": data}));
    assert_eq!(server.io.to("room").error("closed", String::from("for today")).await, Ok(1));
    let data = json!({"code": "closed", "message": "for today"});
    assert_eq!(member.next().await, json!({"event": "error", "room": "room", "data": data}));
    assert_eq!(server.io.error("all", "all").await, Ok(2));
    for client in [&mut member, &mut other] {
        assert_eq!(client.next().await, json!({"event": "error", "data": {"code": "all", "message": "all"}}));
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn try_emit_says_full_and_takes_again_once_the_peer_reads() {
    let server = Server::narrow(small()).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    let taken = clog(&socket).await;
    assert_eq!(socket.try_emit("more", 1), Err(EmitError::Full));
    assert_eq!(eventwire::Error::from(EmitError::Full).code(), "busy");
    for _ in 0..taken {
        client.expect("clog").await;
    }
    until("there is room", || socket.try_emit("more", 2).is_ok()).await;
    assert_eq!(client.next().await, json!({"event": "more", "data": 2}));
    assert_eq!(server.io.stats().dropped, 0, "a refusal is no loss");
}

#[tokio::test]
async fn volatile_may_drop_and_says_and_counts_it() {
    let server = Server::narrow(small()).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    assert_eq!(socket.volatile().emit("first", 0), Ok(true));
    let taken = clog(&socket).await;
    for n in 0..10 {
        assert_eq!(socket.volatile().emit("position", n), Ok(false));
    }
    assert_eq!(server.io.stats().dropped, 10);
    assert!(socket.is_connected(), "to drop is not to disconnect");
    client.expect("first").await;
    for _ in 0..taken {
        client.expect("clog").await;
    }
    until("it is taken again", || socket.volatile().emit("position", 10) == Ok(true)).await;
    assert_eq!(client.next().await, json!({"event": "position", "data": 10}));
    client.expect_nothing().await;
}

#[tokio::test]
async fn invariant_06_a_direct_emit_waits_for_a_peer_that_does_not_read() {
    let server = Server::narrow(small()).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    let taken = clog(&socket).await;
    let mut waiting = Box::pin(socket.emit("last", 1));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it waits");
    for _ in 0..taken {
        client.expect("clog").await;
    }
    assert_eq!(within("room for it", waiting).await, Ok(()));
    assert_eq!(client.next().await, json!({"event": "last", "data": 1}));
    assert_eq!(server.io.stats().dropped, 0);
}

#[tokio::test]
async fn invariant_06_a_direct_emit_that_waits_fails_when_the_socket_disconnects() {
    let server = Server::narrow(small()).await;
    for by_server in [true, false] {
        let client = Client::narrow(&server).await;
        let socket = server.socket(&client);
        clog(&socket).await;
        let mut waiting = Box::pin(socket.emit("last", 1));
        assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "it waits");
        if by_server {
            socket.disconnect();
        } else {
            drop(client);
        }
        assert_eq!(within("its end", waiting).await, Err(EmitError::Disconnected), "by the server: {by_server}");
    }
}

#[tokio::test]
async fn an_emit_that_is_dropped_while_it_waits_queues_nothing() {
    let server = Server::narrow(small()).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    let taken = clog(&socket).await;
    for _ in 0..10 {
        let waiting = socket.emit("cancelled", 1);
        assert!(timeout(Duration::from_millis(5), waiting).await.is_err(), "it waits");
    }
    for _ in 0..taken {
        client.expect("clog").await;
    }
    socket.emit("after", 1).await.unwrap();
    assert_eq!(client.next().await["event"], "after");
}

#[tokio::test]
async fn a_producer_that_awaits_its_emits_goes_at_the_peers_pace_and_loses_nothing() {
    let server = Server::narrow(small()).await;
    server.io.on::<u32>("produce", |socket: eventwire::Socket, n| async move {
        for line in 0..n {
            socket.emit("line", line).await?;
        }
        eventwire::ok(n)
    });
    let mut client = Client::narrow(&server).await;
    let asked = client.ask("produce", json!(20_000)).await;
    for n in 0..20_000 {
        assert_eq!(client.next().await["data"], json!(n));
    }
    assert_eq!(client.answer(asked).await, Ok(json!(20_000)));
}

#[tokio::test]
async fn paced_waits_until_the_peer_has_caught_up_or_the_time_is_up() {
    let server = Server::narrow(json!({"outbox": {"messages": 100}})).await;
    let mut client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    let data = "x".repeat(10_000);
    for _ in 0..40 {
        socket.try_emit("behind", &data).unwrap();
    }
    let start = Instant::now();
    let pace = Pace::slowest(30_000).at_most(Duration::from_millis(100));
    assert_eq!(within("its time", socket.paced(pace).emit("in time", 1)).await, Ok(()));
    assert!(start.elapsed() >= Duration::from_millis(100), "it waited its time, and then went on");
    let pace = Pace::slowest(30_000).at_most(Duration::from_secs(60));
    let paced = socket.paced(pace);
    let mut waiting = Box::pin(paced.emit("caught up", 2));
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it waits");
    for _ in 0..41 {
        client.next().await;
    }
    assert_eq!(within("that it has caught up", waiting).await, Ok(()));
    assert_eq!(client.next().await["event"], "caught up");
}
