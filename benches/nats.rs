//! From NATS to many clients, beside the same emitted without NATS: the rate, what was lost, and the time from publishing to
//! arriving. One machine has it all: the server of NATS, who publishes, this one, and the clients.
//!
//! ```sh
//! cargo bench --features nats --bench nats [-- RATE CLIENTS SECONDS]     # 20000 100 10
//! ```
//!
//! It starts Debian's `nats-server`, or the program that `NATS_SERVER` names.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventwire::nats_source::async_nats::{self, jetstream};
use eventwire::nats_source::{NatsSource, NatsSourceHandle};
use eventwire::{History, Io};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::time::{MissedTickBehavior, interval};

const ROOM: &str = "metrics.cpu";

/// Numbers begin here, so that all have as many digits.
const FIRST: u64 = 10_000_000;

/// Of so many messages one is timed, by each client.
const SAMPLE: u64 = 16;

#[derive(Clone, Copy)]
struct Load {
    rate: u64,
    clients: usize,
    seconds: u64,
    begun: Instant,
}

impl Load {
    fn total(self) -> u64 {
        self.rate * self.seconds
    }

    fn micros(self) -> u64 {
        self.begun.elapsed().as_micros() as u64
    }

    fn message(self, n: u64) -> String {
        format!(r#"{{"n":{n},"at":{},"cpu":"cpu-07","load":0.731}}"#, FIRST * 1000 + self.micros())
    }
}

/// A server of NATS with JetStream, gone with this.
struct Nats(Child, u16, std::path::PathBuf);

impl Nats {
    fn start() -> Nats {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "/usr/sbin/nats-server".into());
        let folder = std::env::temp_dir().join(format!("eventwire-bench-{}", std::process::id()));
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]).arg(&folder);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("nats-server is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("Listening for client connections")).unwrap();
        let port = line.rsplit(':').next().unwrap().parse().unwrap();
        lines.find(|line| line.contains("Server is ready")).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Nats(child, port, folder)
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.1)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.2);
    }
}

/// One client: reads to the last message. Returns what was lost, and the times of some in µs.
async fn read(address: std::net::SocketAddr, load: Load, ready: Arc<Barrier>) -> (u64, Vec<u64>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let subscribe = format!(r#"{{"event":"subscribe","data":"{ROOM}","id":1}}"#);
    let mut request = String::from(
        "GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .into_bytes();
    request.extend([0x81, 0x80 | subscribe.len() as u8, 0, 0, 0, 0]);
    request.extend(subscribe.as_bytes());
    stream.write_all(&request).await.unwrap();
    let (mut buffer, mut at) = (Vec::with_capacity(256 * 1024), 0);
    while !buffer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
    }
    buffer.drain(..buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4);

    let mut ready = Some(ready);
    let (mut next, mut lost, mut times) = (FIRST, 0, Vec::new());
    // Where the numbers stand: the same in each frame.
    let mut places = None;
    let number = |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    loop {
        while let Some((start, end)) = frame(&buffer[at..]) {
            let text = &buffer[at + start..at + end];
            at += end;
            if !text.starts_with(br#"{"event":"message""#) {
                // The answer to `subscribe`, once.
                if text.starts_with(br#"{"event":"ack""#) {
                    ready.take().unwrap().wait().await;
                }
                continue;
            }
            // `seq` grows; from the end nothing moves.
            let (n, published) = *places.get_or_insert_with(|| {
                let place = |name: &[u8]| text.windows(name.len()).position(|bytes| bytes == name).unwrap();
                (text.len() - place(br#""n":"#) - 4, text.len() - place(br#""at":"#) - 5)
            });
            let (n, published) = (text.len() - n, text.len() - published);
            let seen = number(&text[n..n + 8]);
            lost += seen.checked_sub(next).expect("in order, and once");
            next = seen + 1;
            if seen % SAMPLE == 0 {
                times.push(load.micros() - (number(&text[published..published + 11]) - FIRST * 1000));
            }
        }
        if next == FIRST + load.total() {
            return (lost, times);
        }
        buffer.drain(..at);
        at = 0;
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "the server has closed, after {}", next - FIRST);
    }
}

/// Where the payload of a whole frame begins and ends.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, length) = match *bytes.get(1)? {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        short => (2, short.into()),
    };
    (bytes.len() >= start + length).then_some((start, start + length))
}

