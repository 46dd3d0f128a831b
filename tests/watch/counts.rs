//! The counters agree with what clients counted.

use std::collections::BTreeMap;
use std::time::Duration;

use eventwire::{Ack, Error, Refusal, Socket};
use serde_json::json;

use crate::kit::*;
use crate::support::*;

fn map<const N: usize>(entries: [(&'static str, u64); N]) -> BTreeMap<&'static str, u64> {
    entries.into()
}

/// Every kind of handler.
fn handlers(io: &eventwire::Io) {
    io.on::<u32>("double", |_: Socket, n| async move { n * 2 });
    io.on::<u32>("wait", |_: Socket, n| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        n
    });
    io.on::<u32>("later", |_: Socket, n| async move {
        Ack::later(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            n
        })
    });
    io.on::<u32>("fail", |_: Socket, n| async move {
        match n % 2 {
            0 => Err::<(), _>(Error::from("it failed")),
            _ => Err(Error::new("out_of_stock", "none left")),
        }
    });
    io.on::<u32>("panic", |_: Socket, _| async move {
        if true {
            panic!("meant to")
        }
    });
    io.on::<u32>("endless", |_: Socket, _| std::future::pending::<()>()).timeout(Duration::from_millis(30));
    io.on::<String>("room", |socket: Socket, text| async move {
        socket.io().to("room").emit("said", &text).await?;
        eventwire::ok(())
    });
}

async fn session(client: &mut Counting, round: u32) {
    let events = ["double", "wait", "later", "fail", "panic", "endless"];
    for (n, event) in events.iter().cycle().take(60).enumerate() {
        // Half of them want an answer.
        let id = if n % 2 == 0 { format!(r#","id":{n}"#) } else { String::new() };
        client.send(&format!(r#"{{"event":"{event}","data":{}{id}}}"#, n as u32 + round)).await;
    }
    client.send(r#"{"event":"double","data":"no number","id":100}"#).await;
    client.send(r#"{"event":"nobody","data":1}"#).await;
    client.send(r#"{"event":"nobody else","data":1,"id":101}"#).await;
    client.send(r#"{"event":"closing"}"#).await;
    client.send("no envelope").await;
    client.send(r#"{"event":"subscribe","data":"secret","id":102}"#).await;
    client.send(r#"{"event":"subscribe","data":"room","id":103}"#).await;
    while client.next().await["id"] != 103 {}
    client.send(&json!({"event": "room", "data": "x".repeat(300)}).to_string()).await;
}

#[tokio::test]
async fn what_clients_counted_is_what_is_told() {
    let recorder = Recorder::new();
    let server = server("counts", json!({"maxInvalidFrames": 100})).await;
    server.io.rooms("room").public();
    handlers(&server.io);
    let mut counted = Counted::default();
    let mut clients = Vec::new();
    for round in 0..4 {
        let mut client = Counting::new(&server).await;
        session(&mut client, round).await;
        clients.push(client);
    }
    // `later` may answer after the rest.
    until("all handlers are done", || {
        let told = recorder.read(&server.io);
        told.0.get("eventwire_handler_seconds_count{event=\"later\"}") == Some(&40.0)
    })
    .await;
    for client in &mut clients {
        client.settle().await;
    }
    let told = recorder.read(&server.io);
    let is_open = told.get("websocket_clients_active");
    // Half of them go: what they had counted stays.
    for (n, mut client) in clients.into_iter().enumerate() {
        if n % 2 == 0 {
            client.raw.write(&frame(0x88, &1000u16.to_be_bytes())).await;
            assert_eq!(client.raw.closed().await.0, 1000);
        }
        counted += client.counted;
    }
    until("they are gone", || server.io.stats().sockets == 0).await;
    let told_after = recorder.read(&server.io);
    for told in [&told, &told_after] {
        assert_eq!(told.get("eventwire_messages_received_total"), counted.sent);
        assert_eq!(told.get("eventwire_received_bytes_total"), counted.sent_bytes);
        assert_eq!(told.get("websocket_messages_sent_total"), counted.got);
        assert_eq!(told.get("websocket_clients_total"), 4);
        let errors = |code: &str| counted.errors.get(code).copied().unwrap_or(0);
        let mut codes: BTreeMap<&str, u64> = counted.errors.iter().map(|(code, n)| (code.as_str(), *n)).collect();
        codes.remove("out_of_stock");
        codes.insert("other", errors("out_of_stock"));
        assert_eq!(told.family("eventwire_refused_events_total"), codes);
        assert_eq!(told.get("eventwire_handler_panics_total"), 40);
    }
    assert_eq!(told.get("eventwire_sent_bytes_total"), counted.got_bytes);
    assert_eq!((is_open, told_after.get("websocket_clients_active")), (4, 0));
    assert_eq!(told_after.family("eventwire_closes_total"), map([("client", 2), ("lost", 2)]));

    // By event: 10 of each by each of 4 clients.
    let events = told.family("eventwire_events_total");
    let each = ["double", "wait", "later", "fail", "panic", "endless"];
    let mut expected: BTreeMap<&str, u64> = each.into_iter().map(|event| (event, 40)).collect();
    expected.extend([("double", 44), ("other", 8), ("subscribe", 8), ("room", 4)]);
    assert_eq!(events, expected);
    let failed = map([("fail", 40), ("panic", 40), ("endless", 40), ("double", 4), ("other", 8), ("subscribe", 4)]);
    assert_eq!(told.family("eventwire_event_errors_total"), failed);
    // The times: of those that had to wait all, of the others nearly.
    for (event, least) in [("wait", 0.020), ("later", 0.020), ("endless", 0.030)] {
        assert_eq!(told.get(&format!("eventwire_handler_seconds_count{{event=\"{event}\"}}")), 40, "{event}");
        let sum = told.0[&format!("eventwire_handler_seconds_sum{{event=\"{event}\"}}")];
        assert!(sum > 40.0 * least * 0.94, "{event}: {sum}");
    }
    let measured = told.get("eventwire_handler_seconds_count{event=\"double\"}");
    assert!((32..=44).contains(&measured), "{measured}");
}

#[tokio::test]
async fn many_that_are_ready_at_once_are_told_by_a_few_that_stand_for_them() {
    let recorder = Recorder::new();
    let server = server("sampled", json!({})).await;
    handlers(&server.io);
    let mut client = Counting::new(&server).await;
    for n in 0..1000 {
        client.send(&format!(r#"{{"event":"double","data":{n}}}"#)).await;
    }
    client.settle().await;
    let measured = |told: &Told| told.get("eventwire_handler_seconds_count{event=\"double\"}");
    let told = recorder.read(&server.io);
    assert!((969..=1000).contains(&measured(&told)), "{}", measured(&told));
    // What was told is told once.
    assert_eq!(measured(&recorder.read(&server.io)), measured(&told));
}

#[tokio::test]
async fn names_that_nobody_registered_are_one_label() {
    let recorder = Recorder::new();
    let server = server("labels", json!({})).await;
    let series = recorder.read(&server.io).0.len();
    server.io.on_any(|_: Socket, _| async {});
    let mut client = Counting::new(&server).await;
    for n in 0..3000 {
        client.send(&format!(r#"{{"event":"made up {n}","id":"{n}"}}"#)).await;
        client.next().await;
    }
    let told = recorder.read(&server.io);
    assert_eq!(told.family("eventwire_events_total"), map([("other", 3000)]));
    // The histogram of that one label came, and no other series.
    let more: Vec<&String> = told.0.keys().filter(|name| !name.starts_with("eventwire_handler_seconds")).collect();
    assert_eq!(more.len(), series, "{more:?}");
}

#[tokio::test]
async fn refusals_at_the_door_by_reason() {
    let recorder = Recorder::new();
    let server = server("door", json!({"maxConnections": 1, "handshakeTimeout": "300ms"})).await;
    server.io.authenticate(|handshake: eventwire::Handshake| async move {
        match handshake.query_param("as").as_deref() {
            Some("nobody") => Err(Refusal::unauthorized("who?")),
            Some("other") => Err(Refusal::forbidden("not you")),
            Some("late") => Err(Refusal::unavailable("later")),
            Some("panic") => panic!("meant to"),
            Some("slow") => std::future::pending().await,
            name => Ok(name.map(str::to_owned)),
        }
    });
    let get = "GET /ws HTTP/1.1";
    let long = "x".repeat(40_000);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);
    let cases: &[Case<'_>] = &[
        ("POST /ws HTTP/1.1", &[], 405),
        (get, &[("Upgrade", "")], 426),
        (get, &[("Sec-WebSocket-Version", "12")], 426),
        (get, &[("Sec-WebSocket-Key", "short")], 400),
        (get, &[("Origin", "http://elsewhere.example")], 403),
        (get, &[("X-Large", &long)], 431),
        ("GET /ws?as=nobody HTTP/1.1", &[], 401),
        ("GET /ws?as=other HTTP/1.1", &[], 403),
        ("GET /ws?as=late HTTP/1.1", &[], 503),
        ("GET /ws?as=panic HTTP/1.1", &[], 503),
        ("GET /ws?as=slow HTTP/1.1", &[], 503),
    ];
    for (line, headers, status) in cases {
        let (told, text) = Raw::connect(server.address).await.shake(&handshake(server.address, line, headers)).await;
        assert_eq!(told, *status, "{line}: {text}");
    }
    // Half a handshake.
    let mut half = Raw::connect(server.address).await;
    half.write(b"GET /ws HTTP/1.1\r\n").await;
    let _here = server.raw().await;
    assert_eq!(Raw::connect(server.address).await.shake(&handshake(server.address, get, &[])).await.0, 503);
    until("the handshake is over", || {
        recorder.read(&server.io).family("eventwire_refusals_total").get("handshake") == Some(&1)
    })
    .await;
    let told = recorder.read(&server.io);
    assert_eq!(
        told.family("eventwire_refusals_total"),
        map([
            ("method_not_allowed", 1),
            ("upgrade_required", 2),
            ("bad_request", 1),
            ("origin", 1),
            ("unauthorized", 1),
            ("forbidden", 1),
            ("unavailable", 1),
            ("authentication", 2),
            ("connections", 1),
            ("too_large", 1),
            ("handshake", 1),
        ])
    );
    let errors = server.io.health().errors;
    assert_eq!((errors.client, errors.network, errors.server, errors.total), (8, 1, 4, 13));
}

#[tokio::test]
async fn closes_by_reason() {
    let recorder = Recorder::new();
    let io = builder(
        "closes",
        json!({"maxMessage": 1000, "maxInvalidFrames": 1, "silenceTimeout": "600ms", "pingInterval": "200ms"}),
    );
    let server = Server::of(io.build().unwrap()).await;
    server.io.on_connect(|socket: Socket| async move {
        match socket.handshake().path() {
            "/no" => Err(Error::new("forbidden", "not you")),
            "/panic" => panic!("meant to"),
            _ => Ok(()),
        }
    });
    let bad: &[(&[u8], u16)] = &[
        (&frame(0x82, b"binary"), 1003),
        (&frame(0x81, &[b'x'; 1001]), 1009),
        (&frame(0x81, &[0xff]), 1007),
        (&frame(0xf1, b"reserved bits"), 1002),
        (&[frame(0x81, b"{"), frame(0x81, b"{")].concat(), 1008),
    ];
    for (bytes, code) in bad {
        let mut raw = server.raw().await;
        raw.write(bytes).await;
        assert_eq!(raw.closed().await.0, *code);
    }
    for (path, code) in [("/no", 1008), ("/panic", 1011)] {
        let mut raw = Raw::connect(server.address).await;
        assert_eq!(raw.shake(&handshake(server.address, &format!("GET {path} HTTP/1.1"), &[])).await.0, 101);
        assert_eq!(raw.closed().await.0, code);
    }
    server.client().await.close().await;
    drop(server.client().await);
    let mut told = server.client().await;
    server.socket(&told).disconnect();
    assert_eq!(told.closed().await.0, 1000);
    let mut silent = server.raw().await;
    assert_eq!(silent.closed().await.0, 1008);
    let mut last = server.client().await;
    server.io.shutdown(Duration::from_secs(2)).await;
    assert_eq!(last.closed().await.0, 1001);
    let expected = [
        ("binary", 1),
        ("too_large", 1),
        ("not_utf8", 1),
        ("protocol", 1),
        ("invalid_frames", 1),
        ("refused", 1),
        ("failed", 1),
        ("client", 1),
        ("lost", 1),
        ("server", 1),
        ("silent", 1),
        ("shutdown", 1),
    ];
    let told = recorder.read(&server.io);
    assert_eq!(told.family("eventwire_closes_total"), map(expected));
    assert_eq!(told.get("websocket_clients_total"), expected.len() as u64);
    // One frame that is no envelope was answered, the second one closed.
    assert_eq!(told.family("eventwire_errors_total"), map([("client", 7), ("network", 2), ("server", 1)]));
    assert_eq!(told.get("websocket_errors_total"), 10);
}
