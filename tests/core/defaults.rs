//! The defaults of DESIGN §5: the table itself, and that each limit is kept. Those of the queues and the
//! clocks stand beside their subjects: `default_inbox_…`, `default_outbox_…`, `default_ping_…` and so on.

use std::time::Duration;

use eventwire::{AllowedOrigins, Config, Handshake, Io, Overflow, Refusal, RequestError};
use serde_json::{Value, json};

use crate::kit::*;
use crate::support::*;

#[test]
fn defaults_are_those_of_the_table() {
    let config = Config::default();
    let secs = Duration::from_secs;
    assert_eq!(config.max_message, 1024 * 1024);
    assert_eq!(config.handshake_timeout, secs(10));
    assert_eq!((config.ping_interval, config.silence_timeout, config.write_timeout), (secs(25), secs(45), secs(10)));
    assert_eq!((config.max_connections, config.max_connections_per_address), (None, None));
    assert_eq!((config.max_invalid_frames, config.read_buffer), (16, 64 * 1024));
    assert_eq!((config.outbox.messages, config.outbox.bytes), (1024, 4 * 1024 * 1024));
    assert_eq!(config.outbox.overflow, Overflow::Disconnect);
    assert_eq!((config.inbox.messages, config.inbox.bytes), (256, 1024 * 1024));
    assert_eq!((config.max_pending_acks, config.max_subscriptions), (1024, 1024));
    assert_eq!((config.ack_timeout, config.handler_timeout), (secs(10), secs(30)));
    assert_eq!((config.events_per_second, config.max_depth), (None, 128));
    assert_eq!(config.allowed_origins, AllowedOrigins::Same);
    assert_eq!(config.drain_timeout, secs(5));
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), config);
    assert_eq!(*Io::new().config(), config);
}

#[test]
fn a_configuration_reads_every_key_and_names_the_one_that_cannot_be() {
    let all = json!({
        "maxMessage": "64KiB", "handshakeTimeout": "1s", "pingInterval": "2s", "silenceTimeout": "3s", "writeTimeout": "4s",
        "maxConnections": 5, "maxConnectionsPerAddress": 6, "maxInvalidFrames": 7, "readBuffer": "8KiB",
        "outbox": {"messages": 9, "bytes": "10KiB", "overflow": "dropNewest"}, "inbox": {"messages": 11, "bytes": 12},
        "maxPendingAcks": 13, "ackTimeout": "14ms", "handlerTimeout": "15m", "maxSubscriptions": 16,
        "eventsPerSecond": {"rate": 17.5, "burst": 18}, "maxDepth": 19, "allowedOrigins": ["https://a.example"],
        "drainTimeout": 20,
    });
    let config: Config = serde_json::from_value(all.clone()).unwrap();
    assert_eq!(config.max_message, 65536);
    assert_eq!((config.handler_timeout, config.ack_timeout), (Duration::from_secs(900), Duration::from_millis(14)));
    assert_eq!(config.drain_timeout, Duration::from_millis(20));
    // The same in snake_case, and each key is really one.
    let snake = |key: &str| {
        key.chars().fold(String::new(), |mut out, c| {
            if c.is_uppercase() {
                out.push('_');
            }
            out.extend(c.to_lowercase());
            out
        })
    };
    let snaked: Value = all.as_object().unwrap().iter().map(|(key, value)| (snake(key), value.clone())).collect();
    assert_eq!(serde_json::from_value::<Config>(snaked).unwrap(), config);
    for key in all.as_object().unwrap().keys() {
        let error = serde_json::from_value::<Config>(json!({key: {"no": "such"}})).unwrap_err().to_string();
        assert!(error.contains(key.as_str()), "{key}: {error}");
    }
    // What is given as a value is checked as well as what is read.
    let mut config = Config::default();
    config.outbox.messages = 0;
    let error = Io::builder().config(config).build().unwrap_err();
    assert_eq!(error.key(), "outbox.messages");
}

