//! The ways in without a framework: a listener of its own, one that is given, and any stream.

use std::net::SocketAddr;

use eventwire::{AcceptError, Io, Socket};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::kit::*;
use crate::support::*;

/// The request that upgrades, and an event right behind it: a client need not wait for the response.
pub fn eager(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut bytes = handshake(address, &format!("GET {path} HTTP/1.1"), &[]).into_bytes();
    bytes.extend(text_frame(r#"{"event":"echo","id":1,"data":"early"}"#));
    bytes
}

/// Sends it in one packet, and asserts that the event is answered after `connected`.
pub async fn an_early_event_is_handled(address: SocketAddr, path: &str) {
    let mut raw = Raw::connect(address).await;
    raw.write(&eager(address, path)).await;
    let (status, _) = raw.shake("").await;
    assert_eq!(status, 101);
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": 1, "data": "early"}));
    raw.is_alive().await;
}

/// An address that is free now.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn listen_serves_on_its_own_until_shutdown() {
    let io = Io::new();
    furnish(&io);
    let address = free_address().await;
    let listening = tokio::spawn({
        let io = io.clone();
        async move { io.listen(address).await }
    });
    let mut raw = loop {
        // It listens in a moment.
        if let Ok(stream) = TcpStream::connect(address).await {
            drop(stream);
            break Raw::connect(address).await;
        }
        tokio::task::yield_now().await;
    };
    // At every path.
    let (status, _) = raw.shake(&handshake(address, "GET /any/path HTTP/1.1", &[])).await;
    assert_eq!(status, 101);
    an_early_event_is_handled(address, "/").await;
    assert_eq!(io.shutdown(std::time::Duration::from_secs(5)).await, 0);
    within("listening ends", listening).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = within("listening fails", Io::new().listen(address)).await.unwrap_err();
    assert_eq!(error.code(), "listen");
    assert!(error.message().contains(&address.to_string()), "{error}");
    assert!(within("listening fails", Io::new().listen("no.such.host.invalid:1")).await.is_err());
}

#[tokio::test]
async fn serve_takes_a_listener_and_knows_the_peer() {
    let server = server().await;
    server.io.on::<Value>("peer", async |socket: Socket, _| socket.handshake().peer().map(|peer| peer.to_string()));
    let mut client = server.client().await;
    let own = client.ws.get_ref().local_addr().unwrap();
    assert_eq!(client.request("peer", json!(null)).await, Ok(json!(own.to_string())));
}

/// What was read beyond the request belongs to the connection.
#[tokio::test]
async fn an_event_in_the_same_packet_as_the_handshake_is_handled() {
    let server = server().await;
    for _ in 0..20 {
        an_early_event_is_handled(server.address, "/ws").await;
    }
}

/// More than one read's worth, cut in the middle of a frame.
#[tokio::test]
async fn many_events_in_the_same_packet_as_the_handshake_are_handled_in_order() {
    let server = server().await;
    let mut raw = Raw::connect(server.address).await;
    let mut bytes = handshake(server.address, WS, &[]).into_bytes();
    for id in 0..2000 {
        bytes.extend(text_frame(&format!(r#"{{"event":"echo","id":{id},"data":"{id}"}}"#)));
    }
    raw.write(&bytes).await;
    let (status, _) = raw.shake("").await;
    assert_eq!(status, 101);
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    for id in 0..2000 {
        assert_eq!(raw.frame().await.unwrap().json(), json!({"event": "ack", "id": id, "data": id.to_string()}));
    }
}

/// Two `Io`s know nothing of each other.
#[tokio::test]
async fn two_ios_are_two_namespaces() {
    let (one, other) = (server().await, server().await);
    let mut here = one.client_in("public:a").await;
    let mut there = other.client_in("public:a").await;
    assert_eq!(one.io.emit("n", 1).await, Ok(1));
    assert_eq!(one.io.to("public:a").emit("n", 2).await, Ok(1));
    assert_eq!((here.expect("n").await, here.expect("n").await), (json!(1), json!(2)));
    there.expect_nothing().await;
    assert!(one.io.socket(there.id.parse().unwrap()).is_none());
}

// ---- any stream

#[tokio::test]
async fn accept_takes_any_stream() {
    let io = Io::new();
    furnish(&io);
    // So narrow that every frame passes in pieces.
    let (near, far) = duplex(64);
    let accepting = tokio::spawn({
        let io = io.clone();
        async move { io.accept(far).await }
    });
    let (mut ws, response) =
        within("the handshake", tokio_tungstenite::client_async("ws://a.example/ws?x=1", near)).await.unwrap();
    assert_eq!(response.status(), 101);
    let socket = within("accepted", accepting).await.unwrap().unwrap();
    assert_eq!((socket.handshake().path(), socket.handshake().query()), ("/ws", Some("x=1")));
    assert_eq!(socket.handshake().peer(), None, "a stream has no address");
    let connected: Value = serde_json::from_str(ws.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(connected["data"]["id"], socket.id().to_string());
    let data = "é".repeat(10_000);
    let request = json!({"event": "echo", "id": 1, "data": data}).to_string();
    within("sending", ws.send(Message::text(request))).await.unwrap();
    let answer = within("an answer", ws.next()).await.unwrap().unwrap();
    let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
    assert_eq!(answer, json!({"event": "ack", "id": 1, "data": data}));
    socket.emit("n", 1).await.unwrap();
    assert!(within("a frame", ws.next()).await.unwrap().unwrap().to_text().unwrap().contains(r#""event":"n""#));
    drop(ws);
    until("it is gone", || io.stats().sockets == 0).await;
}

#[tokio::test]
async fn an_early_event_on_any_stream_is_handled() {
    let io = Io::new();
    furnish(&io);
    let (mut near, far) = duplex(1 << 16);
    near.write_all(&eager("127.0.0.1:1".parse().unwrap(), "/")).await.unwrap();
    let socket = within("accepted", io.accept(far)).await.unwrap();
    let mut said = Vec::new();
    let answer = br#"{"event":"ack","id":1,"data":"early"}"#;
    while !said.windows(answer.len()).any(|part| part == answer) {
        assert!(within("an answer", near.read_buf(&mut said)).await.unwrap() > 0);
    }
    assert!(socket.is_connected());
    drop(near);
    until("it is gone", || !socket.is_connected()).await;
}

#[tokio::test]
async fn accept_tells_what_did_not_become_a_socket() {
    let config = serde_json::from_value(json!({"handshakeTimeout": "200ms"})).unwrap();
    let io = Io::builder().config(config).build().unwrap();
    let (mut near, far) = duplex(4096);
    near.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let refused = within("refused", io.accept(far)).await;
    assert!(matches!(refused, Err(AcceptError::Refused)), "{refused:?}");
    let mut response = String::new();
    near.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 426 "), "the peer was told: {response}");

    let (near, far) = duplex(4096);
    drop(near);
    assert!(matches!(within("gone", io.accept(far)).await, Err(AcceptError::Io(_) | AcceptError::Refused)));

    let (_near, far) = duplex(4096);
    assert!(matches!(within("timed out", io.accept(far)).await, Err(AcceptError::Io(_))));
    assert_eq!(io.stats().connected, 0);
}
