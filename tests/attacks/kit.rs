//! What only these tests need.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eventwire::{DisconnectReason, Io, Socket};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::support::*;

/// Handlers that most attacks need, and a room that anyone may subscribe to.
pub fn furnish(io: &Io) {
    io.on::<Value>("echo", async |_, data| data);
    io.rooms("public:*").public();
}

/// A furnished server with the defaults.
pub async fn server() -> Server {
    server_with(json!({})).await
}

/// A furnished server with a configuration as in a file.
pub async fn server_with(config: Value) -> Server {
    let server = Server::with(config).await;
    furnish(&server.io);
    server
}

/// Asserts that somebody else can come in and is answered: what every attack ends with.
pub async fn serves_others(server: &Server) {
    let mut other = server.client().await;
    assert_eq!(other.request("echo", json!("still here")).await, Ok(json!("still here")));
}

/// Why sockets go, in order.
pub fn reasons(io: &Io) -> UnboundedReceiver<DisconnectReason> {
    let (sender, reasons) = mpsc::unbounded_channel();
    io.on_disconnect(move |_: Socket, reason| {
        let _ = sender.send(reason);
        async {}
    });
    reasons
}

/// The reason why the next socket goes.
pub async fn next(reasons: &mut UnboundedReceiver<DisconnectReason>) -> DisconnectReason {
    within("a disconnect", reasons.recv()).await.unwrap()
}

/// A counter that handlers share with their test.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// What `closing` told, among the frames before a close frame.
pub fn closing(before: &[RawFrame]) -> Value {
    let texts = before.iter().filter(|frame| frame.opcode == 1).map(RawFrame::json);
    let mut told: Vec<Value> = texts.filter(|frame| frame["event"] == "closing").collect();
    assert_eq!(told.len(), 1, "`closing` is told one time: {told:?}");
    told.remove(0)["data"].clone()
}

/// Asserts that the server closes with this code, and tells `closing` with this word before.
pub async fn is_closed(raw: &mut Raw, code: u16, word: &str) -> Value {
    let (closed, before) = raw.closed().await;
    assert_eq!(closed, code, "{word}: {before:?}");
    let told = closing(&before);
    assert_eq!(told["code"], word);
    told
}

/// Reads to the end of the stream. `Err`: it was reset.
pub async fn end(raw: &mut Raw) -> std::io::Result<()> {
    let mut rest = [0; 4096];
    while within("the end of the stream", raw.stream.read(&mut rest)).await? > 0 {}
    Ok(())
}

/// A request that was not upgraded.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Refused {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Knocks with these headers in place of or beside the usual ones, and is refused, with a JSON body
/// `{code, message}`.
pub async fn refused(address: SocketAddr, line: &str, headers: &[(&str, &str)]) -> Refused {
    let mut raw = Raw::connect(address).await;
    let (status, response) = raw.shake(&handshake(address, line, headers)).await;
    assert_ne!(status, 101, "{line} {headers:?} was let in");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"));
    let refused = Refused { status, head: head.to_owned(), body };
    assert_eq!(refused.header("content-type"), Some("application/json"), "{refused:?}");
    let keys: Vec<&String> = refused.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message"], "{refused:?}");
    assert!(refused.body["code"].is_string() && refused.body["message"].is_string(), "{refused:?}");
    refused
}

/// Knocks and is let in. Returns the head of the response, and the connection, which has been told `connected`.
pub async fn let_in(address: SocketAddr, line: &str, headers: &[(&str, &str)]) -> (String, Raw) {
    let mut raw = Raw::connect(address).await;
    let (status, head) = raw.shake(&handshake(address, line, headers)).await;
    assert_eq!(status, 101, "{line} {headers:?}: {head}");
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    (head, raw)
}

pub const WS: &str = "GET /ws HTTP/1.1";
