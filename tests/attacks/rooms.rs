//! Subscriptions without measure, and rooms whose names are none.

use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

async fn subscribes_to(rooms: usize) {
    let server = server().await;
    let mut raw = server.raw().await;
    let (mut reading, mut writing) = {
        let raw = &mut raw;
        let stream = std::mem::replace(&mut raw.stream, tokio::net::TcpStream::connect(server.address).await.unwrap());
        let (reading, writing) = stream.into_split();
        (reading, writing)
    };
    let write = tokio::spawn(async move {
        for n in 0..rooms {
            let request = text_frame(&format!(r#"{{"event":"subscribe","id":{n},"data":"public:{n}"}}"#));
            tokio::io::AsyncWriteExt::write_all(&mut writing, &request).await.unwrap();
        }
        writing
    });
    // All are answered, in order.
    let mut bytes = Vec::new();
    let (mut answered, mut joined) = (0, 0);
    while answered < rooms {
        within("answers", tokio::io::AsyncReadExt::read_buf(&mut reading, &mut bytes)).await.unwrap();
        while let Some((payload, rest)) = short_frame(&bytes) {
            let answer: Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(answer["id"], answered, "{answer}");
            match answer["event"].as_str() {
                Some("ack") => joined += 1,
                _ => assert_eq!(answer["data"]["code"], "limit", "{answer}"),
            }
            answered += 1;
            bytes = rest.to_vec();
        }
    }
    assert_eq!(joined, 1024, "the first ones");
    let stats = server.io.stats();
    assert_eq!((stats.rooms, stats.members), (1024, 1024));
    assert!(server.io.room_len("public:1023") == 1 && server.io.room_len("public:1024") == 0);
    drop((reading, write.await.unwrap(), raw));
    until("nothing is left", || server.io.stats().rooms == 0).await;
    serves_others(&server).await;
}

/// The payload of a frame of less than 64 KiB, and what comes after it.
fn short_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, start) = match *bytes.get(1)? {
        126 => (u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]) as usize, 4),
        short => (short as usize, 2),
    };
    Some((bytes.get(start..start + length)?, &bytes[start + length..]))
}

#[tokio::test]
async fn ten_thousand_subscriptions_in_a_row_are_answered_and_bounded() {
    subscribes_to(10_000).await;
}

#[tokio::test]
#[ignore = "takes a while: the long form"]
async fn a_hundred_thousand_subscriptions_in_a_row_are_answered_and_bounded() {
    subscribes_to(100_000).await;
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_rooms_is_answered_and_bounded() {
    let server = server_with(json!({"maxMessage": "4MiB"})).await;
    let mut client = server.client().await;
    let rooms: Vec<String> = (0..100_000).map(|n| format!("public:{n}")).collect();
    // Told for each or at once, of which another test holds one to be right: bounded it is.
    let _ = client.request("subscribe", json!(rooms)).await;
    assert!(server.io.stats().members <= 1024);
    assert_eq!(client.request("echo", json!(1)).await, Ok(json!(1)));
    // And a list to leave them.
    client.request("unsubscribe", json!(rooms)).await.unwrap();
    assert_eq!(server.io.stats().members, 0);
    serves_others(&server).await;
}

#[tokio::test]
async fn a_list_beyond_the_cap_is_settled_room_by_room() {
    let server = server_with(json!({"maxSubscriptions": 3})).await;
    let mut client = server.client().await;
    let wanted = json!(["public:0", "private", "public:1", "public:1", "public:2", "public:3", "a b"]);
    let entries = client.request("subscribe", wanted).await.unwrap();
    let told: Vec<(&str, Option<&str>)> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["room"].as_str().unwrap(), entry["error"]["code"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("public:0", None),
            ("private", Some("forbidden")),
            ("public:1", None),
            ("public:1", None),
            ("public:2", None),
            ("public:3", Some("limit")),
            ("a b", Some("forbidden")),
        ]
    );
    assert_eq!(server.io.stats().members, 3);
}

/// The answer has an entry for each name, and a rule may be asked for each.
#[tokio::test]
async fn a_list_far_beyond_the_cap_is_refused_whole() {
    let server = server_with(json!({"maxSubscriptions": 100})).await;
    let mut client = server.client().await;
    let names = |n: usize| json!((0..n).map(|n| format!("public:{n}")).collect::<Vec<_>>());
    let refused = client.request("subscribe", names(401)).await.unwrap_err();
    assert_eq!(refused["code"], "limit");
    assert_eq!(server.io.stats().members, 0);
    let entries = client.request("subscribe", names(400)).await.unwrap();
    assert_eq!((entries.as_array().unwrap().len(), server.io.stats().members), (400, 100));
}

