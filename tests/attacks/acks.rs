//! Answers that nobody asked for, and answers given twice.

use std::time::Duration;

use eventwire::RequestError;
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

#[tokio::test]
async fn answers_to_requests_that_were_never_sent_are_ignored() {
    let server = server().await;
    let mut client = server.client().await;
    for event in ["ack", "error"] {
        for id in [json!(1), json!(0), json!((1_u64 << 53) - 1), json!("1"), json!("")] {
            client.send_text(json!({"event": event, "id": id, "data": {"code": "x"}}).to_string()).await;
        }
        client.send_text(json!({"event": event}).to_string()).await;
    }
    client.expect_nothing().await;
    serves_others(&server).await;
}

#[tokio::test]
async fn the_first_of_two_answers_holds_and_the_second_is_ignored() {
    let server = server().await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    for (first, second) in [("ack", "ack"), ("ack", "error"), ("error", "ack"), ("error", "error")] {
        let asking = tokio::spawn({
            let socket = socket.clone();
            async move { socket.request::<Value>("name?", ()).await }
        });
        let asked = client.wait_for(|frame| frame["event"] == "name?").await;
        for (event, code) in [(first, "first"), (second, "second")] {
            let answer = json!({"event": event, "id": asked["id"], "data": {"code": code}});
            client.send_text(answer.to_string()).await;
        }
        match within("the answer", asking).await.unwrap() {
            Ok(data) => assert_eq!((first, data), ("ack", json!({"code": "first"}))),
            Err(RequestError::Refused(error)) => assert_eq!((first, error.code()), ("error", "first")),
            other => panic!("{other:?}"),
        }
        client.expect_nothing().await;
    }
}

/// Requests of the server's have numbers; a text that looks like one is another id.
#[tokio::test]
async fn an_answer_under_another_id_settles_nothing() {
    let server = server().await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    let asking = tokio::spawn(async move {
        let request = socket.request::<Value>("name?", ()).timeout(Duration::from_millis(300));
        request.await
    });
    let id = client.wait_for(|frame| frame["event"] == "name?").await["id"].as_u64().unwrap();
    for wrong in [json!(id.to_string()), json!(id + 1), Value::Null] {
        client.send_text(json!({"event": "ack", "id": wrong, "data": "wrong"}).to_string()).await;
    }
    assert_eq!(within("the request is settled", asking).await.unwrap(), Err(RequestError::Timeout));
    // Now it is late, which is the same as never asked.
    client.send_text(json!({"event": "ack", "id": id, "data": "late"}).to_string()).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn one_client_cannot_answer_for_another() {
    let server = server().await;
    let mut asked = server.client().await;
    let mut other = server.client().await;
    let socket = server.io.socket(asked.id.parse().unwrap()).unwrap();
    let asking = tokio::spawn(async move { socket.request::<Value>("name?", ()).await });
    let id = asked.wait_for(|frame| frame["event"] == "name?").await["id"].clone();
    other.send_text(json!({"event": "ack", "id": id, "data": "stolen"}).to_string()).await;
    other.expect_nothing().await;
    asked.send_text(json!({"event": "ack", "id": id, "data": "mine"}).to_string()).await;
    assert_eq!(within("the answer", asking).await.unwrap(), Ok(json!("mine")));
}

#[tokio::test]
async fn an_error_for_an_answer_may_have_any_shape() {
    let server = server().await;
    let mut client = server.client().await;
    let socket = server.io.sockets().remove(0);
    for data in [json!(null), json!([]), json!(7), json!({"code": 7}), json!({"code": null, "message": []})] {
        let asking = tokio::spawn({
            let socket = socket.clone();
            async move { socket.request::<Value>("name?", ()).await }
        });
        let id = client.wait_for(|frame| frame["event"] == "name?").await["id"].clone();
        client.send_text(json!({"event": "error", "id": id, "data": data}).to_string()).await;
        let answer = within("the answer", asking).await.unwrap();
        assert!(matches!(answer, Err(RequestError::Refused(_))), "{data}: {answer:?}");
    }
    client.expect_nothing().await;
}
