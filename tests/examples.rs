//! The small examples, as their users meet them.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use support::*;
use tokio::process::Command;

async fn start(example: &str) -> (Program, SocketAddr) {
    let mut program = Program::example(example, &["127.0.0.1:0"]);
    let address = program.address().await;
    assert_eq!(program.printed(), format!("open http://{address}/\n"));
    (program, address)
}

#[test]
fn they_are_short() {
    for name in ["chat", "axum"] {
        let text = std::fs::read_to_string(root().join(format!("examples/{name}.rs"))).unwrap();
        let lines = text.lines().count();
        assert!((20..=120).contains(&lines), "{name}: {lines} lines");
    }
}

#[tokio::test]
async fn their_pages_need_nothing_but_themselves() {
    for name in ["chat", "axum"] {
        let (_program, address) = start(name).await;
        let (status, page) = http(address, "GET /").await;
        assert_eq!(status, 200, "{name}");
        assert!(page.contains("new WebSocket("), "{name}: {page}");
        assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("import "), "{name}: {page}");
    }
}

#[tokio::test]
async fn in_a_browser() {
    browser_is_installed();
    let ((_chat, chat), (_axum, axum)) = (start("chat").await, start("axum").await);
    let script = root().join("tests/clients/browser/examples.mjs");
    let pages = [chat, axum].map(|address| format!("http://{address}/"));
    let mut browser = Program::start(Command::new("node").arg(script).args(pages));
    let (status, printed) = browser.ended_within(Duration::from_secs(60)).await;
    assert!(status.success() && printed.ends_with("2 passed, 0 failed\n"), "{printed}");
}

// ---- chat

async fn enter(address: SocketAddr, room: &str, name: &str) -> Client {
    let mut client = Client::connect(address, "/ws").await;
    client.request("enter", json!({"room": room, "name": name})).await.unwrap();
    client
}

#[tokio::test]
async fn a_chat_of_two() {
    let (_chat, address) = start("chat").await;
    let mut ann = Client::connect(address, "/ws").await;
    assert_eq!(
        ann.request("enter", json!({"room": "lobby", "name": " Ann "})).await,
        Ok(json!(1)),
        "how many are here"
    );
    assert_eq!(ann.expect("members").await, 1);

    let mut ben = enter(address, "lobby", "Ben").await;
    assert_eq!(ann.expect("entered").await, "Ben");
    assert_eq!((ann.expect("members").await, ben.expect("members").await), (json!(2), json!(2)));

    // The return value of the handler is the answer.
    let said = ann.request("say", json!({"room": "lobby", "text": "hello <b>"})).await;
    assert_eq!(said, Ok(json!({"delivered": 1})));
    assert_eq!(ben.expect("said").await, json!({"name": "Ann", "text": "hello <b>"}));
    ann.expect_nothing().await;

    // Another room hears nothing of it.
    let mut eve = enter(address, "cellar", "Eve").await;
    assert_eq!(eve.expect("members").await, 1);
    let said = ben.request("say", json!({"room": "lobby", "text": "who is there?"})).await;
    assert_eq!(said, Ok(json!({"delivered": 1})));
    assert_eq!(ann.expect("said").await["name"], "Ben");
    eve.expect_nothing().await;

    ben.close().await;
    assert_eq!(ann.expect("left").await, "Ben");
    assert_eq!(ann.expect("members").await, 1);
    let said = ann.request("say", json!({"room": "lobby", "text": "anybody?"})).await;
    assert_eq!(said, Ok(json!({"delivered": 0})));
    ann.expect_nothing().await;
}

#[tokio::test]
async fn what_a_chat_refuses() {
    let (_chat, address) = start("chat").await;
    let mut ann = Client::connect(address, "/ws").await;
    let say = json!({"room": "lobby", "text": "hello"});
    let code = |answer: Result<Value, Value>| answer.unwrap_err()["code"].as_str().unwrap().to_owned();
    assert_eq!(code(ann.request("say", say.clone()).await), "nameless");
    for name in ["", "  ", &"x".repeat(31)] {
        assert_eq!(code(ann.request("enter", json!({"room": "lobby", "name": name})).await), "bad_name", "{name:?}");
    }
    assert_eq!(code(ann.request("enter", json!({"room": "no room", "name": "Ann"})).await), "forbidden");
    assert_eq!(code(ann.request("enter", json!({"room": "lobby"})).await), "invalid_payload");
    ann.request("enter", json!({"room": "lobby", "name": "Ann"})).await.unwrap();
    assert_eq!(
        code(ann.request("say", json!({"room": "cellar", "text": "hello"})).await),
        "forbidden",
        "she is not there"
    );
    assert_eq!(code(ann.request("subscribe", json!("chat:cellar")).await), "forbidden", "the way in is `enter`");
    assert_eq!(ann.request("say", say).await, Ok(json!({"delivered": 0})));
}

// ---- axum

#[tokio::test]
async fn a_counter_within_axum() {
    let (_axum, address) = start("axum").await;
    let (mut ann, mut ben) = (Client::connect(address, "/ws").await, Client::connect(address, "/ws").await);
    assert_eq!((ann.expect("count").await, ben.expect("count").await), (json!(0), json!(0)), "the count as it is");
    assert_eq!(http_json(address, "POST /add").await, (200, json!(1)));
    assert_eq!((ann.expect("count").await, ben.expect("count").await), (json!(1), json!(1)));
    assert_eq!(ann.request("add", Value::Null).await, Ok(json!(2)));
    assert_eq!((ann.expect("count").await, ben.expect("count").await), (json!(2), json!(2)));
    assert_eq!(http(address, "GET /add").await.0, 405);
}

#[tokio::test]
async fn a_namespace_of_those_with_a_token() {
    let (_axum, address) = start("axum").await;
    for path in ["/admin", "/admin?token=", "/admin?token=guessed"] {
        let mut raw = Raw::connect(address).await;
        let (status, response) = raw.shake(&handshake(address, &format!("GET {path} HTTP/1.1"), &[])).await;
        assert_eq!(status, 401, "{path}");
        let body: Value = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["code"], "unauthorized", "{path}: {body}");
    }
    let mut ann = Client::connect(address, "/ws").await;
    assert_eq!(ann.expect("count").await, 0);
    let mut admin = Client::connect(address, "/admin?token=s3cret").await;
    admin.request("set", json!(40)).await.unwrap();
    assert_eq!(ann.expect("count").await, 40, "it acts upon the other namespace");
    assert_eq!(ann.request("set", json!(0)).await.unwrap_err()["code"], "unknown_event", "which has not its events");
    assert_eq!(admin.request("add", Value::Null).await.unwrap_err()["code"], "unknown_event");
    assert_eq!(http_json(address, "POST /add").await, (200, json!(41)));
    assert_eq!(ann.expect("count").await, 41);
    admin.expect_nothing().await;
}