#[tokio::test]
async fn a_room_left_makes_place_for_another() {
    let server = server_with(json!({"maxSubscriptions": 2})).await;
    let mut client = server.client().await;
    for n in 0..100 {
        client.request("subscribe", json!(format!("public:{n}"))).await.unwrap();
        client.request("subscribe", json!("public:stays")).await.unwrap();
        let refused = client.request("subscribe", json!("public:more")).await.unwrap_err();
        assert_eq!(refused["code"], "limit", "{n}");
        client.request("unsubscribe", json!(format!("public:{n}"))).await.unwrap();
    }
    assert_eq!(server.io.rooms_list(), ["public:stays"]);
}

#[tokio::test]
async fn names_outside_the_alphabet_are_forbidden() {
    let server = server().await;
    server.io.rooms("*").public();
    let mut client = server.client().await;
    let long = "a".repeat(257);
    let mebibyte = "a".repeat((1 << 20) - 200);
    let names = [
        "",
        " ",
        "a b",
        "a\0",
        "\u{1}",
        "a\n",
        "a\r\nb",
        "\u{7f}",
        "é",
        "😀",
        "a/b",
        "../a",
        "a*",
        "*",
        "a>",
        "%41",
        "\"",
        "\u{202e}a",
        "\u{feff}a",
        &long,
        &mebibyte,
    ];
    for name in names {
        let shown: String = name.chars().take(20).collect();
        for data in [json!(name), json!({"room": name, "last": 1})] {
            let refused = client.request("subscribe", data.clone()).await.unwrap_err();
            assert_eq!(refused["code"], "forbidden", "{shown:?}");
            client.send("subscribe", data).await;
            let told = client.expect("error").await;
            assert_eq!((&told["code"], &told["event"]), (&json!("forbidden"), &json!("subscribe")), "{shown:?}");
        }
        // In a list the good ones are joined all the same.
        let entries = client.request("subscribe", json!(["good", name])).await.unwrap();
        assert_eq!(entries[0], json!({"room": "good"}));
        assert_eq!(entries[1]["error"]["code"], "forbidden", "{shown:?}");
        assert_eq!(server.io.rooms_list(), ["good"], "{shown:?}");
        client.request("unsubscribe", json!("good")).await.unwrap();
    }
    let longest = "Aa0_.:-".repeat(37)[..256].to_owned();
    assert_eq!(client.request("subscribe", json!(longest)).await, Ok(json!({"room": longest})));
    serves_others(&server).await;
}

/// CVE-2026-114147: names that differ in case only are different rooms.
#[tokio::test]
async fn rooms_that_differ_in_case_are_different() {
    let server = server().await;
    let mut client = server.client().await;
    assert_eq!(client.request("subscribe", json!("Public:a")).await.unwrap_err()["code"], "forbidden");
    client.request("subscribe", json!("public:a")).await.unwrap();
    server.io.to("public:A").emit("n", 1).await.unwrap();
    client.expect_nothing().await;
}

#[tokio::test]
async fn what_is_no_room_at_all_is_an_invalid_payload() {
    let server = server().await;
    let mut client = server.client().await;
    for data in [
        json!(null),
        json!(7),
        json!(true),
        json!({}),
        json!({"room": 7}),
        json!([7]),
        json!([["public:a"]]),
        json!(["public:a", null]),
    ] {
        for event in ["subscribe", "unsubscribe"] {
            let refused = client.request(event, data.clone()).await.unwrap_err();
            assert_eq!(refused["code"], "invalid_payload", "{event} {data}");
        }
    }
    assert_eq!(client.request("subscribe", json!([])).await, Ok(json!([])));
    assert_eq!(server.io.stats().rooms, 0);
}

/// The room of everyone has no name that a client could subscribe to, nor do other sockets' ids.
#[tokio::test]
async fn rooms_without_a_rule_are_forbidden() {
    let server = server().await;
    let mut client = server.client().await;
    let other = server.client().await;
    for name in ["private", "public", "publi", &other.id, &client.id.clone(), ":", "public-a"] {
        assert_eq!(client.request("subscribe", json!(name)).await.unwrap_err()["code"], "forbidden", "{name}");
    }
    // To leave what one is not in is done already.
    assert_eq!(client.request("unsubscribe", json!("private")).await, Ok(json!({"room": "private"})));
}
