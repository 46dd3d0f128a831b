//! What is resident when all have closed, with an allocator that gives back what is free.
//!
//! ```sh
//! _RJEM_MALLOC_CONF=dirty_decay_ms:1000,muzzy_decay_ms:0,tcache:false \
//!     cargo run --release --manifest-path benches/jemalloc/Cargo.toml [-- CONNECTIONS]     # 10000
//! ```
#![allow(missing_docs, unreachable_pub)]

#[path = "../../kit/mod.rs"]
mod kit;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use eventwire::Io;
use tokio::net::TcpListener;

use self::kit::{client::Client, system};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Connections before the start is taken.
const WARM: usize = 50;
const TIMES: usize = 3;
/// Some times what jemalloc is asked to take for it.
const GIVEN_BACK: Duration = Duration::from_secs(5);

fn main() {
    system::raise_file_limit();
    let argument = kit::asked_for().into_iter().next();
    if argument.as_deref() == Some("serve") {
        return serve();
    }
    let connections = argument.map_or(10_000, |text| text.parse().expect("it is a number of connections"));
    let mut server = Command::new(std::env::current_exe().unwrap());
    let mut server = server.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().parse().unwrap();
    let mib = |what: &str| println!("{what:12}{:8.1} MiB", system::resident(server.id()) as f64 / 1024.0 / 1024.0);

    let come_and_go = |count: usize, what: &str| {
        let clients: Vec<_> = (0..count).map(|_| Client::connect(address)).collect();
        mib(what);
        drop(clients);
        std::thread::sleep(GIVEN_BACK);
    };
    come_and_go(WARM, "first");
    mib("start");
    for _ in 0..TIMES {
        come_and_go(connections, "connected");
        mib("closed");
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[tokio::main]
async fn serve() {
    let io = Io::new();
    io.on::<u64>("double", |_, n| async move { n * 2 });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    io.serve(listener).await.unwrap();
}
