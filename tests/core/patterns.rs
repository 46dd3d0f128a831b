//! Subscriptions by tokens and wildcards.

use std::sync::{Arc, Mutex};

use eventwire::dialects::GoWs;
use eventwire::{History, Io, JoinError, RequestError, Socket};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

async fn server() -> Server {
    let server = Server::new().await;
    server.io.rooms("metrics.*").public();
    server
}

async fn in_pattern(server: &Server, pattern: &str) -> Client {
    let mut client = server.client().await;
    let answer = client.request("subscribe", json!({"pattern": pattern})).await.unwrap();
    assert_eq!(answer, json!({"pattern": pattern}));
    client
}

#[tokio::test]
async fn a_pattern_brings_what_is_said_in_all_its_rooms() {
    let server = server().await;
    let mut all = in_pattern(&server, "metrics.>").await;
    let mut loads = in_pattern(&server, "metrics.*.load").await;
    for (n, room) in ["metrics.cpu", "metrics.cpu.load", "other.cpu", "metrics", "metrics.a.b.c", "metrics.gpu.load"]
        .iter()
        .enumerate()
    {
        let reached = server.io.to(room).emit("n", n).await.unwrap();
        assert_eq!(reached, [1, 2, 0, 0, 1, 2][n], "{room}");
    }
    for (n, room) in [(0, "metrics.cpu"), (1, "metrics.cpu.load"), (4, "metrics.a.b.c"), (5, "metrics.gpu.load")] {
        let frame = all.next().await;
        assert_eq!(frame, json!({"event": "n", "room": room, "data": n}));
    }
    for (n, room) in [(1, "metrics.cpu.load"), (5, "metrics.gpu.load")] {
        assert_eq!(loads.next().await, json!({"event": "n", "room": room, "data": n}));
    }
    assert_eq!(all.request("unsubscribe", json!({"pattern": "metrics.>"})).await, Ok(json!({"pattern": "metrics.>"})));
    assert_eq!(server.io.to("metrics.cpu").emit("n", 9).await, Ok(0));
    all.expect_nothing().await;
    loads.expect_nothing().await;
}

#[tokio::test]
async fn one_copy_comes_however_often_one_is_addressed() {
    let server = server().await;
    let mut client = in_pattern(&server, "metrics.>").await;
    for also in [json!({"pattern": "metrics.*"}), json!("metrics.cpu"), json!({"pattern": "*.cpu"})] {
        let answer = client.request("subscribe", also.clone()).await;
        assert_eq!(answer.is_ok(), also != json!({"pattern": "*.cpu"}), "{answer:?}");
    }
    assert_eq!(server.io.to("metrics.cpu").emit("n", 1).await, Ok(1));
    assert_eq!(server.io.to("metrics.cpu").to("metrics.gpu").emit("n", 2).await, Ok(1));
    assert_eq!(server.io.to("metrics.gpu").emit("n", 3).await, Ok(1));
    for (n, room) in [(1, "metrics.cpu"), (2, "metrics.cpu"), (3, "metrics.gpu")] {
        assert_eq!(client.next().await, json!({"event": "n", "room": room, "data": n}));
    }
    let socket = server.io.sockets().remove(0);
    assert_eq!(server.io.to("metrics.cpu").except(&socket).emit("n", 4).await, Ok(0));
    assert_eq!(
        server.io.to("metrics.cpu").except("metrics.gpu").emit("n", 5).await,
        Ok(0),
        "it counts as a member there"
    );
    client.expect_nothing().await;
    assert_eq!(server.io.room_len("metrics.gpu"), 1, "what is made would be seen");
    assert_eq!(server.io.room_len("metrics.cpu"), 1);
    assert_eq!(server.io.rooms_list(), ["metrics.cpu"], "patterns are no rooms");
    assert_eq!((server.io.patterns_list().len(), server.io.logs_list().len()), (2, 0));
    assert_eq!(socket.rooms(), ["metrics.cpu"]);
    let mut patterns = socket.patterns();
    patterns.sort();
    assert_eq!(patterns, ["metrics.*", "metrics.>"]);
    assert_eq!((server.io.stats().rooms, server.io.stats().patterns, server.io.stats().members), (1, 2, 3));
    client.close().await;
    until("nothing is left", || server.io.stats().patterns == 0 && server.io.stats().members == 0).await;
    assert_eq!((server.io.room_len("metrics.gpu"), socket.rooms().len()), (0, 1), "`rooms` still answers");
}

