//! Clients over TCP: one that asks and waits, and a crowd that only reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eventwire::Io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::DEADLINE;
use super::sink::REQUEST;

/// One that waits in its thread.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client(BufReader::new(stream));
        client.write(REQUEST);
        let mut line = String::new();
        client.0.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 101"), "{line}");
        while line != "\r\n" {
            line.clear();
            client.0.read_line(&mut line).unwrap();
        }
        assert!(String::from_utf8(client.frame()).unwrap().contains("connected"));
        client
    }

    /// Without a buffer for what it reads: for those that are many and read nothing.
    pub fn into_stream(self) -> TcpStream {
        self.0.into_inner()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn frame(&mut self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.read_into(&mut payload);
        payload
    }

    pub fn read_into(&mut self, payload: &mut Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut long = [0; 8];
        let length = match head[1] {
            126 => self.0.read_exact(&mut long[6..]).map(|()| u64::from_be_bytes(long)).unwrap(),
            127 => self.0.read_exact(&mut long).map(|()| u64::from_be_bytes(long)).unwrap(),
            length => length.into(),
        };
        payload.resize(length as usize, 0);
        self.0.read_exact(payload).unwrap();
    }
}

/// A text frame as a client sends it, with a mask of zeros: the server applies it all the same.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Clients that read, all in one thread.
pub struct Crowd {
    /// Bytes that they have read, after the first frame of each.
    pub taken: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    pub fn connect(address: SocketAddr, count: usize) -> Crowd {
        let taken = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, connected) = mpsc::channel();
        let own = taken.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                for _ in 0..count {
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    stream.write_all(REQUEST).await.unwrap();
                    welcome(&mut stream).await;
                    let taken = own.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 64 * 1024];
                        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                            taken.fetch_add(count as u64, Ordering::Relaxed);
                        }
                    });
                }
                sender.send(()).unwrap();
                let _ = stopped.await;
            });
        });
        connected.recv().unwrap();
        Crowd { taken, stop: Some(stop), thread: Some(thread) }
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until it has read so many bytes.
    pub fn until(&self, bytes: u64) {
        until("the clients have read all", || self.taken() >= bytes);
    }
}

/// Reads the answer to the request, and the frame that comes first.
async fn welcome(stream: &mut tokio::net::TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.read_u8().await.unwrap();
    let length = match stream.read_u8().await.unwrap() {
        126 => stream.read_u16().await.unwrap().into(),
        length => usize::from(length),
    };
    stream.read_exact(&mut vec![0; length]).await.unwrap();
}

/// Bytes of a message that goes to some clients, who are all there are: the server counts them.
pub fn size(io: &Io, clients: usize, send: impl FnOnce()) -> u64 {
    let clients = clients as u64;
    let counted = |messages: u64| {
        until("what was sent is counted", || io.stats().messages_out == messages);
        io.stats().bytes_out
    };
    // The first frame of each.
    let before = counted(clients);
    send();
    (counted(2 * clients) - before) / clients
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until a condition holds, in a thread that has nothing else to do.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
