//! Connections that never become one: half a handshake, too much of one, or something else.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::kit::*;
use crate::support::*;

/// Reads until the server closes, with whatever it says before.
async fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(within("the server closes", stream.read(&mut rest)).await, Ok(1..)) {}
}

#[tokio::test]
async fn half_a_handshake_then_silence_is_closed_within_its_timeout_and_a_second() {
    let limit = Duration::from_millis(700);
    let server = server_with(json!({"handshakeTimeout": "700ms"})).await;
    let whole = handshake(server.address, WS, &[]);
    let halves = ["", "G", "GET /ws", "GET /ws HTTP/1.1\r\n", "GET /ws HTTP/1.1\r\nHost", &whole[..whole.len() - 2]];
    let closed = halves.iter().map(async |half| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let start = Instant::now();
        stream.write_all(half.as_bytes()).await.unwrap();
        until_closed(&mut stream).await;
        let after = start.elapsed();
        assert!(after < limit + Duration::from_secs(1), "{half:?}: after {after:?}");
        assert!(after > limit / 2, "{half:?}: it had its time: {after:?}");
    });
    futures::future::join_all(closed).await;
    serves_others(&server).await;
}

#[tokio::test]
async fn a_handshake_byte_by_byte_is_closed_within_its_timeout_and_a_second() {
    let server = server_with(json!({"handshakeTimeout": "500ms"})).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let start = Instant::now();
    let (mut reading, mut writing) = stream.split();
    let dripping = async {
        writing.write_all(b"GET /ws HTTP/1.1\r\nX-Long: ").await.unwrap();
        // Whoever sends something all the time is not silent.
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        () = dripping => {}
        read = within("the server closes", reading.read_to_end(&mut rest)) => drop(read),
    }
    assert!(start.elapsed() < Duration::from_millis(1500), "after {:?}", start.elapsed());
    serves_others(&server).await;
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_are_all_closed_within_their_timeout_and_a_second() {
    let server = server_with(json!({"handshakeTimeout": "1s"})).await;
    let mut streams = Vec::new();
    for n in 0..1000 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET /ws HTTP/1.1\r\nHost: a.example\r\n").await.unwrap();
        }
        streams.push(stream);
    }
    let last = Instant::now();
    serves_others(&server).await;
    for mut stream in streams {
        until_closed(&mut stream).await;
    }
    assert!(last.elapsed() < Duration::from_secs(2), "after {:?}", last.elapsed());
    serves_others(&server).await;
}

/// It is the handshake that is limited, not what comes after it.
#[tokio::test]
async fn a_connection_outlives_the_handshake_timeout() {
    let server = server_with(json!({"handshakeTimeout": "200ms"})).await;
    let mut client = server.client().await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(client.request("echo", json!(1)).await, Ok(json!(1)));
}

/// A refused request ends its connection: nothing is left half open for another try.
#[tokio::test]
async fn after_a_refusal_the_connection_is_closed() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (bad, good) = ("GET /ws HTTP/1.1\r\nHost: a.example\r\n\r\n", handshake(server.address, WS, &[]));
    stream.write_all(format!("{bad}{good}").as_bytes()).await.unwrap();
    let mut response = String::new();
    let _ = within("the end", stream.read_to_string(&mut response)).await;
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
    assert!(!response.contains(" 101 "), "{response}");
    serves_others(&server).await;
}

/// Sends a request, as much of it as is taken, and returns the status, if there was a response.
async fn status(server: &Server, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = within("writing", stream.write_all(request)).await;
    let mut response = Vec::new();
    let read = timeout(DEADLINE, async {
        // Not to the end: a connection that was upgraded has none.
        while !response.windows(2).any(|pair| pair == b"\r\n")
            && matches!(stream.read_buf(&mut response).await, Ok(1..))
        {}
    });
    read.await.expect("an answer or the end");
    let head = String::from_utf8_lossy(&response);
    head.split(' ').nth(1).and_then(|status| status.parse().ok())
}

#[tokio::test]
async fn seventy_kilobytes_of_headers_are_refused() {
    let server = server().await;
    let filling = "x".repeat(70_000);
    let one = handshake(server.address, WS, &[("X-Long", &filling)]);
    let many: String = (0..3500).map(|n| format!("X-{n}: 0123456789\r\n")).collect();
    let many = handshake(server.address, WS, &[]).replacen("\r\n", &format!("\r\n{many}"), 1);
    let name = handshake(server.address, WS, &[(&filling, "x")]);
    let path = handshake(server.address, &format!("GET /{filling} HTTP/1.1"), &[]);
    let never_ending = [b"GET /ws HTTP/1.1\r\nX-Long: ".to_vec(), filling.clone().into_bytes()].concat();
    for (what, request) in [
        ("one long header", one.into_bytes()),
        ("many headers", many.into_bytes()),
        ("a long name", name.into_bytes()),
        ("a long path", path.into_bytes()),
        ("without an end", never_ending),
    ] {
        // What is refused while it is still being sent may be a reset to the one who sends.
        let status = status(&server, &request).await;
        assert!(matches!(status, None | Some(400 | 414 | 431)), "{what}: {status:?}");
        serves_others(&server).await;
    }
    assert_eq!(server.io.stats().connected, 5, "only those who were served");
}

/// CVE-2024-37890: a server that crashed when there were more headers than it had place for.
#[tokio::test]
async fn many_small_headers_are_refused_or_read() {
    let server = server().await;
    for count in [50, 99, 100, 101, 200, 1000] {
        let headers: String = (0..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        let request = handshake(server.address, WS, &[]).replacen("\r\n", &format!("\r\n{headers}"), 1);
        let status = status(&server, request.as_bytes()).await;
        assert!(matches!(status, None | Some(101 | 431)), "{count}: {status:?}");
        assert!(count > 50 || status == Some(101), "{count}: a request of usual size is read: {status:?}");
        serves_others(&server).await;
    }
}

/// CVE-2023-43669: header parsing whose time grew with the square of its length.
#[tokio::test]
async fn long_lists_in_headers_are_read_in_time() {
    let server = server().await;
    let start = Instant::now();
    for list in ["a,".repeat(14_000), ",".repeat(28_000), " ,\t".repeat(9_000)] {
        for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Connection", "Origin", "Cookie"] {
            let value = if name == "Connection" { format!("{list}Upgrade") } else { list.clone() };
            let status = status(&server, handshake(server.address, WS, &[(name, &value)]).as_bytes()).await;
            assert!(matches!(status, Some(101 | 400 | 403)), "{name}: {status:?}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    serves_others(&server).await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = server().await;
    for bytes in [
        // TLS's first words, HTTP/2's, a frame without a handshake, and noise.
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &text_frame(r#"{"event":"echo"}"#),
        b"GET /ws HTTP/9.9\r\n\r\n",
        b"GET\x00/ws HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key\r\n\r\n",
        b"GET /ws HTTP/1.1\nHost: a\n\n",
        b"GET /ws HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        let _ = within("the server closes", stream.read_to_end(&mut response)).await;
        let response = String::from_utf8_lossy(&response);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{bytes:?}: {response}");
        serves_others(&server).await;
    }
    assert_eq!(server.io.stats().connected, 10, "only those who were served");
}
