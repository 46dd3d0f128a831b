//! `subscribe` and `unsubscribe`: how clients come into rooms.

use std::time::Duration;

use eventwire::{Error, Io, Socket};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::kit::*;
use crate::support::*;

fn rules(io: &Io) {
    io.rooms("public:*").public();
    io.rooms("news").public();
    io.rooms("odd:*").allow_if(|_, room| async move { room.ends_with(['1', '3', '5', '7', '9']) });
    io.rooms("odd:told").allow_if(|_, _| async { Err::<(), _>(Error::new("sold_out", "come tomorrow")) });
    io.rooms("odd:panic").allow_if(|_, _| async {
        oops("the password is swordfish");
        true
    });
}

async fn server() -> Server {
    let server = Server::new().await;
    rules(&server.io);
    server
}

fn code(refused: Result<Value, Value>) -> String {
    refused.unwrap_err()["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_room_is_subscribed_by_its_name_or_an_object_and_acked_by_its_name() {
    let server = server().await;
    let mut client = server.client().await;
    for (n, data) in [
        json!("public:0"),
        json!({"room": "public:1"}),
        // Where a room has no history, these change nothing.
        json!({"room": "public:2", "last": 5}),
        json!({"room": "public:3", "since": 7, "epoch": "x", "more": 1}),
    ]
    .into_iter()
    .enumerate()
    {
        let room = format!("public:{n}");
        assert_eq!(client.request("subscribe", data).await, Ok(json!({"room": room})));
        assert_eq!(server.io.to(&room).emit("e", n).await, Ok(1));
        assert_eq!(client.next().await, json!({"event": "e", "room": room, "data": n}));
    }
    // Again changes nothing.
    assert_eq!(client.request("subscribe", json!("public:0")).await, Ok(json!({"room": "public:0"})));
    assert_eq!(server.io.room_len("public:0"), 1);
    // Without an id there is no ack.
    client.send("subscribe", json!("news")).await;
    client.expect_nothing().await;
    assert_eq!(server.io.room_len("news"), 1);
}

#[tokio::test]
async fn unsubscribe_takes_a_name_or_a_list() {
    let server = server().await;
    let mut client = server.client().await;
    client.request("subscribe", json!(["public:0", "public:1", "public:2"])).await.unwrap();
    assert_eq!(client.request("unsubscribe", json!("public:0")).await, Ok(json!({"room": "public:0"})));
    let many = client.request("unsubscribe", json!(["public:1", "public:7"])).await;
    assert_eq!(many, Ok(json!([{"room": "public:1"}, {"room": "public:7"}])), "one that it is not in is left already");
    assert_eq!(server.io.rooms_list(), ["public:2"]);
    client.send("unsubscribe", json!("public:2")).await;
    client.expect_nothing().await;
    assert_eq!(server.io.rooms_list(), Vec::<String>::new());
    assert_eq!(server.io.to("public:2").emit("e", 1).await, Ok(0));
    client.expect_nothing().await;
}

#[tokio::test]
async fn only_where_a_rule_says_so_and_a_refusal_says_why() {
    let server = server().await;
    let mut client = server.client().await;
    for (room, expected) in [
        ("private", "forbidden"),
        ("news2", "forbidden"),
        ("public", "forbidden"),
        ("", "forbidden"),
        ("public:a b", "forbidden"),
        ("public:é", "forbidden"),
        ("public:\u{0}", "forbidden"),
        (&"public:".repeat(40), "forbidden"),
        ("odd:2", "forbidden"),
        ("odd:told", "sold_out"),
        ("odd:panic", "internal"),
    ] {
        let refused = client.request("subscribe", json!(room)).await;
        assert!(!format!("{refused:?}").contains("swordfish"));
        assert_eq!(code(refused), expected, "{room}");
        assert_eq!(code(client.request("subscribe", json!({"room": room})).await), expected, "{room}");
        // Without an id, the client is told all the same.
        client.send("subscribe", json!(room)).await;
        let told = client.expect("error").await;
        assert_eq!((&told["code"], &told["event"]), (&json!(expected), &json!("subscribe")), "{room}");
    }
    assert_eq!(client.request("subscribe", json!("odd:3")).await, Ok(json!({"room": "odd:3"})));
    assert_eq!(server.io.rooms_list(), ["odd:3"]);
    assert_eq!(server.io.stats().panics, 3);
}

#[tokio::test]
async fn what_is_no_room_is_an_invalid_payload() {
    let server = server().await;
    let mut client = server.client().await;
    for data in [json!(null), json!(5), json!({}), json!({"room": 5}), json!(["news", 5]), json!([["news"]])] {
        for event in ["subscribe", "unsubscribe"] {
            assert_eq!(code(client.request(event, data.clone()).await), "invalid_payload", "{event} {data}");
        }
    }
    assert_eq!(server.io.rooms_list(), Vec::<String>::new());
    assert_eq!(client.request("subscribe", json!([])).await, Ok(json!([])));
}

#[tokio::test]
async fn a_list_is_settled_room_by_room() {
    let server = server().await;
    let mut client = server.client().await;
    let list = json!(["public:0", "private", "odd:told", "news", "a b", "public:0"]);
    let entries = client.request("subscribe", list).await.unwrap();
    let entries = entries.as_array().unwrap();
    let rooms: Vec<_> = entries.iter().map(|entry| entry["room"].as_str().unwrap()).collect();
    assert_eq!(rooms, ["public:0", "private", "odd:told", "news", "a b", "public:0"]);
    let codes: Vec<_> = entries.iter().map(|entry| entry["error"]["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["-", "forbidden", "sold_out", "-", "forbidden", "-"]);
    assert_eq!(entries[0], json!({"room": "public:0"}), "an entry that went well has no error");
    assert_eq!(entries[2]["error"], json!({"code": "sold_out", "message": "come tomorrow"}));
    let mut rooms = server.io.rooms_list();
    rooms.sort();
    assert_eq!(rooms, ["news", "public:0"]);
    // A list of one is a list.
    assert_eq!(client.request("subscribe", json!(["news"])).await, Ok(json!([{"room": "news"}])));
    let refused = client.request("subscribe", json!(["private"])).await.unwrap();
    assert_eq!(refused[0]["error"]["code"], "forbidden");
}

#[tokio::test]
async fn max_subscriptions_counts_what_the_client_asked_for_only() {
    let server = Server::with(json!({"maxSubscriptions": 2})).await;
    rules(&server.io);
    let mut client = server.client().await;
    let socket = server.socket(&client);
    for n in 0..5 {
        socket.join(format!("public:server-{n}")).await.unwrap();
    }
    assert!(client.request("subscribe", json!("public:1")).await.is_ok());
    assert!(client.request("subscribe", json!("public:2")).await.is_ok());
    assert_eq!(code(client.request("subscribe", json!("public:3")).await), "limit");
    client.send("subscribe", json!("public:3")).await;
    assert_eq!(client.expect("error").await["code"], "limit");
    // One that it is in already is no further one, and the server is not bound by it.
    assert!(client.request("subscribe", json!("public:1")).await.is_ok());
    assert!(client.request("subscribe", json!("public:server-1")).await.is_ok());
    socket.join("public:server-5").await.unwrap();
    assert_eq!(code(client.request("subscribe", json!("public:3")).await), "limit");
    client.request("unsubscribe", json!("public:2")).await.unwrap();
    assert!(client.request("subscribe", json!("public:3")).await.is_ok());
    assert_eq!(server.io.stats().members, 8);
}

#[tokio::test]
async fn a_list_beyond_max_subscriptions_is_settled_room_by_room_too() {
    let server = Server::with(json!({"maxSubscriptions": 2})).await;
    rules(&server.io);
    let mut client = server.client().await;
    let entries = client.request("subscribe", json!(["private", "public:1", "public:2", "public:3"])).await;
    let entries = entries.expect("a list is settled room by room");
    let codes: Vec<_> = (0..4).map(|n| entries[n]["error"]["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["forbidden", "-", "-", "limit"]);
}

#[tokio::test]
async fn invariant_03_subscribe_passes_the_lane_in_the_order_of_arrival() {
    let server = server().await;
    let log = Log::default();
    let note = log.clone();
    server.io.on::<u32>("e", move |socket: Socket, n| {
        let log = note.clone();
        async move {
            sleep(Duration::from_millis(20)).await;
            log.add(format!("{n}: {:?}", socket.rooms()));
        }
    });
    let mut client = server.client().await;
    client.send("e", json!(1)).await;
    client.send("subscribe", json!("news")).await;
    client.send("e", json!(2)).await;
    client.send("unsubscribe", json!("news")).await;
    client.request("e", json!(3)).await.unwrap();
    assert_eq!(log.all(), ["1: []", r#"2: ["news"]"#, "3: []"]);
}

/// Publishes to two rooms without a pause, until it is told to stop.
fn publish_all_the_time(io: &Io) -> (Log, tokio::task::JoinHandle<()>) {
    let (io, stop) = (io.clone(), Log::default());
    let stopped = stop.clone();
    let publishing = tokio::spawn(async move {
        let mut n = 0u64;
        while stopped.len() == 0 {
            n += 1;
            io.to("public:hot").volatile().emit("n", n).await.unwrap();
            io.to("news").volatile().emit("n", n).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    (stop, publishing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ack_precedes_the_rooms_first_frame() {
    let server = server().await;
    let (stop, publishing) = publish_all_the_time(&server.io);
    for round in 0..200 {
        let mut client = server.client().await;
        let data = if round % 3 == 0 { json!(["public:hot", "news"]) } else { json!("public:hot") };
        let id = client.ask("subscribe", data).await;
        let first = client.next().await;
        assert_eq!((&first["event"], &first["id"]), (&json!("ack"), &json!(id)), "round {round}: {first}");
        assert_eq!(client.next().await["event"], "n", "round {round}: and then the room");
    }
    stop.add("stop");
    publishing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_room_comes_after_the_ack_of_unsubscribe() {
    let server = server().await;
    let (stop, publishing) = publish_all_the_time(&server.io);
    for round in 0..200 {
        let mut client = server.client().await;
        client.request("subscribe", json!(["public:hot", "news"])).await.unwrap();
        let data = if round % 3 == 0 { json!(["public:hot", "news"]) } else { json!("public:hot") };
        client.request("unsubscribe", data).await.unwrap();
        while client.early() > 0 {
            client.next().await;
        }
        client.send("ping", json!(round)).await;
        let frame = client.wait_for(|frame| frame["event"] == "pong" || frame["room"] == "public:hot").await;
        assert_eq!(frame["event"], "pong", "round {round}: {frame}");
    }
    stop.add("stop");
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_subscribe_waits_for_room_in_a_full_outbox_and_its_ack_still_comes_first() {
    let server = Server::narrow(json!({"outbox": {"messages": 4, "overflow": "dropNewest"}})).await;
    rules(&server.io);
    let mut client = Client::narrow(&server).await;
    let taken = clog(&server.socket(&client)).await;
    let id = client.ask("subscribe", json!("news")).await;
    until("it is read", || server.io.stats().messages_in == 1).await;
    settle().await;
    assert_eq!(server.io.to("news").emit("e", 1).await, Ok(0), "not a member while there is no place for the ack");
    for _ in 0..taken {
        assert_eq!(client.next().await["event"], "clog");
    }
    until("it is a member", || server.io.room_len("news") == 1).await;
    assert_eq!(server.io.to("news").emit("e", 2).await, Ok(1));
    assert_eq!(client.next().await, json!({"event": "ack", "id": id, "data": {"room": "news"}}));
    assert_eq!(client.next().await, json!({"event": "e", "room": "news", "data": 2}));
}
