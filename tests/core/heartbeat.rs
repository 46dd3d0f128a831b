//! The clocks of a connection: pings, silence, and writes that stall.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

fn note_reasons(server: &Server) -> Log {
    let log = Log::default();
    let reasons = log.clone();
    server.io.on_disconnect(move |_, reason| std::future::ready(reasons.add(format!("{reason:?}"))));
    log
}

#[tokio::test]
async fn pings_arrive_and_whoever_answers_them_stays() {
    let server = Server::with(json!({"pingInterval": "30ms", "silenceTimeout": "400ms"})).await;
    let mut raw = server.raw().await;
    let start = Instant::now();
    for n in 1..=45u32 {
        assert_eq!(raw.frame().await.unwrap(), RawFrame { opcode: 9, payload: vec![] }, "a ping");
        raw.write(&frame(0x8a, b"")).await;
        assert!(start.elapsed() >= n * Duration::from_millis(29), "{n} pings in {:?}", start.elapsed());
    }
    assert!(start.elapsed() > Duration::from_millis(1200), "three times the silence");
    raw.is_alive().await;
}

#[tokio::test]
async fn silence_closes_1008() {
    let server = Server::with(json!({"pingInterval": "50ms", "silenceTimeout": "200ms"})).await;
    let reasons = note_reasons(&server);
    let mut raw = server.raw().await;
    let start = Instant::now();
    let (code, before) = raw.closed().await;
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(190)..Duration::from_secs(3)).contains(&elapsed), "{elapsed:?}");
    let (closing, pings) = before.split_last().unwrap();
    let data = json!({"code": "silence", "reason": "nothing was heard from it", "reconnect": true, "after": 0});
    assert_eq!((code, closing.json()), (1008, json!({"event": "closing", "data": data})));
    assert!(pings.len() >= 2 && pings.iter().all(|frame| frame.opcode == 9), "{pings:?}");
    drop(raw);
    until("it is gone", || reasons.all() == ["Silent"]).await;
}