#[tokio::test]
async fn default_message_in_of_1_mib_then_1009() {
    let server = Server::new().await;
    server.io.on::<String>("len", async |_, text: String| text.len());
    let mut client = server.client().await;
    let around = r#"{"event":"len","data":"","id":1}"#.len();
    let largest = 1024 * 1024 - around;
    let text = |n: usize| format!(r#"{{"event":"len","data":"{}","id":1}}"#, "x".repeat(n));
    client.send_text(text(largest)).await;
    assert_eq!(client.next().await["data"], largest);
    client.send_text(text(largest + 1)).await;
    let (code, before) = client.closed().await;
    assert_eq!((code, &before[0]["data"]["code"]), (1009, &json!("too_large")));
}

#[tokio::test]
async fn default_handshake_of_10_s() {
    let server = Server::new().await;
    let mut half = Raw::connect(server.address).await;
    half.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n").await;
    skip(Duration::from_secs(9)).await;
    assert!(half.stream.try_read(&mut [0; 10]).is_err(), "9 s are not too long");
    skip(Duration::from_secs(1)).await;
    // Closed, with or without a word.
    let mut read = [0; 1000];
    until("it is closed", || match half.stream.try_read(&mut read) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    })
    .await;
}

#[tokio::test]
async fn default_connections_unlimited_but_settable_whole_and_per_address() {
    for (key, message) in [("maxConnections", "too many"), ("maxConnectionsPerAddress", "from this address")] {
        let server = Server::with(json!({key: 2})).await;
        let clients = server.clients(2).await;
        let mut third = Raw::connect(server.address).await;
        let (status, response) = third.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await;
        assert_eq!(status, 503, "{key}");
        assert!(response.contains(message), "{response}");
        drop(clients);
        // A place is free once nothing of the connection is left.
        until("they are gone", || server.io.stats().sockets == 0).await;
        let mut again = None;
        for _ in 0..100 {
            settle().await;
            again = Client::try_connect(server.address, "/ws", &[]).await.ok();
            if again.is_some() {
                break;
            }
        }
        assert!(again.is_some(), "{key}");
    }
}

#[tokio::test]
async fn default_invalid_frames_16_are_answered_and_the_next_is_1008() {
    let server = Server::new().await;
    server.io.on::<()>("good", async |_, ()| 1);
    let mut client = server.client().await;
    for n in 0..16 {
        client.send_text("[]").await;
        assert_eq!(client.next().await["data"]["code"], "invalid_envelope", "{n}");
        // Good ones do not reset the count.
        assert_eq!(client.request("good", json!(null)).await, Ok(json!(1)));
    }
    client.send_text("[]").await;
    let (code, before) = client.closed().await;
    assert_eq!((code, before.len(), &before[0]["data"]["code"]), (1008, 1, &json!("invalid_frames")));
}

#[tokio::test]
async fn default_read_buffer_of_any_size_reads_all_sizes() {
    for size in [128, 4096, 1 << 20] {
        let server = Server::with(json!({"readBuffer": size})).await;
        server.io.on::<Value>("echo", async |_, value| value);
        let mut client = server.client().await;
        for length in [0, 1, 127, 4096, 70_000, 500_000] {
            let data = json!("x".repeat(length));
            assert_eq!(client.request("echo", data.clone()).await, Ok(data), "{length} bytes by {size}");
        }
    }
}

#[tokio::test]
async fn default_pending_acks_1024_a_socket() {
    let server = Server::new().await;
    let clients = server.clients(2).await;
    let (socket, other) = (server.socket(&clients[0]), server.socket(&clients[1]));
    // To read would be to answer pings only: the questions stay pending.
    let asking: Vec<_> = (0..1024)
        .map(|n| {
            let socket = socket.clone();
            tokio::spawn(async move { socket.request::<Value>("q", n).await })
        })
        .collect();
    settle().await;
    assert!(asking.iter().all(|one| !one.is_finished()));
    assert_eq!(socket.request::<Value>("q", 1024).await, Err(RequestError::Limit));
    let elsewhere = other.request::<Value>("q", 1).timeout(Duration::from_millis(10)).await;
    assert_eq!(elsewhere, Err(RequestError::Timeout), "each socket has its own");
    drop(clients);
    for one in asking {
        assert_eq!(within("its end", one).await.unwrap(), Err(RequestError::Disconnected));
    }
}

#[tokio::test]
async fn default_ack_timeout_of_10_s() {
    let server = Server::new().await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let asking = tokio::spawn(async move { socket.request::<Value>("q", 1).await });
    assert_eq!(client.next().await["event"], "q");
    skip(Duration::from_millis(9_500)).await;
    assert!(!asking.is_finished(), "9.5 s are not too long");
    skip(Duration::from_millis(600)).await;
    assert_eq!(within("its timeout", asking).await.unwrap(), Err(RequestError::Timeout));
    // A request to many has the same.
    let answers = server.io.request::<Value>("q", 1);
    let asking = tokio::spawn(futures::StreamExt::collect::<Vec<_>>(answers));
    skip(Duration::from_millis(9_500)).await;
    assert!(!asking.is_finished());
    skip(Duration::from_millis(600)).await;
    assert_eq!(within("its timeout", asking).await.unwrap()[0].1, Err(RequestError::Timeout));
}