/// At an even pace: each millisecond its part.
async fn publish(load: Load, mut send: impl AsyncFnMut(String), mut pause: impl AsyncFnMut()) {
    let mut turn = interval(Duration::from_millis(1));
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let mut n = 0;
    while n < load.total() {
        turn.tick().await;
        let due = (begun.elapsed().as_secs_f64() * load.rate as f64) as u64;
        while n < due.min(load.total()) {
            send(load.message(FIRST + n)).await;
            n += 1;
        }
        pause().await;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Emit,
    Core,
    JetStream,
}

fn measure(way: Way, load: Load, url: String) {
    let (told, address) = std::sync::mpsc::channel();
    let (end, over) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let io = Io::new();
            io.rooms("metrics.*").history(History::bytes(64 * 1024 * 1024).live_only());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let source = match way {
                Way::Emit => {
                    io.rooms("metrics.*").public();
                    None
                }
                Way::Core | Way::JetStream => Some(source(way, &io, &url).await),
            };
            told.send((io.clone(), address, source)).unwrap();
            tokio::select! {
                served = io.serve(listener) => served.unwrap(),
                _ = over => {}
            }
            io.shutdown(Duration::from_secs(2)).await;
        });
    });
    let (io, address, source) = address.recv().unwrap();
    let ready = Arc::new(Barrier::new(load.clients + 1));
    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reading: Vec<_> = (0..load.clients).map(|_| clients.spawn(read(address, load, ready.clone()))).collect();
    let clients = std::thread::spawn(move || clients.block_on(futures::future::join_all(reading)));

    let publishing = {
        let (io, url) = (io.clone(), format!("nats://127.0.0.1:{}", source.as_ref().map_or(0, |(_, port)| *port)));
        async move {
            ready.wait().await;
            let begun = Instant::now();
            if way == Way::Emit {
                let send = async |text: String| {
                    let data = serde_json::value::RawValue::from_string(text).unwrap();
                    io.to(ROOM).emit("message", data).await.unwrap();
                };
                publish(load, send, async || tokio::task::yield_now().await).await;
            } else {
                let client = async_nats::connect(url).await.unwrap();
                let send = async |text: String| client.publish(ROOM, text.into()).await.unwrap();
                publish(load, send, async || client.flush().await.unwrap()).await;
            }
            begun.elapsed()
        }
    };
    let published = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(publishing);
    let results: Vec<_> = clients.join().unwrap().into_iter().map(Result::unwrap).collect();
    let lost: u64 = results.iter().map(|(lost, _)| lost).sum();
    let mut times: Vec<u64> = results.into_iter().flat_map(|(_, times)| times).collect();
    times.sort_unstable();
    let part = |part: f64| times[((times.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    println!(
        "{:<22} {:>8.0} msg/s × {} clients   lost {lost}   p50 {:.2} ms   p99 {:.2} ms   max {:.2} ms",
        match way {
            Way::Emit => "emitted, without NATS",
            Way::Core => "NATS, core subject",
            Way::JetStream => "NATS, JetStream",
        },
        load.total() as f64 / published.as_secs_f64(),
        load.clients,
        part(0.5),
        part(0.99),
        part(1.0),
    );
    if let Some((source, _)) = source {
        println!("{:<22} {:?}", "", source.counts());
    }
    drop(end);
    server.join().unwrap();
}

async fn source(way: Way, io: &Io, url: &str) -> (NatsSourceHandle, u16) {
    let mut source = NatsSource::builder().connect(url).subject("metrics.>").public();
    if way == Way::JetStream {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let subjects = vec!["metrics.>".to_owned()];
        let config = jetstream::stream::Config { name: "METRICS".into(), subjects, ..Default::default() };
        context.create_stream(config).await.unwrap();
        source = source.jetstream("METRICS", Default::default());
    }
    let source = io.install(source.build().unwrap());
    source.ready().await.unwrap();
    (source, url.rsplit(':').next().unwrap().parse().unwrap())
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, usual: u64| numbers.get(index).copied().unwrap_or(usual);
    let (rate, clients, seconds) = (number(0, 20_000), number(1, 100) as usize, number(2, 10));
    let nats = Nats::start();
    for way in [Way::Emit, Way::Core, Way::JetStream] {
        measure(way, Load { rate, clients, seconds, begun: Instant::now() }, nats.url());
        let _ = std::io::stdout().flush();
    }
}