#[tokio::test]
async fn any_frame_counts_as_life() {
    let server = Server::with(json!({"pingInterval": "100ms", "silenceTimeout": "600ms"})).await;
    server.io.on::<()>("e", async |_, ()| ());
    let said = [
        ("an event", text_frame(r#"{"event":"e"}"#)),
        ("an ack for nothing", text_frame(r#"{"event":"ack","id":1}"#)),
        ("what nobody handles", text_frame(r#"{"event":"nobody"}"#)),
        ("a ping", frame(0x89, b"x")),
        ("a pong that nobody asked for", frame(0x8a, b"x")),
    ];
    let talk = said.into_iter().map(async |(what, bytes)| {
        let mut raw = server.raw().await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1800) {
            raw.write(&bytes).await;
            sleep(Duration::from_millis(50)).await;
        }
        within(what, raw.is_alive()).await;
    });
    futures::future::join_all(talk).await;
}

#[tokio::test]
async fn a_fragment_is_a_frame_and_counts_as_life() {
    let server = Server::with(json!({"pingInterval": "100ms", "silenceTimeout": "600ms"})).await;
    server.io.on::<String>("e", async |_, text| text);
    let mut raw = server.raw().await;
    // An upload over a slow line: one message, a fragment now and then, for three times the silence.
    raw.write(&frame(0x01, br#"{"event":"e","id":1,"data":""#)).await;
    for _ in 0..36 {
        sleep(Duration::from_millis(50)).await;
        raw.write(&frame(0x00, b"x")).await;
    }
    raw.write(&frame(0x80, br#""}"#)).await;
    let answer = loop {
        let frame = raw.frame().await.expect("an answer");
        if frame.opcode == 1 {
            break frame.json();
        }
    };
    assert_eq!(answer, json!({"event": "ack", "id": 1, "data": "x".repeat(36)}));
}

#[tokio::test]
async fn default_ping_every_25_s_and_silence_until_45_s() {
    let server = Server::new().await;
    let (mut raw, mut answering) = (server.raw().await, server.client().await);
    skip(Duration::from_secs(24)).await;
    // A client answers the pings that it reads; this one is heard now, the other one never again.
    raw.is_alive().await;
    answering.expect_nothing().await;
    skip(Duration::from_secs(1)).await;
    assert_eq!(raw.frame().await.unwrap().opcode, 9, "after 25 s");
    skip(Duration::from_secs(25)).await;
    answering.expect_nothing().await;
    assert_eq!(raw.frame().await.unwrap().opcode, 9, "after 50 s");
    skip(Duration::from_secs(18)).await;
    answering.expect_nothing().await;
    assert_eq!(server.io.stats().sockets, 2, "44 s are no silence");
    skip(Duration::from_secs(2)).await;
    let (code, before) = raw.closed().await;
    assert_eq!((code, &before.last().unwrap().json()["data"]["code"]), (1008, &json!("silence")));
    answering.expect_nothing().await;
}

/// A peer of a narrow server, with data waiting for it.
async fn stalled(server: &Server) -> (Raw, eventwire::Socket) {
    let mut raw = Raw::connect(server.address).await;
    raw.stream = narrow_stream(server.address).await;
    let (status, _) = raw.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await;
    assert_eq!(status, 101);
    until("it is there", || server.io.stats().sockets == 1).await;
    let socket = server.io.sockets().pop().unwrap();
    (raw, socket)
}

#[tokio::test]
async fn invariant_06_a_write_that_stalls_is_closed() {
    let server = Server::narrow(json!({"writeTimeout": "300ms", "outbox": {"messages": 64}})).await;
    let reasons = note_reasons(&server);
    let (raw, socket) = stalled(&server).await;
    let start = Instant::now();
    clog(&socket).await;
    let waiting = socket.emit("waits", 1);
    assert_eq!(within("its end", waiting).await, Err(eventwire::EmitError::Disconnected));
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    until("it is gone", || server.io.stats().sockets == 0).await;
    assert_eq!(reasons.all(), ["Stalled"]);
    // What it does not take, it cannot be told; the connection is closed all the same.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    drop(raw);
}

#[tokio::test]
async fn invariant_06_one_byte_now_and_then_is_no_progress() {
    let server = Server::narrow(json!({"writeTimeout": "300ms", "outbox": {"messages": 64}})).await;
    let reasons = note_reasons(&server);
    let (mut raw, socket) = stalled(&server).await;
    clog(&socket).await;
    let start = Instant::now();
    while server.io.stats().sockets > 0 {
        let mut byte = [0];
        // It may be closed by now.
        let _ = raw.stream.read(&mut byte).await;
        sleep(Duration::from_millis(50)).await;
        assert!(start.elapsed() < Duration::from_secs(10), "a byte keeps it alive");
    }
    until("it is gone", || reasons.all() == ["Stalled"]).await;
}

#[tokio::test]
async fn invariant_06_less_than_1_kib_in_the_time_is_no_progress() {
    // Through a pipe, each byte that is read is a byte that is written: TCP would open its window later.
    for (bytes, is_stalled) in [(1, true), (30, true), (300, false)] {
        let config = serde_json::from_value(json!({"writeTimeout": "500ms"})).unwrap();
        let io = eventwire::Io::builder().config(config).build().unwrap();
        let (ours, theirs) = tokio::io::duplex(512);
        let (client, socket) = tokio::join!(tokio_tungstenite::client_async("ws://pipe/", theirs), io.accept(ours));
        let (mut pipe, socket) = (client.unwrap().0.into_inner(), socket.unwrap());
        socket.emit("much", "x".repeat(1_000_000)).await.unwrap();
        let start = Instant::now();
        let mut buffer = vec![0; bytes];
        while start.elapsed() < Duration::from_secs(2) && io.stats().sockets > 0 {
            let _ = tokio::time::timeout(Duration::from_millis(50), pipe.read_exact(&mut buffer)).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(io.stats().sockets == 0, is_stalled, "{bytes} bytes each 20 ms");
    }
}

#[tokio::test]
async fn invariant_06_a_peer_that_reads_slowly_is_not_stalled() {
    let server = Server::narrow(json!({"writeTimeout": "600ms", "outbox": {"messages": 64}})).await;
    let (mut raw, socket) = stalled(&server).await;
    let producing = tokio::spawn(async move {
        let data = "x".repeat(4000);
        loop {
            if socket.emit("e", &data).await.is_err() {
                return;
            }
        }
    });
    // 8 KiB each 50 ms, for three times the timeout.
    let mut buffer = vec![0; 8192];
    for _ in 0..36 {
        raw.stream.read_exact(&mut buffer).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.io.stats().sockets, 1);
    producing.abort();
}

#[tokio::test]
async fn invariant_06_a_peer_to_whom_nothing_is_said_is_not_stalled() {
    let server = Server::with(json!({"writeTimeout": "50ms"})).await;
    let mut raw = server.raw().await;
    sleep(Duration::from_millis(300)).await;
    raw.is_alive().await;
}

#[tokio::test]
async fn default_write_stalled_10_s() {
    let server = Server::narrow(json!({})).await;
    let reasons = note_reasons(&server);
    let (_raw, socket) = stalled(&server).await;
    clog(&socket).await;
    skip(Duration::from_millis(9_000)).await;
    assert_eq!(server.io.stats().sockets, 1, "9 s are not too long");
    skip(Duration::from_millis(1_100)).await;
    // And one second more in which it could have read its close frame.
    skip(Duration::from_millis(1_100)).await;
    until("it is gone", || reasons.all() == ["Stalled"]).await;
}
