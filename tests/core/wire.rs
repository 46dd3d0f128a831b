//! The wire, as a client sees it: what is answered, and how.

use serde_json::{Value, json};

use crate::support::*;

/// Sends one text and returns the one frame that answers it.
async fn exchange(client: &mut Client, text: &str) -> Value {
    client.send_text(text).await;
    let frame = client.next().await;
    client.expect_nothing().await;
    frame
}

#[tokio::test]
async fn ping_is_answered_by_pong_or_with_an_id_by_ack() {
    let server = Server::new().await;
    let mut client = server.client().await;
    for (text, answer) in [
        (r#"{"event":"ping"}"#, json!({"event": "pong", "data": null})),
        (r#"{"event":"ping","data":{"t":[1.50]}}"#, json!({"event": "pong", "data": {"t": [1.5]}})),
        (r#"{"event":"ping","id":null,"data":1}"#, json!({"event": "pong", "data": 1})),
        (r#"{"event":"ping","id":0,"data":"x"}"#, json!({"event": "ack", "id": 0, "data": "x"})),
        (r#"{"event":"ping","id":""}"#, json!({"event": "ack", "id": "", "data": null})),
    ] {
        assert_eq!(exchange(&mut client, text).await, answer, "{text}");
    }
    // A pong of the client's is a sign of life, and no more; but every request is answered.
    client.send_text(r#"{"event":"pong"}"#).await;
    client.expect_nothing().await;
    let refused = exchange(&mut client, r#"{"event":"pong","id":1}"#).await;
    assert_eq!(refused["data"]["code"], "forbidden");
}

#[tokio::test]
async fn ids_are_numbers_or_texts_and_come_back_as_they_are() {
    let server = Server::new().await;
    server.io.on::<()>("e", async |_, ()| 1);
    let mut client = server.client().await;
    let long = format!("\"{}\"", "é".repeat(64));
    for id in ["0", "7", "9007199254740991", "\"\"", "\"7\"", "\"a\\\"b\\n\"", &long] {
        let answer = exchange(&mut client, &format!(r#"{{"event":"e","id":{id}}}"#)).await;
        let id: Value = serde_json::from_str(id).unwrap();
        assert_eq!(answer, json!({"event": "ack", "id": id, "data": 1}));
        let answer = exchange(&mut client, &json!({"event": "nobody", "id": id}).to_string()).await;
        assert_eq!((&answer["event"], &answer["id"]), (&json!("error"), &id));
        assert_eq!(answer["data"]["code"], "unknown_event");
    }
    // `id: null` is none.
    client.send_text(r#"{"event":"e","id":null}"#).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn events_that_only_servers_send_are_forbidden_with_and_without_an_id() {
    let server = Server::new().await;
    // Not even one who listens to everything hears them.
    server.io.on_any(async |_, _| 1);
    let mut client = server.client().await;
    for event in ["connected", "seen", "gap", "closing"] {
        let answer = exchange(&mut client, &json!({"event": event, "id": 1}).to_string()).await;
        assert_eq!((&answer["event"], &answer["id"]), (&json!("error"), &json!(1)), "{event}");
        assert_eq!(answer["data"]["code"], "forbidden", "{event}");
        let answer = exchange(&mut client, &json!({"event": event}).to_string()).await;
        assert_eq!((&answer["event"], &answer["id"]), (&json!("error"), &Value::Null), "{event}");
        assert_eq!((&answer["data"]["code"], &answer["data"]["event"]), (&json!("forbidden"), &json!(event)));
    }
    // Answers to nothing are ignored.
    for event in ["ack", "error"] {
        for id in [json!(null), json!(1), json!("x")] {
            client.send_text(json!({"event": event, "id": id}).to_string()).await;
            client.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn an_event_that_nobody_handles_is_unknown_with_and_without_an_id() {
    let server = Server::new().await;
    let mut client = server.client().await;
    for event in ["nobody", "__proto__", "constructor", "toString", "na\"me\n", "é"] {
        let answer = exchange(&mut client, &json!({"event": event, "id": 5, "data": 1}).to_string()).await;
        let message = answer["data"]["message"].as_str().unwrap();
        let data = json!({"code": "unknown_event", "message": message});
        assert_eq!(answer, json!({"event": "error", "id": 5, "data": data}));
        let answer = exchange(&mut client, &json!({"event": event}).to_string()).await;
        let data = json!({"code": "unknown_event", "message": message, "event": event});
        assert_eq!(answer, json!({"event": "error", "data": data}));
    }
}

#[tokio::test]
async fn what_is_no_envelope_is_answered_so_and_the_connection_stays() {
    let server = Server::new().await;
    server.io.on::<()>("e", async |_, ()| 1);
    let mut client = server.client().await;
    for text in ["", "null", "[]", r#"["e"]"#, "{}", r#"{"event":5}"#, r#"{"event":"e","id":-1}"#, r#"{"event":"e""#] {
        let answer = exchange(&mut client, text).await;
        assert_eq!(
            (&answer["event"], &answer["data"]["code"]),
            (&json!("error"), &json!("invalid_envelope")),
            "{text}"
        );
        assert!(answer["id"].is_null(), "{text}");
        assert_eq!(client.request("e", json!(null)).await, Ok(json!(1)), "{text}");
    }
    // Unknown fields and spaces are no fault, nor is the order of the fields.
    let answer = exchange(&mut client, " {\"more\":[{}], \"id\":1,\n\"data\":null ,\"event\":\"e\" } ").await;
    assert_eq!(answer, json!({"event": "ack", "id": 1, "data": 1}));
}

#[tokio::test]
async fn one_frame_is_one_message_however_many_wait() {
    let server = Server::new().await;
    server.io.rooms("room").public();
    server.io.on::<u32>("burst", |socket: eventwire::Socket, n| async move {
        for line in 0..n {
            // Whoever joins messages by newlines makes lines like these ambiguous.
            socket.emit("line", format!("{line}\n{{\"event\":\"x\"}}\n")).await?;
            socket.io().to("room").emit("line", line).await?;
        }
        eventwire::ok(n)
    });
    let mut raw = server.raw().await;
    raw.write(&text_frame(r#"{"event":"subscribe","data":"room","id":1}"#)).await;
    assert_eq!(raw.frame().await.unwrap().json()["data"], json!({"room": "room"}));
    raw.write(&text_frame(r#"{"event":"burst","data":200,"id":2}"#)).await;
    for line in 0..200 {
        // `RawFrame` asserts that frames are whole and not masked.
        let own = raw.frame().await.unwrap();
        let expected = format!(r#"{{"event":"line","data":"{line}\n{{\"event\":\"x\"}}\n"}}"#);
        assert_eq!((own.opcode, String::from_utf8(own.payload).unwrap()), (1, expected));
        let room = raw.frame().await.unwrap();
        let expected = format!(r#"{{"event":"line","room":"room","data":{line}}}"#);
        assert_eq!((room.opcode, String::from_utf8(room.payload).unwrap()), (1, expected));
    }
    assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": 2, "data": 200}));
}

#[tokio::test]
async fn default_events_per_second_is_a_token_bucket_where_one_is_set() {
    let server = Server::with(json!({"eventsPerSecond": {"rate": 0.001, "burst": 5}})).await;
    server.io.on::<()>("e", async |_, ()| 1);
    server.io.rooms("room").public();
    let mut client = server.client().await;
    for _ in 0..4 {
        assert_eq!(client.request("e", json!(null)).await, Ok(json!(1)));
    }
    // `subscribe` is an event like others; pings and answers cost nothing.
    assert!(client.request("subscribe", json!("room")).await.is_ok());
    for _ in 0..20 {
        client.send("ping", json!(1)).await;
        assert_eq!(client.expect("pong").await, 1);
        client.send_text(r#"{"event":"ack","id":1}"#).await;
    }
    assert_eq!(client.request("e", json!(null)).await.unwrap_err()["code"], "rate_limited");
    assert_eq!(client.request("unsubscribe", json!("room")).await.unwrap_err()["code"], "rate_limited");
    client.send("e", json!(null)).await;
    let told = client.expect("error").await;
    assert_eq!((&told["code"], &told["event"]), (&json!("rate_limited"), &json!("e")));
    assert_eq!(server.io.room_len("room"), 1);
    // Each client has its own.
    assert_eq!(server.client().await.request("e", json!(null)).await, Ok(json!(1)));
}

#[tokio::test]
async fn the_bucket_fills_again_with_time() {
    let server = Server::with(json!({"eventsPerSecond": {"rate": 20, "burst": 1}})).await;
    server.io.on::<()>("e", async |_, ()| 1);
    let mut client = server.client().await;
    let start = std::time::Instant::now();
    let mut handled = 0;
    while handled < 5 {
        match client.request("e", json!(null)).await {
            Ok(_) => handled += 1,
            Err(error) => assert_eq!(error["code"], "rate_limited"),
        }
    }
    // One at once and four at 20 a second.
    assert!(start.elapsed() >= std::time::Duration::from_millis(190), "{:?}", start.elapsed());
}

#[tokio::test]
async fn payloads_of_every_kind_and_size_pass_unharmed() {
    let server = Server::new().await;
    server.io.on::<Value>("echo", async |_, value| value);
    let mut client = server.client().await;
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    // Around each length of a frame's header, and near the limit.
    let long = [0, 1, 50, 80, 125, 126, 127, 65_400, 65_535, 65_536, 1_000_000].map(|n| json!("x".repeat(n)));
    let odd = [json!("\u{0}\u{1f}\u{7f}\u{2028}é😀\"\\/"), json!(-0.0), json!(1e300), json!({"": {}}), deep];
    for value in odd.into_iter().chain(long) {
        let size = value.to_string().len();
        assert_eq!(client.request("echo", value.clone()).await, Ok(value), "{size} bytes");
    }
}
