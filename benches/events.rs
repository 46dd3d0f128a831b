//! What an event costs the server on its way through a handler and back as an acknowledgement: by closure, as a type, and
//! through a gateway. CPU time of the server's thread, over a real socket.
//!
//! ```sh
//! cargo bench --bench events
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventwire::{Event, Ext, Io, Socket, gateway};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use tokio::net::TcpListener;

const ROUNDS: usize = 40;
const EVENTS: usize = 20_000;
/// Requests that wait for their answers at a time.
const IN_FLIGHT: usize = 32;

#[derive(Deserialize, Event)]
#[event("event", ack = u64)]
struct Add {
    by: u64,
}

#[derive(Default)]
struct Counter {
    sum: AtomicU64,
}

struct Step(u64);

#[gateway]
impl Counter {
    #[on("gateway")]
    async fn named(&self, _socket: Socket, add: Add) -> u64 {
        self.sum.fetch_add(add.by, Ordering::Relaxed)
    }

    #[on]
    async fn typed(&self, _socket: Socket, add: Add) -> u64 {
        self.sum.fetch_add(add.by, Ordering::Relaxed)
    }

    #[on("gateway-ext")]
    async fn found(&self, add: Add, Ext(step): Ext<Step>) -> u64 {
        self.sum.fetch_add(add.by * step.0, Ordering::Relaxed)
    }
}

/// The same by hand, and what the server's thread has used so far.
fn closures(io: &Io) {
    let counter = Arc::new(Counter::default());
    let own = counter.clone();
    io.on::<Add>("closure", move |_socket: Socket, add| {
        let counter = own.clone();
        async move { counter.sum.fetch_add(add.by, Ordering::Relaxed) }
    });
    io.on::<Add>("closure-ext", move |socket: Socket, add| {
        let counter = counter.clone();
        async move {
            let step = socket.extensions().get::<Step>().ok_or("there is no step")?;
            Ok::<_, eventwire::Error>(counter.sum.fetch_add(add.by * step.0, Ordering::Relaxed))
        }
    });
    io.on::<()>("cpu", async |_: Socket, ()| {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    });
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, text: &str, times: usize) {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame.repeat(times)).unwrap();
    }

    fn frame(&mut self) -> String {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length).into()
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }

    fn cpu(&mut self) -> u64 {
        self.send(r#"{"event":"cpu","id":1}"#, 1);
        let frame = self.frame();
        let digits = frame.split("\"data\":").nth(1).unwrap().trim_end_matches('}');
        digits.parse().unwrap()
    }

    /// Nanoseconds of the server for one event.
    fn round(&mut self, event: &str) -> f64 {
        let text = format!(r#"{{"event":"{event}","id":7,"data":{{"by":1}}}}"#);
        let before = self.cpu();
        for _ in 0..EVENTS / IN_FLIGHT {
            self.send(&text, IN_FLIGHT);
            for _ in 0..IN_FLIGHT {
                let frame = self.frame();
                assert!(frame.contains("\"ack\""), "{frame}");
            }
        }
        (self.cpu() - before) as f64 / (EVENTS / IN_FLIGHT * IN_FLIGHT) as f64
    }
}

fn main() {
    let (sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let io = Io::new();
            closures(&io);
            io.gateway(Counter::default()).unwrap();
            io.on_connect(|socket: Socket| async move { drop(socket.extensions().insert(Step(1))) });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            io.serve(listener).await.unwrap();
        });
    });
    let mut client = Client(TcpStream::connect(address.recv().unwrap()).unwrap());
    client.0.set_nodelay(true).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.0.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.0.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    assert!(client.frame().contains("connected"));

    // One after another, so that what the machine does beside it falls on all alike.
    let names = ["closure", "gateway", "event", "closure-ext", "gateway-ext"];
    let mut rounds = names.map(|_| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for (name, rounds) in names.iter().zip(&mut rounds) {
            rounds.push(client.round(name));
        }
    }
    println!(
        "{:12} {:>10} {:>10}    ns of the server for one acknowledged event, of {ROUNDS} rounds",
        "", "least", "median"
    );
    for (name, mut rounds) in names.into_iter().zip(rounds) {
        rounds.sort_by(f64::total_cmp);
        println!("{name:12} {:10.0} {:10.0}", rounds[0], rounds[ROUNDS / 2]);
    }
}
