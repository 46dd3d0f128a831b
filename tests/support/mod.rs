//! What the tests are written with: a server on port 0, clients whose methods read like
//! sentences, and waiting for a condition with a deadline.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use eventwire::{Config, Io};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// No wait in a test is longer, unless it says so.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for something with the deadline of all tests.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("within {DEADLINE:?}: {what}"),
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a value stands still, for a quarter of a second, and returns it: how one waits for what has no end by which it
/// could be told, such as that a peer takes no more.
pub async fn settled<T: PartialEq>(value: impl FnMut() -> T) -> T {
    settled_for(Duration::from_millis(250), value).await
}

/// The same where it has to stand still for longer.
pub async fn settled_for<T: PartialEq>(time: Duration, mut value: impl FnMut() -> T) -> T {
    let deadline = Instant::now() + DEADLINE;
    let (mut last, mut since) = (value(), Instant::now());
    while since.elapsed() < time {
        assert!(Instant::now() < deadline, "within {DEADLINE:?}: it stands still");
        sleep(Duration::from_millis(5)).await;
        let now = value();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// An `Io` that listens on port 0.
pub struct Server {
    pub io: Io,
    pub address: SocketAddr,
}

impl Server {
    pub async fn new() -> Server {
        Server::of(Io::new()).await
    }

    /// With a configuration, written as in a file.
    pub async fn with(config: Value) -> Server {
        let config: Config = serde_json::from_value(config).unwrap();
        Server::of(Io::builder().config(config).build().unwrap()).await
    }

    pub async fn of(io: Io) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = io.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Server { io, address }
    }

    /// A client that has been told `connected`.
    pub async fn client(&self) -> Client {
        Client::connect(self.address, "/ws").await
    }

    pub async fn clients(&self, n: usize) -> Vec<Client> {
        let mut clients = Vec::with_capacity(n);
        for _ in 0..n {
            clients.push(self.client().await);
        }
        clients
    }

    /// A client that has subscribed to a room.
    pub async fn client_in(&self, room: &str) -> Client {
        let mut client = self.client().await;
        client.request("subscribe", json!(room)).await.unwrap();
        client
    }

    /// A connection that speaks bytes.
    pub async fn raw(&self) -> Raw {
        Raw::upgraded(self.address).await
    }
}

/// A peer over tokio-tungstenite. It answers pings only while it reads.
pub struct Client {
    pub ws: WebSocketStream<TcpStream>,
    pub id: String,
    pub connected: Value,
    next: u64,
    /// What came while something else was waited for.
    early: VecDeque<Value>,
}

impl Client {
    pub async fn connect(address: SocketAddr, path: &str) -> Client {
        Client::try_connect(address, path, &[]).await.unwrap()
    }

    pub async fn try_connect(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (ws, _) = within("the handshake", tokio_tungstenite::client_async(request, stream)).await?;
        let mut client = Client { ws, id: String::new(), connected: Value::Null, next: 1, early: VecDeque::new() };
        let first = client.next().await;
        assert_eq!(first["event"], "connected", "the first frame: {first}");
        client.connected = first["data"].clone();
        client.id = first["data"]["id"].as_str().unwrap().to_owned();
        Ok(client)
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        within("sending", self.ws.send(Message::text(text.into()))).await.unwrap();
    }

    pub async fn send(&mut self, event: &str, data: Value) {
        self.send_text(json!({"event": event, "data": data}).to_string()).await;
    }

    /// Sends a request without waiting for its answer. Returns its id.
    pub async fn ask(&mut self, event: &str, data: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send_text(json!({"event": event, "data": data, "id": id}).to_string()).await;
        id
    }

    /// The answer to a request: the ack's data, or the error's.
    pub async fn answer(&mut self, id: u64) -> Result<Value, Value> {
        let frame =
            self.wait_for(|frame| frame["id"] == id && (frame["event"] == "ack" || frame["event"] == "error")).await;
        if frame["event"] == "ack" { Ok(frame["data"].clone()) } else { Err(frame["data"].clone()) }
    }

    pub async fn request(&mut self, event: &str, data: Value) -> Result<Value, Value> {
        let id = self.ask(event, data).await;
        self.answer(id).await
    }

    /// The data of the next frame of an event; others wait.
    pub async fn expect(&mut self, event: &str) -> Value {
        self.wait_for(|frame| frame["event"] == event).await["data"].clone()
    }

    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        if let Some(index) = self.early.iter().position(&mut wanted) {
            return self.early.remove(index).unwrap();
        }
        loop {
            let frame = self.next_new().await;
            if wanted(&frame) {
                return frame;
            }
            self.early.push_back(frame);
        }
    }

    /// The next frame, whichever it is.
    pub async fn next(&mut self) -> Value {
        match self.early.pop_front() {
            Some(frame) => frame,
            None => self.next_new().await,
        }
    }

    async fn next_new(&mut self) -> Value {
        loop {
            match within("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text frame was expected, not {other:?}"),
            }
        }
    }

    /// Asserts that nothing else has come, by a ping after which everything else would have.
    pub async fn expect_nothing(&mut self) {
        let mark = json!({"mark": self.next});
        self.send("ping", mark.clone()).await;
        self.next += 1;
        let frame = self.next().await;
        assert_eq!((&frame["event"], &frame["data"]), (&json!("pong"), &mark), "nothing else was expected");
    }

    /// Reads to the close frame. Returns its code and what came before it.
    pub async fn closed(&mut self) -> (u16, Vec<Value>) {
        let mut before: Vec<Value> = self.early.drain(..).collect();
        loop {
            match within("the close frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => before.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return (frame.map_or(1005, |frame| frame.code.into()), before),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return (1006, before),
            }
        }
    }

    /// Closes as RFC 6455 says, and waits for the server to do the same.
    pub async fn close(mut self) {
        within("closing", self.ws.close(None)).await.unwrap();
        while let Some(Ok(_)) = within("the server's close", self.ws.next()).await {}
    }
}