#[tokio::test]
async fn default_handler_timeout_of_30_s() {
    let server = Server::new().await;
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    let mut client = server.client().await;
    let asked = client.ask("hang", json!(null)).await;
    until("it is read", || server.io.stats().messages_in == 1).await;
    skip(Duration::from_secs(29)).await;
    client.send("ping", json!("still")).await;
    assert_eq!(client.next().await["data"], "still", "29 s are not too long");
    skip(Duration::from_millis(1_100)).await;
    assert_eq!(client.answer(asked).await.unwrap_err()["code"], "timeout");
}

#[tokio::test]
async fn default_subscriptions_1024_rooms() {
    let server = Server::new().await;
    server.io.rooms("*").public();
    let mut client = server.client().await;
    let rooms: Vec<String> = (0..1024).map(|n| format!("room:{n}")).collect();
    let entries = client.request("subscribe", json!(rooms)).await.unwrap();
    assert!(entries.as_array().unwrap().iter().all(|entry| entry["error"].is_null()));
    assert_eq!(client.request("subscribe", json!("one-more")).await.unwrap_err()["code"], "limit");
    assert_eq!((server.io.stats().rooms, server.io.stats().members), (1024, 1024));
    client.close().await;
    until("all are left", || server.io.stats().members == 0).await;
    assert_eq!(server.io.stats().rooms, 0);
}

#[tokio::test]
async fn default_json_depth_of_128_for_the_whole_frame() {
    let server = Server::new().await;
    server.io.on::<Box<serde_json::value::RawValue>>("e", async |_, _| ());
    let mut client = server.client().await;
    let nested = |n: usize| format!(r#"{{"event":"e","id":1,"data":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    client.send_text(nested(127)).await;
    assert_eq!(client.next().await, json!({"event": "ack", "id": 1, "data": null}));
    client.send_text(nested(128)).await;
    assert_eq!(client.next().await["data"]["code"], "invalid_envelope");
    let shallow = Server::with(json!({"maxDepth": 2})).await;
    let mut client = shallow.client().await;
    client.send_text(r#"{"event":"e","data":[1]}"#).await;
    assert_eq!(client.next().await["data"]["code"], "unknown_event");
    client.send_text(r#"{"event":"e","data":[[1]]}"#).await;
    assert_eq!(client.next().await["data"]["code"], "invalid_envelope");
}

#[tokio::test]
async fn invariant_01_the_door_refuses_before_it_upgrades() {
    let server = Server::with(json!({"maxConnections": 1})).await;
    let log = Log::default();
    let note = log.clone();
    server.io.on_connect(move |_| std::future::ready(note.add("connected")));
    server.io.authenticate(async |handshake: Handshake| match handshake.query_param("user").as_deref() {
        None => Err(Refusal::unauthorized("who are you?")),
        Some("banned") => Err(Refusal::forbidden("not you")),
        Some("early") => Err(Refusal::unavailable("not yet")),
        Some("panic") => panic!("the password is swordfish"),
        Some(user) => Ok(user.to_owned()),
    });
    let own = format!("http://{}", server.address);
    let mut inside = Vec::new();
    for (query, origin, status) in [
        ("", "", 401),
        ("?user=banned", "", 403),
        ("?user=early", "", 503),
        ("?user=panic", "", 503),
        ("?user=", "", 401),
        ("?user=ann", "https://evil.example", 403),
        ("?user=ann", "null", 403),
        ("?user=ann", &own, 101),
        // And now the one place is taken.
        ("?user=ann", "", 503),
    ] {
        let mut raw = Raw::connect(server.address).await;
        let line = format!("GET /ws{query} HTTP/1.1");
        let (got, response) = raw.shake(&handshake(server.address, &line, &[("Origin", origin)])).await;
        assert_eq!(got, status, "{query} {origin}: {response}");
        assert!(!response.contains("swordfish"));
        if got == 101 {
            assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
            inside.push(raw);
            continue;
        }
        let body: Value = serde_json::from_str(response.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert!(body["code"].is_string() && body["message"].is_string(), "{response}");
    }
    until("the one is connected", || log.len() == 1).await;
    assert_eq!((server.io.stats().connected, log.len()), (1, 1));
}
