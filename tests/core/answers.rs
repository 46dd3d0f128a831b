//! A handler's return value is the acknowledgement: every shape of it, and every way to fail.

use std::collections::HashMap;
use std::fmt;

use eventwire::{Ack, Answer, Error, Socket};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::kit::Log;
use crate::support::*;

#[derive(Serialize)]
struct Receipt {
    delivered: usize,
}

#[tokio::test]
async fn every_shape_of_return_value_is_the_ack() {
    let server = Server::new().await;
    let io = &server.io;
    io.on::<()>("()", async |_, ()| ());
    io.on::<()>("bool", async |_, ()| true);
    io.on::<()>("char", async |_, ()| 'x');
    io.on::<()>("u64", async |_, ()| u64::MAX);
    io.on::<()>("i8", async |_, ()| -8i8);
    io.on::<()>("f64", async |_, ()| 1.5f64);
    io.on::<()>("str", async |_, ()| "text");
    io.on::<()>("String", async |_, ()| String::from("té\"xt"));
    io.on::<()>("Vec", async |_, ()| vec![1, 2]);
    io.on::<()>("Some", async |_, ()| Some(1));
    io.on::<()>("None", async |_, ()| None::<u32>);
    io.on::<()>("Value", async |_, ()| json!({"a": [null]}));
    io.on::<()>("RawValue", async |_, ()| RawValue::from_string("[1.50]".into()).unwrap());
    io.on::<()>("Ok(T)", async |_, ()| Ok::<_, Error>(Receipt { delivered: 2 }));
    io.on::<()>("ok(T)", async |_, ()| eventwire::ok(Receipt { delivered: 3 }));
    io.on::<()>("Ok(())", async |_, ()| Ok::<(), Error>(()));
    io.on::<()>("Ok(None)", async |_, ()| eventwire::ok(None::<u32>));
    io.on::<()>("Ack::now", async |_, ()| Ack::now(5));
    io.on::<()>("Ack::now(Err)", async |_, ()| Ack::now(Err::<u32, _>(Error::new("no", "not now"))));
    io.on::<()>("Ack::later", async |_, ()| Ack::later(async { eventwire::ok(6) }));
    io.on::<()>("Ack::later(Err)", async |_, ()| Ack::later(async { Err::<u32, _>(Error::new("no", "later")) }));
    io.on::<()>("Ack::later(())", async |_, ()| Ack::later(async { tokio::task::yield_now().await }));
    io.on::<()>("Answer::value", async |_, ()| Answer::value(&[7]));
    io.on::<()>("Answer::nothing", async |_, ()| Answer::nothing());
    io.on::<()>("Answer::error", async |_, ()| Answer::error("failed"));
    io.on::<()>("Answer::later", async |_, ()| Answer::later(async { Ack::later(async { 8 }) }));
    let mut client = server.client().await;
    for (event, answer) in [
        ("()", json!(null)),
        ("bool", json!(true)),
        ("char", json!("x")),
        ("u64", json!(u64::MAX)),
        ("i8", json!(-8)),
        ("f64", json!(1.5)),
        ("str", json!("text")),
        ("String", json!("té\"xt")),
        ("Vec", json!([1, 2])),
        ("Some", json!(1)),
        ("None", json!(null)),
        ("Value", json!({"a": [null]})),
        ("RawValue", json!([1.5])),
        ("Ok(T)", json!({"delivered": 2})),
        ("ok(T)", json!({"delivered": 3})),
        ("Ok(())", json!(null)),
        ("Ok(None)", json!(null)),
        ("Ack::now", json!(5)),
        ("Ack::later", json!(6)),
        ("Ack::later(())", json!(null)),
        ("Answer::value", json!([7])),
        ("Answer::nothing", json!(null)),
        ("Answer::later", json!(8)),
    ] {
        assert_eq!(client.request(event, json!(null)).await, Ok(answer), "{event}");
    }
    for (event, code, message) in [
        ("Ack::now(Err)", "no", "not now"),
        ("Ack::later(Err)", "no", "later"),
        ("Answer::error", "handler_failed", "failed"),
    ] {
        let error = client.request(event, json!(null)).await.unwrap_err();
        assert_eq!(error, json!({"code": code, "message": message}), "{event}");
    }
    // Each was answered once, and without an id nothing is.
    client.send("u64", json!(null)).await;
    client.expect_nothing().await;
}