#[tokio::test]
async fn what_is_no_pattern_is_refused_by_the_field() {
    let server = server().await;
    server.io.rooms("*").public();
    let mut client = server.client().await;
    for (asked, path, why) in [
        (json!({"pattern": ""}), "pattern", "1 to 256"),
        (json!({"pattern": "a..b"}), "pattern", "empty"),
        (json!({"pattern": ">.a"}), "pattern", "last"),
        (json!({"pattern": "a*"}), "pattern", "whole token"),
        (json!({"pattern": "a b.>"}), "pattern", "tokens"),
        (json!({"pattern": 5}), "pattern", "string"),
        (json!({"pattern": "a.>", "room": "b"}), "pattern", "exclude"),
        (json!({"pattern": "a.>", "last": 3}), "pattern", "one room"),
        (json!({"pattern": "a.>", "since": 3, "epoch": "x"}), "pattern", "one room"),
        (json!({}), "room", "room"),
    ] {
        let error = client.request("subscribe", asked.clone()).await.unwrap_err();
        assert_eq!(
            (&error["code"], &error["details"]["path"]),
            (&json!("invalid_payload"), &json!(path)),
            "{asked}: {error}"
        );
        assert!(error["message"].as_str().unwrap().contains(why), "{asked}: {error}");
    }
    for name in [json!("a.>"), json!({"room": "a.*"})] {
        let error = client.request("subscribe", name).await.unwrap_err();
        assert_eq!(error["code"], "forbidden", "a room's name has no wildcards");
    }
    let list = client.request("subscribe", json!(["a.>", "b"])).await.unwrap();
    assert_eq!((&list[0]["error"]["code"], &list[1]), (&json!("forbidden"), &json!({"room": "b"})));
    assert_eq!(
        client.request("subscribe", json!({"pattern": "a.b"})).await,
        Ok(json!({"room": "a.b"})),
        "without wildcards a room"
    );
    let socket = server.io.sockets().remove(0);
    assert_eq!(socket.join_pattern("a..b").await, Err(JoinError::Pattern("a token of a pattern must not be empty")));
    assert_eq!(socket.join("a.>").await, Err(JoinError::Name));
    assert_eq!(server.io.to("a.>").emit("n", 1).await, Ok(0), "a pattern is nobody's to emit to");
}

#[tokio::test]
async fn rules_are_asked_for_patterns_too() {
    let server = Server::new().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    server.io.rooms("metrics.*").public();
    let seen = asked.clone();
    server.io.rooms("metrics.secret.*").allow_if(move |socket, room| {
        seen.lock().unwrap().push(room);
        async move { socket.handshake().query_param("spy").is_some() }
    });
    server.io.rooms("metrics.private").allow_if(|_, room| async move { room == "metrics.private" });
    let mut client = server.client().await;
    for (pattern, is_allowed) in [
        ("metrics.*.load", false), // `metrics.secret.load` is of it
        ("metrics.cpu.*", true),
        ("metrics.secret.>", false),
        ("metrics.*", false), // `metrics.private` is
        ("metrics.*.*.*", false),
        ("*.cpu", false),
        (">", false),
        ("other.>", false),
    ] {
        let answer = client.request("subscribe", json!({"pattern": pattern})).await;
        assert_eq!(answer.is_ok(), is_allowed, "{pattern}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error["code"], "forbidden");
        }
    }
    assert_eq!(*asked.lock().unwrap(), ["metrics.*.load", "metrics.secret.>", "metrics.*.*.*"]);
    let mut spy = Client::connect(server.address, "/ws?spy=1").await;
    assert!(spy.request("subscribe", json!({"pattern": "metrics.secret.>"})).await.is_ok());
    assert!(spy.request("subscribe", json!({"pattern": "metrics.*.load"})).await.is_ok());
    assert!(
        spy.request("subscribe", json!({"pattern": "metrics.>"})).await.is_err(),
        "`metrics.private` is by name alone"
    );
    assert_eq!(server.io.to("metrics.secret.load").emit("n", 1).await, Ok(1));
    client.expect_nothing().await;
}

#[tokio::test]
async fn the_server_may_join_patterns_and_the_client_leave_them() {
    let server = Server::new().await;
    server.io.on_connect(|socket: Socket| async move { socket.join_pattern("stream.>").await.map_err(Into::into) });
    let mut client = server.client().await;
    until("it has joined", || server.io.stats().patterns == 1).await;
    server.io.to("stream.a.b").emit("n", 1).await.unwrap();
    assert_eq!(client.next().await["room"], "stream.a.b");
    let socket = server.io.sockets().remove(0);
    client.request("unsubscribe", json!({"pattern": "stream.>"})).await.unwrap();
    assert_eq!(server.io.to("stream.a").emit("n", 2).await, Ok(0));
    socket.join_pattern("stream.*").await.unwrap();
    server.io.to("stream.a").emit("n", 3).await.unwrap();
    socket.leave_pattern("stream.*");
    server.io.to("stream.a").emit("n", 4).await.unwrap();
    assert_eq!(client.next().await["data"], 3);
    client.expect_nothing().await;
}

