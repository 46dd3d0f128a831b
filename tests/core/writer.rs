//! Invariant 7: one writer a connection. It batches whole frames, and control frames go between them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use eventwire::{Config, Io, Socket};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::*;
use crate::support::*;

#[derive(Default)]
struct Counts {
    writes: AtomicUsize,
    slices: AtomicUsize,
}

/// A stream that counts how it is written to.
struct Counted(TcpStream, Arc<Counts>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write_vectored(cx, slices);
        if written.is_ready() {
            self.1.writes.fetch_add(1, Ordering::Relaxed);
            self.1.slices.fetch_add(slices.len(), Ordering::Relaxed);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A client whose connection counts how it is written to.
async fn counted(io: &Io) -> (Client, Socket, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let counts = Arc::new(Counts::default());
    let accepted = Counted(listener.accept().await.unwrap().0, counts.clone());
    let (client, socket) = tokio::join!(Client::over(stream, address, "/"), io.accept(accepted));
    (client, socket.unwrap(), counts)
}

#[tokio::test]
async fn invariant_07_what_is_ready_goes_out_in_one_vectored_write() {
    let io = Io::new();
    io.on::<u32>("burst", |socket: Socket, n| async move {
        for line in 0..n {
            socket.emit("line", line).await?;
        }
        eventwire::ok(n)
    });
    let (mut client, socket, counts) = counted(&io).await;
    settle().await;
    let before = (counts.writes.load(Ordering::Relaxed), counts.slices.load(Ordering::Relaxed));
    assert_eq!(client.request("burst", json!(200)).await, Ok(json!(200)));
    let writes = counts.writes.load(Ordering::Relaxed) - before.0;
    let slices = counts.slices.load(Ordering::Relaxed) - before.1;
    assert_eq!((writes, slices), (1, 1), "200 lines and the ack, as one run of bytes");
    // Broadcasts of one turn of a task, too: the writer runs when the task lets it. What many get is shared, not copied for each.
    let (_second, _, _) = counted(&io).await;
    let slices = || counts.slices.load(Ordering::Relaxed) - before.1;
    let before_all = slices();
    for n in 0..200 {
        io.emit("all", n).await.unwrap();
    }
    for n in 0..200 {
        assert_eq!(client.expect("all").await, n);
    }
    let writes = counts.writes.load(Ordering::Relaxed) - before.0;
    assert_eq!((writes, slices() - before_all), (2, 200));
    // Turns of at most 64 KiB or 256 frames, so that what waits can still be dropped or overtaken.
    for n in 0..1000 {
        socket.try_emit("many", n).unwrap();
    }
    for n in 0..1000 {
        assert_eq!(client.expect("many").await, n);
    }
    let writes = counts.writes.load(Ordering::Relaxed) - before.0;
    assert!((6..=8).contains(&writes), "{writes}");
}

#[tokio::test]
async fn invariant_07_answers_of_handlers_that_wait_a_little_go_out_together() {
    let io = Io::new();
    io.on::<u32>("echo", |_: Socket, n| async move {
        tokio::task::yield_now().await;
        n
    });
    let (mut client, _socket, counts) = counted(&io).await;
    settle().await;
    let before = counts.writes.load(Ordering::Relaxed);
    let mut asked = Vec::new();
    for n in 0..32 {
        asked.push(client.ask("echo", json!(n)).await);
    }
    for (n, id) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(id).await, Ok(json!(n)));
    }
    let writes = counts.writes.load(Ordering::Relaxed) - before;
    assert!(writes <= 8, "{writes} writes of 32 answers");
}

#[tokio::test]
async fn invariant_07_pongs_go_between_whole_frames_and_overtake_what_waits() {
    let server = Server::narrow(json!({"outbox": {"messages": 4096}})).await;
    let mut raw = Raw::connect(server.address).await;
    raw.stream = narrow_stream(server.address).await;
    assert_eq!(raw.shake(&handshake(server.address, "GET /ws HTTP/1.1", &[])).await.0, 101);
    assert_eq!(raw.frame().await.unwrap().json()["event"], "connected");
    let socket = server.io.sockets().pop().unwrap();
    // Of odd sizes, so that the kernel cuts frames where it likes.
    for n in 0..1000u64 {
        socket.emit("n", (n, "x".repeat((mixed(n) % 1500) as usize))).await.unwrap();
    }
    settle().await;
    let (mut next, mut pongs, mut pings, mut last) = (0, 0, 0, 0);
    while next < 1000 {
        if pings == pongs {
            raw.write(&frame(0x89, format!("p{pings}").as_bytes())).await;
            (pings, last) = (pings + 1, next);
        }
        let got = raw.frame().await.unwrap();
        if got.opcode == 10 {
            assert_eq!(got.payload, format!("p{pongs}").into_bytes(), "in the order of the pings");
            pongs += 1;
            continue;
        }
        // Whatever comes between, the frames themselves are whole and in order.
        assert_eq!((got.opcode, &got.json()["data"][0]), (1, &json!(next)));
        next += 1;
        // 750 KB wait; what the kernel holds is all that a pong comes behind.
        assert!(next - last < 200, "the pong to p{pongs} does not come");
    }
    assert!(pongs > 10, "{pongs}");
    raw.is_alive().await;
}

#[tokio::test]
async fn invariant_07_frames_are_whole_for_a_peer_that_takes_a_byte_at_a_time() {
    let config: Config = serde_json::from_value(json!({"pingInterval": "1ms"})).unwrap();
    let io = Io::builder().config(config).build().unwrap();
    // A pipe of seven bytes: every frame is cut, at every place.
    let (ours, theirs) = tokio::io::duplex(7);
    let handshake = tokio_tungstenite::client_async("ws://pipe/", theirs);
    let (client, socket) = tokio::join!(handshake, io.accept(ours));
    let (mut ws, socket) = (client.unwrap().0, socket.unwrap());
    let emitting = tokio::spawn(async move {
        for n in 0..300u64 {
            socket.emit("n", (n, "y".repeat((mixed(n) % 200) as usize))).await.unwrap();
        }
    });
    use futures::StreamExt;
    use tokio_tungstenite::tungstenite::Message;
    let (mut next, mut pings) = (0, 0);
    while next < 300 {
        match within("a frame", ws.next()).await.unwrap().unwrap() {
            Message::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                if frame["event"] == "n" {
                    assert_eq!(frame["data"][0], next);
                    next += 1;
                }
            }
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    emitting.await.unwrap();
    assert!(pings > 0, "control frames came between");
}