/// An application's own error, with a code of its own.
#[derive(Debug)]
struct SoldOut {
    left: u32,
}

impl fmt::Display for SoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} left", self.left)
    }
}

impl std::error::Error for SoldOut {}

impl From<SoldOut> for Error {
    fn from(error: SoldOut) -> Error {
        Error::new("sold_out", error.to_string()).with_details(json!({"left": error.left}))
    }
}

#[tokio::test]
async fn an_err_is_answered_with_its_code_message_and_details() {
    let server = Server::new().await;
    let io = &server.io;
    io.on::<()>("str", async |_, ()| Err::<(), _>("no reason"));
    io.on::<()>("String", async |_, ()| Err::<u32, _>(String::from("no reason")));
    io.on::<()>("io", async |_, ()| Err::<u32, _>(std::io::Error::other("no reason")));
    io.on::<()>("Box", async |_, ()| {
        let boxed: Box<dyn std::error::Error + Send + Sync> = "no reason".into();
        Err::<u32, _>(boxed)
    });
    io.on::<()>("parse", async |_, ()| "x".parse::<u32>());
    io.on::<()>("own", async |_, ()| Err::<u32, _>(SoldOut { left: 0 }));
    io.on::<()>("?", async |_, ()| {
        let never: Result<u32, SoldOut> = Err(SoldOut { left: 1 });
        eventwire::ok(never?)
    });
    io.on::<()>("Error", async |_, ()| Err::<(), _>(Error::new("code", "message").with_details(json!([1]))));
    let mut client = server.client().await;
    for (event, error) in [
        ("str", json!({"code": "handler_failed", "message": "no reason"})),
        ("String", json!({"code": "handler_failed", "message": "no reason"})),
        ("io", json!({"code": "handler_failed", "message": "no reason"})),
        ("Box", json!({"code": "handler_failed", "message": "no reason"})),
        ("parse", json!({"code": "handler_failed", "message": "invalid digit found in string"})),
        ("own", json!({"code": "sold_out", "message": "0 left", "details": {"left": 0}})),
        ("?", json!({"code": "sold_out", "message": "1 left", "details": {"left": 1}})),
        ("Error", json!({"code": "code", "message": "message", "details": [1]})),
    ] {
        assert_eq!(client.request(event, json!(null)).await, Err(error.clone()), "{event}");
        // Without an id, the refusal names the event.
        client.send(event, json!(null)).await;
        let mut named = error;
        named["event"] = json!(event);
        let frame = client.next().await;
        assert_eq!(frame, json!({"event": "error", "data": named}), "{event}");
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn the_first_output_that_is_something_answers_and_later_listeners_still_run() {
    let server = Server::new().await;
    let log = Log::default();
    let on = |event: &'static str, answer: fn() -> Answer| {
        let log = log.clone();
        server.io.on::<()>(event, move |_, ()| {
            log.add(event);
            async move { answer() }
        });
    };
    on("values", Answer::nothing);
    on("values", || Answer::value(&1));
    on("values", || Answer::value(&2));
    on("values", || Answer::error("too late"));
    on("values", || panic!("too late"));
    on("values", Answer::nothing);
    on("failed", Answer::nothing);
    on("failed", || Answer::error("first"));
    on("failed", || Answer::value(&2));
    on("panicked", || panic!("secret"));
    on("panicked", || Answer::value(&2));
    let mut client = server.client().await;
    assert_eq!(client.request("values", json!(null)).await, Ok(json!(1)));
    assert_eq!(client.request("failed", json!(null)).await.unwrap_err()["message"], "first");
    assert_eq!(client.request("panicked", json!(null)).await.unwrap_err()["code"], "internal");
    let expected: Vec<&str> = [["values"; 6].as_slice(), &["failed"; 3], &["panicked"; 2]].concat();
    assert_eq!(log.all(), expected, "every listener ran");
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_refused_payload_keeps_no_other_listener_from_running() {
    let server = Server::new().await;
    server.io.on::<u32>("e", async |_, n| n);
    server.io.on::<String>("e", async |_, text| text);
    let mut client = server.client().await;
    assert_eq!(client.request("e", json!(1)).await, Ok(json!(1)));
    // The first refuses, so it answers; the second runs, and its answer comes too late.
    assert_eq!(client.request("e", json!("x")).await.unwrap_err()["code"], "invalid_payload");
    client.expect_nothing().await;
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Order {
    items: Vec<Item>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Item {
    price: u32,
}

#[tokio::test]
async fn invalid_payload_names_the_path_to_the_offending_field() {
    let server = Server::new().await;
    server.io.on::<Order>("order", async |_, order: Order| order.items.len());
    server.io.on::<HashMap<String, (u32, bool)>>("map", async |_, map: HashMap<String, (u32, bool)>| map.len());
    let mut client = server.client().await;
    let good = json!({"items": [{"price": 1}, {"price": 2, "more": true}]});
    assert_eq!(client.request("order", good).await, Ok(json!(2)));
    for (event, data, path) in [
        ("order", json!({"items": [{"price": 1}, {"price": "2"}]}), "items[1].price"),
        ("order", json!({"items": [{"price": -1}]}), "items[0].price"),
        ("order", json!({"items": [{}]}), "items[0]"),
        ("order", json!({"items": {}}), "items"),
        ("order", json!({"items": [], "note": 5}), "note"),
        ("order", json!({}), "."),
        ("order", json!("x"), "."),
        ("order", json!(null), "."),
        ("map", json!({"k": [1, 2]}), "k[1]"),
    ] {
        let error = client.request(event, data.clone()).await.unwrap_err();
        assert_eq!(error["code"], "invalid_payload", "{data}: {error}");
        assert_eq!(error["details"]["path"], path, "{data}: {error}");
    }
    client.send("order", json!({"items": 1})).await;
    let error = client.expect("error").await;
    assert_eq!((&error["event"], &error["details"]["path"]), (&json!("order"), &json!("items")));
}

#[tokio::test]
async fn a_unit_payload_takes_absent_data_or_null_and_nothing_else() {
    let server = Server::new().await;
    server.io.on::<()>("unit", async |_, ()| 1);
    let mut client = server.client().await;
    client.send_text(r#"{"event":"unit","id":"absent"}"#).await;
    assert_eq!(client.next().await, json!({"event": "ack", "id": "absent", "data": 1}));
    assert_eq!(client.request("unit", json!(null)).await, Ok(json!(1)));
    for data in [json!(0), json!(""), json!([]), json!({}), json!(false)] {
        let error = client.request("unit", data.clone()).await.unwrap_err();
        assert_eq!(error["code"], "invalid_payload", "{data}");
    }
}

#[tokio::test]
async fn numbers_keep_every_digit_on_the_way_in_and_out() {
    let server = Server::new().await;
    server.io.on::<Box<RawValue>>("echo", |socket: Socket, raw| async move {
        socket.emit("echo", &raw).await?;
        eventwire::ok(raw)
    });
    let mut raw = server.raw().await;
    let number = "-12345678901234567890.123456789012345678901234567890e-99";
    raw.write(&text_frame(&format!(r#"{{"event":"echo","id":1,"data": {{"n" :{number}}} }}"#))).await;
    let text = |frame: Option<RawFrame>| String::from_utf8(frame.unwrap().payload).unwrap();
    assert_eq!(text(raw.frame().await), format!(r#"{{"event":"echo","data":{{"n" :{number}}}}}"#));
    assert_eq!(text(raw.frame().await), format!(r#"{{"event":"ack","id":1,"data":{{"n" :{number}}}}}"#));
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_internal() {
    let server = Server::new().await;
    // JSON has no keys that are lists.
    server.io.on::<()>("e", async |_, ()| eventwire::ok(HashMap::from([(vec![1], 2)])));
    let mut client = server.client().await;
    let error: Value = client.request("e", json!(null)).await.unwrap_err();
    assert_eq!(error, json!({"code": "internal", "message": "internal error"}));
    client.expect_nothing().await;
}
