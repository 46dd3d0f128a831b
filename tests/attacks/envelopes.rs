//! Text that is no envelope, or one with odd parts.

use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

/// Sends each text to one connection, which answers all with `invalid_envelope` and goes on.
async fn are_no_envelopes(texts: &[String]) {
    let server = server_with(json!({"maxInvalidFrames": 1000})).await;
    let mut client = server.client().await;
    for text in texts {
        let shown: String = text.chars().take(60).collect();
        client.send_text(text.clone()).await;
        let answer = client.next().await;
        assert_eq!(answer["event"], "error", "{shown}: {answer}");
        assert_eq!(answer["data"]["code"], "invalid_envelope", "{shown}: {answer}");
        assert!(answer["data"]["message"].is_string(), "{shown}: {answer}");
        assert!(answer.get("id").is_none(), "{shown}: what is no envelope has no id: {answer}");
        assert!(answer.to_string().len() < 1024, "{shown}: what came is not sent back");
    }
    client.expect_nothing().await;
    serves_others(&server).await;
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

#[tokio::test]
async fn other_json_and_no_json_is_no_envelope() {
    are_no_envelopes(&texts(&[
        "null",
        "[]",
        r#""x""#,
        "{}",
        "0",
        "true",
        "",
        " ",
        "{",
        "}",
        "x",
        "[\"echo\"]",
        "[{\"event\":\"echo\"}]",
        r#"{"event":"echo"}{"event":"echo"}"#,
        r#"{"event":"echo",}"#,
        r#"{event:"echo"}"#,
        r#"{'event':'echo'}"#,
        "{\"event\":\"echo\",\"data\":\"\n\"}",
        "\u{feff}{\"event\":\"echo\"}",
        r#"{"Event":"echo"}"#,
        r#"{"data":1,"id":1}"#,
        r#"{"event":"echo","data":}"#,
        r#"{"event":"echo","event":"echo"}"#,
    ]))
    .await;
}

#[tokio::test]
async fn an_event_that_is_no_name_is_no_envelope() {
    let long = [
        format!(r#"{{"event":"{}"}}"#, "a".repeat(129)),
        format!(r#"{{"event":"{}"}}"#, "é".repeat(129)),
        format!(r#"{{"event":"{}","id":1}}"#, "\\u00e9".repeat(129)),
        format!(r#"{{"event":"{}"}}"#, "a".repeat((1 << 20) - 100)),
    ];
    are_no_envelopes(&long).await;
    are_no_envelopes(&texts(&[
        r#"{"event":""}"#,
        r#"{"event":1}"#,
        r#"{"event":null}"#,
        r#"{"event":true}"#,
        r#"{"event":["echo"]}"#,
        r#"{"event":{"toString":"echo"}}"#,
        r#"{"event":"\ud800"}"#,
    ]))
    .await;
}

#[tokio::test]
async fn an_event_of_a_mebibyte_closes_with_1009() {
    let server = server().await;
    let mut client = server.client().await;
    client.send_text(format!(r#"{{"event":"{}"}}"#, "a".repeat(1 << 20))).await;
    assert_eq!(client.closed().await.0, 1009);
    serves_others(&server).await;
}

#[tokio::test]
async fn an_id_of_another_kind_is_no_envelope() {
    let with = |id: &str| format!(r#"{{"event":"echo","data":1,"id":{id}}}"#);
    let ids = [
        "-1",
        "1.5",
        "1e3",
        "{}",
        "{\"a\":1}",
        "[]",
        "[1]",
        "true",
        "9007199254740992",
        "18446744073709551616",
        "1e400",
        &format!("\"{}\"", "é".repeat(65)),
        &format!("\"{}\"", "x".repeat(1_000_000)),
    ];
    are_no_envelopes(&ids.map(with)).await;
}

#[tokio::test]
async fn an_id_of_ten_megabytes_is_too_large_or_no_envelope() {
    let text = format!(r#"{{"event":"echo","id":"{}"}}"#, "x".repeat(10_000_000));
    let server = server_with(json!({"maxMessage": "16MiB"})).await;
    let mut client = server.client().await;
    client.send_text(text.clone()).await;
    let answer = client.next().await;
    assert_eq!(answer["data"]["code"], "invalid_envelope");
    assert!(answer.to_string().len() < 1024, "it is not sent back");

    let server = crate::kit::server().await;
    let mut raw = server.raw().await;
    raw.write(&text_frame(&text)).await;
    is_closed(&mut raw, 1009, "too_large").await;
    serves_others(&server).await;
}

#[tokio::test]
async fn ids_at_their_limits_are_answered_as_they_came() {
    let server = server().await;
    let mut client = server.client().await;
    let long = "é".repeat(64);
    for id in [json!(0), json!((1_u64 << 53) - 1), json!(""), json!("\"\\\n\u{1f600}"), json!(long)] {
        client.send_text(json!({"event": "echo", "id": id, "data": 1}).to_string()).await;
        assert_eq!(client.next().await, json!({"event": "ack", "id": id, "data": 1}));
    }
}

/// serde_json reads a raw value of any depth; whoever decodes it then would run out of stack.
#[tokio::test]
async fn json_nested_a_hundred_thousand_deep_is_no_envelope() {
    let deep = |open: &str, close: &str| (open.repeat(100_000), close.repeat(100_000));
    let mut all = Vec::new();
    for (open, close) in [deep("[", "]"), deep(r#"{"a":"#, "}")] {
        // `null` makes the innermost of objects whole.
        all.push(format!(r#"{{"event":"echo","data":{open}null{close}}}"#));
        all.push(format!(r#"{{"event":"echo","other":{open}null{close}}}"#));
        all.push(format!(r#"{{"event":"echo","id":{open}null{close}}}"#));
        all.push(format!(r#"{{"event":{open}null{close}}}"#));
        all.push(format!("{open}null{close}"));
        // Never closed again.
        all.push(format!(r#"{{"event":"echo","data":{open}"#));
    }
    are_no_envelopes(&all).await;
}

#[tokio::test]
async fn brackets_in_texts_are_not_nested() {
    let server = server().await;
    let mut client = server.client().await;
    let data = json!(["[".repeat(100_000), "\"{\\".repeat(1000), {"a": "}"}]);
    assert_eq!(client.request("echo", data.clone()).await, Ok(data));
}

#[tokio::test]
async fn data_at_the_depth_limit_is_handled() {
    let server = server().await;
    let mut raw = server.raw().await;
    // 128 with the envelope itself.
    let data = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    raw.write(&text_frame(&format!(r#"{{"event":"echo","id":1,"data":{}}}"#, data(127)))).await;
    let answer = raw.frame().await.unwrap();
    // Not parsed: serde_json itself stops one before.
    assert_eq!(String::from_utf8(answer.payload).unwrap(), format!(r#"{{"event":"ack","id":1,"data":{}}}"#, data(127)));
    raw.write(&text_frame(&format!(r#"{{"event":"echo","id":2,"data":{}}}"#, data(128)))).await;
    assert_eq!(raw.frame().await.unwrap().json()["data"]["code"], "invalid_envelope");
}

/// Names that mean something elsewhere are plain names here.
#[tokio::test]
async fn names_of_objects_in_other_languages_are_plain_names() {
    let server = server().await;
    server.io.on::<Value>("__proto__", async |_, data| data);
    let mut client = server.client().await;
    let data = json!({"__proto__": {"polluted": true}, "constructor": {"prototype": 1}});
    assert_eq!(client.request("__proto__", data.clone()).await, Ok(data));
    for name in ["constructor", "prototype", "toString", "hasOwnProperty", "on", "*", " ", "\0", "a\r\nb", "../x"] {
        assert_eq!(client.request(name, json!(1)).await.unwrap_err()["code"], "unknown_event", "{name:?}");
    }
}

/// A half of a pair is a valid escape of JSON, which no Rust text can hold.
#[tokio::test]
async fn a_lone_surrogate_in_the_data_refuses_that_request_alone() {
    let server = server().await;
    let mut client = server.client().await;
    client.send_text(r#"{"event":"echo","id":1,"data":"\ud800"}"#).await;
    assert_eq!(client.answer(1).await.unwrap_err()["code"], "invalid_payload");
    client.expect_nothing().await;
}

#[tokio::test]
async fn numbers_that_no_machine_holds_refuse_that_request_alone() {
    let server = server().await;
    server.io.on::<f64>("half", async |_, n| n / 2.0);
    let mut client = server.client().await;
    client.send_text(r#"{"event":"half","id":1,"data":1e999999999}"#).await;
    assert_eq!(client.answer(1).await.unwrap_err()["code"], "invalid_payload");
    client.send_text(format!(r#"{{"event":"half","id":2,"data":{}}}"#, "9".repeat(1000))).await;
    assert_eq!(client.answer(2).await.unwrap_err()["code"], "invalid_payload");
    client.expect_nothing().await;
}

#[tokio::test]
async fn reserved_events_from_a_client_are_forbidden() {
    let server = server().await;
    let mut client = server.client().await;
    for event in ["connected", "seen", "gap", "closing"] {
        assert_eq!(client.request(event, json!({"code": "x"})).await.unwrap_err()["code"], "forbidden", "{event}");
        client.send(event, json!(null)).await;
        let answer = client.expect("error").await;
        assert_eq!((&answer["code"], &answer["event"]), (&json!("forbidden"), &json!(event)));
    }
    client.expect_nothing().await;
    serves_others(&server).await;
}

#[tokio::test]
async fn sixteen_invalid_frames_are_answered_and_the_next_closes_with_1008() {
    let server = server().await;
    let mut raw = server.raw().await;
    for _ in 0..16 {
        raw.write(&text_frame("nonsense")).await;
        assert_eq!(raw.frame().await.unwrap().json()["data"]["code"], "invalid_envelope");
        // What is good does not make good what was bad.
        raw.write(&text_frame(r#"{"event":"echo","id":1}"#)).await;
        assert_eq!(raw.frame().await.unwrap().json()["event"], "ack");
    }
    raw.write(&text_frame("nonsense")).await;
    let told = is_closed(&mut raw, 1008, "invalid_frames").await;
    assert_eq!(told["reconnect"], false);
    serves_others(&server).await;
}

#[tokio::test]
async fn the_count_of_invalid_frames_is_each_connections_own() {
    let server = server_with(json!({"maxInvalidFrames": 1})).await;
    let mut first = server.raw().await;
    let mut second = server.raw().await;
    for raw in [&mut first, &mut second] {
        raw.write(&text_frame("nonsense")).await;
        assert_eq!(raw.frame().await.unwrap().json()["data"]["code"], "invalid_envelope");
    }
    first.write(&text_frame("nonsense")).await;
    is_closed(&mut first, 1008, "invalid_frames").await;
    second.is_alive().await;
}
