//! Peers that do not read, or hardly: they cost a bounded amount, and hold up nobody.

use std::time::Duration;

use eventwire::{DisconnectReason, Socket};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use crate::kit::*;
use crate::support::*;

/// A connection whose kernel holds little, so that slowness is felt soon.
async fn raw_with_a_small_window(server: &Server) -> Raw {
    let mut raw = Raw::connect(server.address).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    raw.stream = socket.connect(server.address).await.unwrap();
    let (status, _) = raw.shake(&handshake(server.address, WS, &[])).await;
    assert_eq!(status, 101);
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    raw
}

/// Sends 10,000 requests for `event`, whose answers have 8 KiB, and reads none before all stands still.
async fn ten_thousand_requests(server: &Server, event: &str, handled: &Count) {
    let requests = 10_000;
    let mut raw = server.raw().await;
    let mut bytes = Vec::new();
    for id in 0..requests {
        bytes.extend(text_frame(&format!(r#"{{"event":"{event}","id":{id}}}"#)));
    }
    // The server's kernel and the client's take the requests, half a megabyte, though nobody reads them.
    raw.write(&bytes).await;
    // 80 MB of answers wait to be made: what was handled stops at what the kernel holds, and the outbox.
    let stood_at = settled(|| handled.get() as u64).await;
    assert!(stood_at < requests / 2, "{stood_at} were handled while nobody read");
    // Beside them wait what the inbox holds and what was read at once; no more is taken from the kernel.
    let read = server.io.stats().messages_in;
    assert!(read <= stood_at + 256 + 1, "{read} were read, {stood_at} handled");
    serves_others(server).await;
    for id in 0..requests {
        let answer = raw.frame().await.unwrap().payload;
        let expected = format!(r#"{{"event":"ack","id":{id},"data":""#);
        assert!(answer.starts_with(expected.as_bytes()), "number {id}: {}", String::from_utf8_lossy(&answer[..60]));
    }
    raw.is_alive().await;
}

#[tokio::test]
async fn ten_thousand_requests_whose_answers_are_not_read_pause_reading() {
    let server = server().await;
    let handled = Count::default();
    let counted = handled.clone();
    server.io.on::<()>("big", move |_, ()| {
        counted.add();
        async { "x".repeat(8192) }
    });
    ten_thousand_requests(&server, "big", &handled).await;
}

#[tokio::test]
async fn so_do_those_whose_handler_waits() {
    let server = server().await;
    let handled = Count::default();
    let counted = handled.clone();
    server.io.on::<()>("big", move |_, ()| {
        counted.add();
        async {
            tokio::task::yield_now().await;
            "x".repeat(8192)
        }
    });
    ten_thousand_requests(&server, "big", &handled).await;
}

#[tokio::test]
async fn refusals_that_are_not_read_pause_reading() {
    let server = server().await;
    let mut raw = server.raw().await;
    // Each is refused with its name, by the lane; and each reserved one by the read loop.
    let unknown = text_frame(&format!(r#"{{"event":"{}"}}"#, "x".repeat(128)));
    let reserved = text_frame(r#"{"event":"gap"}"#);
    let pairs = 150_000;
    let (mut reading, mut writing) = {
        let other = tokio::net::TcpStream::connect(server.address).await.unwrap();
        std::mem::replace(&mut raw.stream, other).into_split()
    };
    let write = tokio::spawn(async move {
        let chunk = [unknown, reserved].concat().repeat(100);
        for _ in 0..pairs / 100 {
            tokio::io::AsyncWriteExt::write_all(&mut writing, &chunk).await.unwrap();
        }
        writing
    });
    let stood_at = settled(|| server.io.stats().messages_in).await;
    assert!(stood_at < pairs, "{stood_at} of {} were read while nobody read the answers", 2 * pairs);
    serves_others(&server).await;
    // Once it reads, it goes on.
    let read_on = async {
        let mut buffer = vec![0; 1 << 16];
        while server.io.stats().messages_in < stood_at + 10_000 {
            assert!(reading.read(&mut buffer).await.unwrap() > 0);
        }
    };
    within("reading goes on", read_on).await;
    write.abort();
}

/// Emits numbered messages to a room, no faster than `reader` reads; returns what was dropped meanwhile.
async fn keep_busy(server: &Server, reader: &mut Client, messages: u64) {
    let filling = "x".repeat(8192);
    for n in 0..messages {
        server.io.to("public:busy").emit("n", (n, &filling)).await.unwrap();
        // Read in steps: what waits for the reader is far below its outbox.
        if n % 32 == 31 {
            for expected in n - 31..=n {
                assert_eq!(reader.expect("n").await[0], expected, "nobody who reads loses anything");
            }
        }
    }
}

#[tokio::test]
async fn one_that_never_reads_while_rooms_are_busy_goes_and_others_lose_nothing() {
    let server = server().await;
    let mut reasons = reasons(&server.io);
    let mut reader = server.client_in("public:busy").await;
    let mut never = Vec::new();
    for _ in 0..3 {
        let mut raw = server.raw().await;
        raw.write(&text_frame(r#"{"event":"subscribe","id":1,"data":"public:busy"}"#)).await;
        assert_eq!(raw.frame().await.unwrap().json()["event"], "ack");
        never.push(raw);
    }
    // 24 MB: more than the kernel and the outbox hold together.
    keep_busy(&server, &mut reader, 3200).await;
    for _ in 0..3 {
        assert_eq!(next(&mut reasons).await, DisconnectReason::Slow);
    }
    assert_eq!(server.io.room_len("public:busy"), 1);
    // What it had been sent before is whole and in order, then nothing or the end in words.
    let (code, before) = never[0].closed().await;
    assert!([1008, 1006].contains(&code), "{code}");
    let texts = before.iter().filter(|frame| frame.opcode == 1).map(RawFrame::json);
    for (n, frame) in texts.enumerate() {
        match frame["event"].as_str() {
            Some("closing") => {
                assert_eq!((&frame["data"]["code"], &frame["data"]["reconnect"]), (&json!("slow"), &json!(true)))
            }
            _ => assert_eq!(frame["data"][0], n),
        }
    }
    serves_others(&server).await;
}

#[tokio::test]
async fn one_that_never_reads_may_stay_where_the_policy_drops() {
    for overflow in ["dropOldest", "dropNewest"] {
        let server =
            server_with(json!({"outbox": {"messages": 64, "overflow": overflow}, "writeTimeout": "60s"})).await;
        let mut reader = server.client_in("public:busy").await;
        let mut never = raw_with_a_small_window(&server).await;
        never.write(&text_frame(r#"{"event":"subscribe","id":1,"data":"public:busy"}"#)).await;
        assert_eq!(never.frame().await.unwrap().json()["event"], "ack");
        let messages = 1600;
        keep_busy(&server, &mut reader, messages).await;
        let dropped = server.io.stats().dropped;
        assert!(dropped > 0 && server.io.stats().sockets == 2, "{overflow}: {dropped}");
        // Once it reads, it gets what was not dropped, in order; each that is missing was counted.
        let mut numbers = Vec::new();
        never.write(&text_frame(r#"{"event":"echo","id":2}"#)).await;
        loop {
            let frame = never.frame().await.expect("the connection goes on").json();
            match frame["event"].as_str() {
                Some("n") => numbers.push(frame["data"][0].as_u64().unwrap()),
                _ => break,
            }
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "{overflow}: in order, none twice");
        assert_eq!(numbers.len() as u64 + dropped, messages, "{overflow}");
        assert_eq!(numbers.contains(&(messages - 1)), overflow == "dropOldest", "{overflow}: the last one");
    }
}

/// A producer that emits to each socket for as long as that goes.
fn produce(server: &Server) {
    server.io.on_connect(|socket: Socket| async move {
        tokio::spawn(async move { while socket.emit("n", "x".repeat(8192)).await.is_ok() {} });
    });
}

#[tokio::test]
async fn one_that_reads_nothing_at_all_is_closed_after_the_write_timeout() {
    let server = server_with(json!({"writeTimeout": "500ms"})).await;
    let mut reasons = reasons(&server.io);
    produce(&server);
    let _never = raw_with_a_small_window(&server).await;
    assert_eq!(next(&mut reasons).await, DisconnectReason::Stalled);
    until("nobody is left", || server.io.stats().sockets == 0).await;
}

/// One byte a second is no progress; the clock here runs ten times as fast.
#[tokio::test]
async fn one_that_reads_one_byte_a_second_is_closed_all_the_same() {
    let server = server_with(json!({"writeTimeout": "1s"})).await;
    let mut reasons = reasons(&server.io);
    produce(&server);
    let mut raw = raw_with_a_small_window(&server).await;
    let start = Instant::now();
    let reading = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            if !matches!(raw.stream.read(&mut [0]).await, Ok(1)) {
                break;
            }
        }
    };
    tokio::select! {
        reason = next(&mut reasons) => assert_eq!(reason, DisconnectReason::Stalled),
        () = reading => panic!("what the kernel holds would last for hours"),
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "not before the write timeout");
    assert!(start.elapsed() < Duration::from_secs(6), "and soon after: {:?}", start.elapsed());
}

/// The kernel may hold megabytes for such a peer, and tells that a socket is writable only once much of it is
/// free: that is not the peer's fault.
#[tokio::test]
async fn one_that_reads_slowly_but_steadily_stays() {
    let server = server_with(json!({"writeTimeout": "1s"})).await;
    let mut reasons = reasons(&server.io);
    produce(&server);
    let mut raw = raw_with_a_small_window(&server).await;
    let start = Instant::now();
    let mut buffer = vec![0; 32 * 1024];
    while start.elapsed() < Duration::from_secs(4) {
        sleep(Duration::from_millis(50)).await;
        let read = raw.stream.read_exact(&mut buffer).await;
        assert!(
            read.is_ok(),
            "closed after {:?}, though it reads all the time: {:?}",
            start.elapsed(),
            reasons.try_recv()
        );
    }
    assert!(reasons.try_recv().is_err());
}

/// Whoever waits for the peer's place is told when there will be none.
#[tokio::test]
async fn emits_that_wait_for_a_stalled_peer_end() {
    let server = server_with(json!({"writeTimeout": "300ms"})).await;
    let never = raw_with_a_small_window(&server).await;
    let socket = server.io.sockets().remove(0);
    let emitting = async {
        while socket.emit("n", "x".repeat(8192)).await.is_ok() {}
        socket.emit("n", 1).await
    };
    assert!(within("the emit fails", emitting).await.is_err());
    let request = within("the request fails", async { socket.request::<Value>("x", 1).await }).await;
    assert_eq!(request, Err(eventwire::RequestError::Disconnected));
    drop(never);
}
