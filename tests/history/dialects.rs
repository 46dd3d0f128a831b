//! Members of several dialects in one room that remembers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use eventwire::protocol::{Id, Malformed, Memory, Outgoing, Packet};
use eventwire::{Dialect, Frames, History, Io};
use serde_json::json;

use crate::follow::*;
use crate::support::*;

/// `COUNT SEQ EVENT DATA`: counts the messages of a room, from where the member began. It has no `gap`; a snapshot's count is 0.
#[derive(Clone, Default)]
struct Counting {
    encoded: Arc<AtomicU64>,
}

impl Dialect for Counting {
    fn subprotocol(&self) -> &str {
        "counting"
    }

    fn path(&self) -> Option<&str> {
        Some("/counting")
    }

    fn decode(&self, message: Bytes, _max_depth: usize) -> Result<Packet, Malformed> {
        let text = std::str::from_utf8(&message).map_err(|error| Malformed(error.to_string()))?;
        let (event, data) = text.split_once(' ').ok_or_else(|| Malformed("two parts".into()))?;
        Ok(Packet::new(event, data.as_bytes().to_vec(), Some(Id::Number(1))))
    }

    fn encode(&self, packet: &Outgoing<'_>, memory: &mut Memory, frames: &mut Frames<'_>) {
        if packet.event == "gap" {
            return;
        }
        let mut count = 0;
        if let Some(_room) = packet.room.filter(|_| !packet.snapshot) {
            self.encoded.fetch_add(1, Ordering::Relaxed);
            let counted = memory.get_or_default::<u64>();
            *counted += 1;
            count = *counted;
        }
        let data = String::from_utf8_lossy(packet.data);
        let text = format!("{count} {} {} {data}", packet.seq.unwrap_or(0), packet.event);
        frames.text(|out| out.extend_from_slice(text.as_bytes()));
    }
}

async fn server(history: History) -> (Server, Counting) {
    let counting = Counting::default();
    let server = Server::of(Io::builder().dialect(counting.clone()).build().unwrap()).await;
    rules(&server.io, history);
    (server, counting)
}

struct Counted(Raw);

impl Counted {
    async fn connect(server: &Server) -> Counted {
        let mut raw = Raw::connect(server.address).await;
        let (status, head) = raw.shake(&handshake(server.address, "GET /counting HTTP/1.1", &[])).await;
        assert_eq!(status, 101, "{head}");
        let mut counted = Counted(raw);
        assert!(counted.next().await.starts_with("0 0 connected "));
        counted
    }

    async fn next(&mut self) -> String {
        String::from_utf8(self.0.frame().await.expect("a frame").payload).unwrap()
    }

    async fn subscribe(&mut self, data: serde_json::Value) {
        self.0.write(&text_frame(&format!("subscribe {data}"))).await;
        let ack = self.next().await;
        assert!(ack.starts_with("0 0 ack {"), "{ack}");
    }

    /// Reads messages with these numbers, counted from `count` on.
    async fn read(&mut self, seqs: std::ops::RangeInclusive<u64>, count: u64) {
        for (seq, count) in seqs.zip(count..) {
            let text = self.next().await;
            assert_eq!(text, format!("{count} {seq} n {seq}"));
        }
    }
}

#[tokio::test]
async fn a_member_that_comes_late_or_goes_back_gets_each_message_once_and_in_order() {
    let (server, _) = server(History::messages(100)).await;
    publish(&server.io, "log", 150).await;
    let epoch = server.io.room("log").epoch().unwrap();
    let mut late = Counted::connect(&server).await;
    late.subscribe(json!("log")).await;
    late.read(51..=150, 1).await;
    publish(&server.io, "log", 10).await;
    late.read(151..=160, 101).await;
    // It remembers only from where it begins.
    late.subscribe(json!({"room": "log", "since": 155, "epoch": &*epoch})).await;
    late.read(156..=160, 1).await;
    let mut last = Counted::connect(&server).await;
    last.subscribe(json!({"room": "log", "last": 2})).await;
    last.read(159..=160, 1).await;
    publish(&server.io, "log", 5).await;
    late.read(161..=165, 6).await;
    last.read(161..=165, 3).await;
    let mut json_client = server.client_in("log").await;
    assert_eq!(json_client.next().await["seq"], 66);
}

