//! What a room with history costs: its ring, and little more for each member that does not read.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use eventwire::{Config, History, Io};
use serde_json::json;
use tokio::net::TcpListener;

use crate::follow::*;
use crate::kit::raise_file_limit;
use crate::support::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const RING: usize = 4 * MIB;
const MESSAGE: usize = 1000;

/// Where it is set, a test is the server of the one that has started it.
const SERVES: &str = "EVENTWIRE_TEST_SERVES";

/// The server alone in its process: what it holds is its own, without the clients' share. It does what it is told, line by line.
async fn serve() {
    let mut config = Config::default();
    config.write_timeout = DEADLINE * 60;
    let io = Io::builder().config(config).build().unwrap();
    rules(&io, History::bytes(RING));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\naddress {}", listener.local_addr().unwrap());
    let serving = io.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    let data = "x".repeat(MESSAGE);
    for line in std::io::stdin().lines() {
        let messages: u64 = line.unwrap().parse().unwrap();
        for _ in 0..messages {
            io.to("log").emit("n", &data).await.unwrap();
            tokio::task::yield_now().await;
        }
        // The first of all, so that each member has begun before it may be overtaken.
        if io.room("log").last_seq() == messages {
            settled(|| io.stats().bytes_out).await;
        }
        println!("published {}", io.room("log").last_seq());
    }
}

struct Process {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Process {
    /// The same test, as the server.
    fn start(test: &str) -> (Process, std::net::SocketAddr) {
        let mut child = again(test).env(SERVES, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, said) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Process { child, orders, said };
        let address = process.hear("address ").parse().unwrap();
        (process, address)
    }

    fn hear(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "the server ended before it said `{what}`");
            if let Some(rest) = line.trim_end().strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }

    /// Lets it publish. Returns the last number.
    fn publish(&mut self, messages: u64) -> u64 {
        writeln!(self.orders, "{messages}").unwrap();
        self.hear("published ").parse().unwrap()
    }

    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * KIB
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn costs_its_ring(test: &str, members: usize, deaf: usize, bytes: usize) {
    raise_file_limit();
    if std::env::var_os(SERVES).is_some() {
        return serve().await;
    }
    let (mut server, address) = Process::start(test);
    let (mut reading, mut stuck) = (Vec::new(), Vec::new());
    for n in 0..members {
        if n < deaf {
            let mut client = Client::over(narrow_stream(address).await, address, "/ws").await;
            client.request("subscribe", json!("log")).await.unwrap();
            stuck.push(client);
        } else {
            let mut client = Client::connect(address, "/ws").await;
            client.request("subscribe", json!("log")).await.unwrap();
            reading.push(client);
        }
    }
    let before = server.resident();
    let messages = (bytes / MESSAGE) as u64;
    let readers: Vec<_> = reading
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                // Not parsed, but for its end: there is much of it.
                use futures::StreamExt;
                use tokio_tungstenite::tungstenite::Message;
                let mark = format!("\"seq\":{messages},");
                while let Some(Ok(message)) = client.ws.next().await {
                    if matches!(&message, Message::Text(text) if text.contains(&mark)) {
                        return client;
                    }
                }
                panic!("it was closed");
            })
        })
        .collect();
    let mut last = tokio::task::block_in_place(|| server.publish(100));
    let mut most = server.resident();
    while last < messages {
        last = tokio::task::block_in_place(|| server.publish(500.min(messages - last)));
        most = most.max(server.resident());
    }
    let mut stay = Vec::new();
    for reader in readers {
        stay.push(tokio::time::timeout(DEADLINE * 10, reader).await.expect("all is read").unwrap());
        most = most.max(server.resident());
    }
    let grown = most.saturating_sub(before);
    let share = grown.saturating_sub(RING) / deaf;
    println!(
        "{members} members of whom {deaf} never read, {} MiB published: {} KiB before, {} KiB more at most: the ring and {} KiB for each stuck one",
        bytes / MIB,
        before / KIB,
        grown / KIB,
        share / KIB
    );
    // The ring, the blocks that its oldest frames share with some that are gone, and what the allocator keeps; for one that is stuck a
    // turn of the writer's and the blocks that it lies in. That is far from a ring for each.
    assert!(grown < 3 * RING + deaf * 192 * KIB, "{grown}");
    // Those that are stuck are members still: they lag, and when they read they are told what they have missed and go on.
    let mut late = stuck.pop().unwrap();
    let mut follower = Follower { room: "log".into(), next: Some(1), ..Follower::default() };
    let frame = late.next().await;
    assert_eq!(frame["seq"], 1);
    follower.next = Some(2);
    loop {
        let frame = late.next().await;
        if frame["event"] == "gap" {
            follower.epoch = frame["data"]["epoch"].as_str().unwrap().to_owned();
        }
        assert!(follower.take(&frame), "{frame}");
        if follower.next == Some(messages + 1) {
            break;
        }
    }
    assert!(!follower.gaps.is_empty(), "more was published than is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_200_costs_its_ring_and_little_for_20_that_never_read() {
    costs_its_ring("memory::a_room_of_200_costs_its_ring_and_little_for_20_that_never_read", 200, 20, 7 * MIB).await;
}

#[ignore = "takes a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_1000_costs_its_ring_and_little_for_100_that_never_read() {
    costs_its_ring("memory::a_room_of_1000_costs_its_ring_and_little_for_100_that_never_read", 1000, 100, 40 * MIB)
        .await;
}