#[tokio::test]
async fn patterns_count_as_subscriptions() {
    let server = Server::with(json!({"maxSubscriptions": 2})).await;
    server.io.rooms("*").public();
    let mut client = server.client().await;
    assert!(client.request("subscribe", json!({"pattern": "a.>"})).await.is_ok());
    assert!(client.request("subscribe", json!("b")).await.is_ok());
    let error = client.request("subscribe", json!({"pattern": "c.>"})).await.unwrap_err();
    assert_eq!(error["code"], "limit");
    assert!(client.request("subscribe", json!({"pattern": "a.>"})).await.is_ok(), "asked again, nothing changes");
}

#[tokio::test]
async fn a_room_with_history_is_in_order_through_a_pattern_too() {
    let server = server().await;
    server.io.rooms("metrics.*").history(History::messages(10_000));
    server.io.to("metrics.cpu").emit("n", "before").await.unwrap();
    let mut through = in_pattern(&server, "metrics.>").await;
    let mut within = server.client().await;
    within.request("subscribe", json!({"room": "metrics.cpu", "last": 0})).await.unwrap();
    within.request("subscribe", json!({"pattern": "metrics.>"})).await.unwrap();
    let emitters: Vec<_> = (0..4)
        .map(|task| {
            let io = server.io.clone();
            tokio::spawn(async move {
                for n in 0..250 {
                    io.to("metrics.cpu").emit("n", (task, n)).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for emitter in emitters {
        emitter.await.unwrap();
    }
    for client in [&mut through, &mut within] {
        for seq in 2..=1001 {
            let frame = client.next().await;
            assert_eq!((&frame["seq"], &frame["room"]), (&json!(seq), &json!("metrics.cpu")));
        }
        client.expect_nothing().await;
    }
    assert_eq!(server.io.logs_list(), ["metrics.cpu"], "a pattern remembers nothing");
}

#[tokio::test]
async fn members_of_patterns_are_asked_and_paced_as_members() {
    let server = server().await;
    let mut client = in_pattern(&server, "metrics.>").await;
    let io = server.io.clone();
    let asking = tokio::spawn(async move {
        let answers: Vec<(_, Result<u64, RequestError>)> = io.to("metrics.cpu").request("n?", ()).collect().await;
        answers
    });
    let question = client.next().await;
    assert_eq!((&question["event"], &question["room"]), (&json!("n?"), &json!("metrics.cpu")));
    client.send_text(json!({"event": "ack", "id": question["id"], "data": 7}).to_string()).await;
    let answers = within("the answers", asking).await.unwrap();
    assert_eq!(answers.iter().map(|(_, answer)| answer.clone()).collect::<Vec<_>>(), [Ok(7)]);
    assert_eq!(server.io.volatile().to("metrics.cpu").emit("n", 1).await, Ok(1));
    assert_eq!(client.next().await["data"], 1);
}

#[tokio::test]
async fn other_dialects_get_patterns_too() {
    let server = Server::of(Io::builder().dialect(GoWs::default()).build().unwrap()).await;
    server.io.rooms("metrics.*").public();
    let (mut ws, _) = tokio_tungstenite::connect_async(format!("ws://{}/go-ws", server.address)).await.unwrap();
    let subscribe = json!({"type": "subscribe", "data": {"pattern": "metrics.>"}}).to_string();
    ws.send(Message::text(subscribe)).await.unwrap();
    until("it is subscribed", || server.io.stats().patterns == 1).await;
    let before = server.io.stats().encoded;
    let mut json = in_pattern(&server, "metrics.>").await;
    server.io.to("metrics.cpu").emit("n", 1).await.unwrap();
    let frame = within("a frame", ws.next()).await.unwrap().unwrap();
    let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap();
    assert_eq!((&frame["channel"], &frame["data"]), (&json!("metrics.cpu"), &json!({"event": "n", "data": 1})));
    assert_eq!(json.next().await["room"], "metrics.cpu");
    assert_eq!(server.io.stats().encoded - before, 2, "once a dialect");
}

#[tokio::test]
async fn a_name_that_no_room_can_have_reaches_nobody() {
    let server = Server::new().await;
    server.io.rooms("*").public();
    let mut client = in_pattern(&server, ">").await;
    let forged = r#"x","event":"admin","data":{"ok":1},"z":""#;
    for room in [forged, "a b", "user/42", "a.*", ">", "", &"x".repeat(257)] {
        assert_eq!(server.io.to(room).emit("chat", 1).await, Ok(0), "{room}");
        let answers: Vec<_> = server.io.to(room).request::<()>("q", ()).collect().await;
        assert!(answers.is_empty(), "{room}");
    }
    client.expect_nothing().await;
    assert_eq!(server.io.to("caf%C3%A9").emit("chat", 1).await, Ok(1));
    assert_eq!(client.next().await["room"], "caf%C3%A9");
}