/// A peer that speaks bytes.
pub struct Raw {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A frame as it came: opcode and payload.
#[derive(Debug, PartialEq)]
pub struct RawFrame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl RawFrame {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }

    /// Of a close frame.
    pub fn code(&self) -> u16 {
        assert_eq!(self.opcode, 8, "a close frame, not {self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

/// A frame as a client sends it: masked, by a mask of zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
    out
}

pub fn text_frame(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// The opening handshake as a browser writes it, with other headers in place of or beside its own.
pub fn handshake(address: SocketAddr, request_line: &str, headers: &[(&str, &str)]) -> String {
    let host = address.to_string();
    let mut all = vec![
        ("Host", host.as_str()),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.retain(|(name, _)| !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
    let headers: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{request_line}\r\n{headers}\r\n")
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, buffer: Vec::new() }
    }

    pub async fn upgraded(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address).await;
        let (status, _) = raw.shake(&handshake(address, "GET /ws HTTP/1.1", &[])).await;
        assert_eq!(status, 101);
        assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
        raw
    }

    /// Sends a request; returns the status and the whole head of the response (after a refusal, with its body).
    pub async fn shake(&mut self, request: &str) -> (u16, String) {
        self.write(request.as_bytes()).await;
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.fill().await, "the response ended: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 101 {
            return (status, head);
        }
        while self.fill().await {}
        (status, head + &String::from_utf8_lossy(&std::mem::take(&mut self.buffer)))
    }

    /// Writes, if the server still takes it.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        within("writing", self.stream.write_all(bytes)).await.is_ok()
    }

    async fn fill(&mut self) -> bool {
        matches!(within("bytes", self.stream.read_buf(&mut self.buffer)).await, Ok(1..))
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    fn take_frame(&mut self) -> Option<RawFrame> {
        let (&[first, second], rest) = self.buffer.split_first_chunk::<2>()?;
        assert_eq!((first & 0xf0, second & 0x80), (0x80, 0), "a server's frames are whole and not masked");
        let (length, extra) = match second {
            126 => (u16::from_be_bytes(*rest.first_chunk()?) as usize, 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 8),
            short => (short as usize, 0),
        };
        let payload = rest.get(extra..extra + length)?.to_vec();
        self.buffer.drain(..2 + extra + length);
        Some(RawFrame { opcode: first & 0x0f, payload })
    }

    /// The frames up to the close frame, and its code; 1006 where there is none.
    pub async fn closed(&mut self) -> (u16, Vec<RawFrame>) {
        let mut before = Vec::new();
        while let Some(frame) = self.frame().await {
            if frame.opcode == 8 {
                return (frame.code(), before);
            }
            before.push(frame);
        }
        (1006, before)
    }

    /// Asserts that the connection still works.
    pub async fn is_alive(&mut self) {
        self.write(&text_frame(r#"{"event":"ping","data":"alive"}"#)).await;
        loop {
            let frame = self.frame().await.expect("the connection goes on");
            if frame.opcode == 1 && frame.json()["event"] == "pong" {
                return;
            }
        }
    }
}

// ---- small kernel buffers: a peer that does not read is felt after some KiB, not after megabytes

impl Server {
    /// Whose kernel buffers for sending are small.
    pub async fn narrow(config: Value) -> Server {
        let config: Config = serde_json::from_value(config).unwrap();
        Server::narrow_of(Io::builder().config(config).build().unwrap()).await
    }

    pub async fn narrow_of(io: Io) -> Server {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // Inherited by what is accepted.
        socket.set_send_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = io.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Server { io, address }
    }

    /// The server's end of a client.
    pub fn socket(&self, client: &Client) -> eventwire::Socket {
        self.io.socket(client.id.parse().unwrap()).expect("the client is connected")
    }
}

/// A stream whose kernel buffer for receiving is small.
pub async fn narrow_stream(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl Client {
    /// Whose kernel buffer for receiving is small.
    pub async fn narrow(server: &Server) -> Client {
        Client::over(narrow_stream(server.address).await, server.address, "/ws").await
    }

    pub async fn over(stream: TcpStream, address: SocketAddr, path: &str) -> Client {
        let request = format!("ws://{address}{path}").into_client_request().unwrap();
        let (ws, _) = within("the handshake", tokio_tungstenite::client_async(request, stream)).await.unwrap();
        let mut client = Client { ws, id: String::new(), connected: Value::Null, next: 1, early: VecDeque::new() };
        let first = client.next().await;
        assert_eq!(first["event"], "connected", "the first frame: {first}");
        client.connected = first["data"].clone();
        client.id = first["data"]["id"].as_str().unwrap().to_owned();
        client
    }

    /// Waits for a request of the server's and answers it. Returns what was asked.
    pub async fn reply(&mut self, event: &str, data: Value) -> Value {
        let asked = self.wait_for(|frame| frame["event"] == event && !frame["id"].is_null()).await;
        self.send_text(json!({"event": "ack", "id": asked["id"], "data": data}).to_string()).await;
        asked["data"].clone()
    }
}

impl Client {
    /// How many frames came while something else was waited for, and wait themselves.
    pub fn early(&self) -> usize {
        self.early.len()
    }
}

mod alone;
mod program;
pub use alone::*;
pub use program::*;