/// Also where its dialect has no word for what is lost.
#[tokio::test]
async fn a_member_whose_dialect_knows_no_gap_stays_connected_and_goes_on() {
    let (server, _) = server(History::messages(10)).await;
    publish(&server.io, "log", 50).await;
    let epoch = server.io.room("log").epoch().unwrap();
    let mut member = Counted::connect(&server).await;
    member.subscribe(json!({"room": "log", "since": 3, "epoch": &*epoch})).await;
    member.read(41..=50, 1).await;
    // A gap and nothing behind it.
    server.io.room("log").clear();
    until("it is told", || server.io.stats().gaps == 2).await;
    member.0.write(&text_frame("ping 5")).await;
    assert_eq!(member.next().await, "0 0 ack 5");
    publish(&server.io, "log", 3).await;
    member.read(1..=3, 1).await;
}

#[tokio::test]
async fn a_snapshot_ends_what_a_dialect_remembers() {
    let history = History::messages(4).snapshot("state", 0u64, |sum: &mut u64, _| *sum += 1);
    let (server, _) = server(history).await;
    let mut member = Counted::connect(&server).await;
    member.subscribe(json!("log")).await;
    publish(&server.io, "log", 3).await;
    member.read(1..=3, 1).await;
    // The member is behind at once: nobody writes while this task, the runtime's only one, publishes.
    let emit = |n: u64| drop(crate::kit::at_once(server.io.to("log").emit("n", n)));
    (4..=20).for_each(emit);
    assert_eq!(member.next().await, "0 16 state 16");
    member.read(17..=20, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_head_a_message_is_written_once_for_each_dialect() {
    const MESSAGES: u64 = 300;
    let (server, counting) = server(History::bytes(1 << 20)).await;
    let (mut counted, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..25 {
        let mut member = Counted::connect(&server).await;
        member.subscribe(json!("log")).await;
        counted.push(member);
        clients.push(server.client_in("log").await);
    }
    let publisher = tokio::spawn({
        let io = server.io.clone();
        async move { publish(&io, "log", MESSAGES).await }
    });
    for member in &mut counted {
        member.read(1..=MESSAGES, 1).await;
    }
    for client in &mut clients {
        let mut follower = Follower { room: "log".into(), next: Some(1), ..Follower::default() };
        follower.read_to(client, MESSAGES).await;
    }
    publisher.await.unwrap();
    let written = counting.encoded.load(Ordering::Relaxed);
    assert_eq!(written, MESSAGES, "once, not 25 times");
    assert_eq!(server.io.stats().encoded, 2 * MESSAGES, "and that is what is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_dialect_that_lags_goes_on_behind_what_it_has_missed() {
    let counting = Counting::default();
    let io = Io::builder().dialect(counting).build().unwrap();
    rules(&io, History::bytes(64 * 1024));
    let server = Server::of(io).await;
    let mut member = Counted::connect(&server).await;
    member.subscribe(json!("log")).await;
    let pad = "x".repeat(4000);
    for n in 1..=4000u64 {
        server.io.to("log").emit("n", (n, &pad)).await.unwrap();
    }
    let (mut last, mut count, mut jumps) = (0u64, 0u64, 0);
    while last < 4000 {
        let text = member.next().await;
        let mut parts = text.splitn(4, ' ').map(|part| part.parse::<u64>().unwrap_or(0));
        let (counted, seq) = (parts.next().unwrap(), parts.next().unwrap());
        if seq != last + 1 {
            assert!(seq > last && counted == 1, "{seq} after {last}, counted {counted}");
            (jumps, count) = (jumps + 1, 0);
        }
        assert_eq!(counted, count + 1, "{seq}");
        (last, count) = (seq, counted);
    }
    assert!(jumps > 0 && server.io.stats().gaps == jumps, "{jumps}");
}
