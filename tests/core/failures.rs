//! Invariant 9: a panic in user code ends that call, is counted, logged and answered `internal`, and nothing else.

use std::time::Duration;

use eventwire::{Ack, Socket};
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

const SECRET: &str = "the password is swordfish";

/// Panics when it is read.
struct Trap;

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Trap, D::Error> {
        oops(SECRET);
        Err(de::Error::custom(""))
    }
}

/// Panics when it is written.
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        oops(SECRET);
        serializer.serialize_unit()
    }
}

#[tokio::test]
async fn invariant_09_a_panic_wherever_in_a_handler_is_answered_internal_and_the_connection_goes_on() {
    let server = Server::new().await;
    let io = &server.io;
    io.on::<()>("sync", |_, ()| {
        oops(SECRET);
        async {}
    });
    io.on::<()>("async", async |_, ()| oops(SECRET));
    io.on::<()>("after an await", async |_, ()| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        oops(SECRET);
    });
    io.on::<()>("with a value", async |_, ()| -> u32 { panic!("{SECRET}") });
    io.on::<()>("no text", async |_, ()| -> () { std::panic::panic_any(5) });
    io.on::<()>("concurrent", async |_, ()| {
        tokio::task::yield_now().await;
        oops(SECRET);
    })
    .concurrent(2);
    io.on::<()>("later", async |_, ()| {
        Ack::later(async {
            tokio::task::yield_now().await;
            oops(SECRET);
        })
    });
    io.on::<Trap>("read", async |_, _| ());
    io.on::<()>("write", async |_, ()| eventwire::ok(Bomb));
    io.on::<()>("unwrap", async |_, ()| SECRET.parse::<u32>().unwrap());
    io.on::<()>("good", async |_, ()| 1);
    let mut client = server.client().await;
    let events = [
        "sync",
        "async",
        "after an await",
        "with a value",
        "no text",
        "concurrent",
        "later",
        "read",
        "write",
        "unwrap",
    ];
    for (n, event) in events.iter().enumerate() {
        let error = client.request(event, json!(null)).await;
        assert_eq!(
            error,
            Err(json!({"code": "internal", "message": "internal error"})),
            "{event}: its text stays here"
        );
        // Without an id, too; and what is behind it is handled.
        client.send(event, json!(null)).await;
        let told = client.expect("error").await;
        assert_eq!(told, json!({"code": "internal", "message": "internal error", "event": event}));
        assert_eq!(client.request("good", json!(null)).await, Ok(json!(1)), "{event}");
        assert_eq!(server.io.stats().panics, 2 * (n as u64 + 1), "{event}: counted");
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn invariant_09_a_panic_of_one_socket_is_nothing_to_the_others() {
    let server = Server::new().await;
    server.io.on::<()>("panic", async |_, ()| oops(SECRET));
    server.io.on::<u32>("double", async |_, n| n * 2);
    let mut clients = server.clients(5).await;
    for round in 0..20u32 {
        for (n, client) in clients.iter_mut().enumerate() {
            if n % 2 == 0 {
                assert_eq!(client.request("panic", json!(null)).await.unwrap_err()["code"], "internal");
            } else {
                assert_eq!(client.request("double", json!(round)).await, Ok(json!(round * 2)));
            }
        }
    }
    assert_eq!((server.io.stats().panics, server.io.stats().sockets), (60, 5));
}

#[tokio::test]
async fn invariant_09_a_panic_when_a_cancelled_handler_is_dropped_ends_that_handler_only() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            // Not twice at once: that would abort.
            if !std::thread::panicking() {
                oops(SECRET);
            }
        }
    }
    let server = Server::new().await;
    let hang = async |_: Socket, ()| {
        let _guard = PanicsOnDrop;
        std::future::pending::<()>().await;
    };
    let _ = server.io.on::<()>("hang", hang).timeout(Duration::from_millis(20));
    server.io.on::<()>("good", async |_, ()| 1);
    let mut client = server.client().await;
    assert!(client.request("hang", json!(null)).await.is_err());
    // If the task that has the lane died with it, this socket's events would never be handled again.
    assert_eq!(client.request("good", json!(null)).await, Ok(json!(1)));
}

#[tokio::test]
async fn invariant_09_panics_of_disconnect_handlers_and_rules_are_counted_and_harm_nothing() {
    let server = Server::new().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on_disconnect(|_, _| async { oops(SECRET) });
    server.io.on_disconnect(|_, _| {
        oops(SECRET);
        async {}
    });
    server.io.on_disconnect(move |_, _| std::future::ready(note.add("the third")));
    server.io.rooms("room").allow_if(|_, _| {
        oops(SECRET);
        async { true }
    });
    let mut client = server.client().await;
    assert_eq!(client.request("subscribe", json!("room")).await.unwrap_err()["code"], "internal");
    client.close().await;
    until("the others are called", || log.all() == ["the third"]).await;
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!((server.io.stats().panics, server.io.room_len("room")), (3, 0));
}

#[tokio::test]
async fn invariant_09_a_payload_that_panics_when_it_is_written_harms_only_its_emitter() {
    let server = Server::new().await;
    server.io.rooms("room").public();
    server.io.on::<()>("bomb", async |socket: Socket, ()| {
        socket.io().to("room").emit("bomb", Bomb).await?;
        eventwire::ok(())
    });
    let mut clients = [server.client_in("room").await, server.client_in("room").await];
    assert_eq!(clients[0].request("bomb", json!(null)).await.unwrap_err()["code"], "internal");
    assert_eq!(server.io.to("room").emit("e", 1).await, Ok(2), "the room goes on");
    for client in &mut clients {
        assert_eq!(client.next().await, json!({"event": "e", "room": "room", "data": Value::from(1)}));
    }
}
