//! Invariants 5 and 6: the outbox of a slow peer is bounded, and its policy drops, or disconnects, in one
//! place, with a counter.

use std::time::Duration;

use eventwire::{EmitError, Overflow, Socket};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::kit::*;
use crate::support::*;

/// A member of `room` that does not read, with full kernel buffers and a full outbox.
async fn stalled(server: &Server) -> (Client, Socket, usize) {
    let client = Client::narrow(server).await;
    let socket = server.socket(&client);
    socket.join("room").await.unwrap();
    let taken = clog(&socket).await;
    (client, socket, taken)
}

async fn server(overflow: &str) -> Server {
    Server::narrow(json!({"outbox": {"messages": 8, "overflow": overflow}})).await
}

/// Reads past what clogged the connection.
async fn unclog(client: &mut Client, taken: usize) {
    for _ in 0..taken {
        client.expect("clog").await;
    }
}

#[tokio::test]
async fn invariant_06_overflow_disconnects_by_default_with_1008_and_closing_slow() {
    let server = server("disconnect").await;
    let reasons = Log::default();
    let note = reasons.clone();
    server.io.on_disconnect(move |_, reason| std::future::ready(note.add(format!("{reason:?}"))));
    let (mut client, socket, taken) = stalled(&server).await;
    assert!(socket.is_connected());
    assert_eq!(at_once(server.io.to("room").emit("one too many", 1)), Ok(0));
    assert!(!socket.is_connected(), "that decides it");
    assert_eq!(socket.emit("e", 1).await, Err(EmitError::Disconnected));
    assert_eq!(server.io.to("room").emit("e", 2).await, Ok(0));
    assert_eq!(server.io.stats().dropped, 1, "the one that was too many");
    // `closing` overtakes what waits, and is told whole.
    let (code, before) = client.closed().await;
    let closing =
        json!({"code": "slow", "reason": "it reads slower than is sent to it", "reconnect": true, "after": 0});
    assert_eq!((code, before.last()), (1008, Some(&json!({"event": "closing", "data": closing}))));
    assert!(before[..before.len() - 1].iter().all(|frame| frame["event"] == "clog"), "whole frames: {before:?}");
    assert!(before.len() - 1 < taken, "what waited is gone");
    until("it is gone", || reasons.all() == ["Slow"]).await;
    assert_eq!((server.io.stats().sockets, server.io.stats().members), (0, 0));
}

/// Emits numbered broadcasts to one that reads nothing; returns those that it gets when it reads
/// after all, and how many were counted as dropped.
async fn overflowed(server: &Server, numbers: u32, bytes: impl Fn(u32) -> usize) -> (Vec<u32>, u32) {
    let (mut client, socket, taken) = stalled(server).await;
    for n in 0..numbers {
        at_once(server.io.to("room").emit("n", (n, "x".repeat(bytes(n))))).unwrap();
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let dropped = server.io.stats().dropped as u32;
    let last = tokio::spawn(async move { socket.emit("last", 1).await });
    unclog(&mut client, taken).await;
    let mut got = Vec::new();
    loop {
        let frame = client.next().await;
        if frame["event"] == "last" {
            break;
        }
        got.push(frame["data"][0].as_u64().unwrap() as u32);
    }
    last.await.unwrap().unwrap();
    assert!(got.is_sorted(), "{got:?}");
    (got, dropped)
}

#[tokio::test]
async fn invariant_06_drop_newest_keeps_what_waits_and_counts_what_it_drops() {
    let server = server("dropNewest").await;
    let (got, dropped) = overflowed(&server, 100, |_| 1000).await;
    assert_eq!((got.as_slice(), dropped), ([].as_slice(), 100), "the outbox was full of what was there before");
    let mut reader = server.client().await;
    server.socket(&reader).join("room").await.unwrap();
    assert_eq!(server.io.to("room").emit("n", 1).await, Ok(1));
    assert_eq!(reader.next().await["data"], 1);
}

#[tokio::test]
async fn invariant_06_drop_oldest_keeps_the_newest() {
    // Frames of 64 KiB go to the writer one by one, so that the others wait where they can be dropped.
    let server = server("dropOldest").await;
    let mut client = Client::narrow(&server).await;
    server.socket(&client).join("room").await.unwrap();
    let data = "x".repeat(70_000);
    for n in 0..100 {
        assert!(at_once(server.io.to("room").emit("n", (n, &data))).is_ok());
        tokio::task::yield_now().await;
    }
    let dropped = server.io.stats().dropped;
    let mut got = Vec::new();
    while got.last() != Some(&99) {
        got.push(client.next().await["data"][0].as_u64().unwrap());
    }
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(got.len() as u64 + dropped, 100, "each is delivered or counted: {got:?}");
    let newest: Vec<u64> = (93..100).collect();
    assert!(got.ends_with(&newest), "the newest are there: {got:?}");
    assert!(got.len() < 20, "bounded: {got:?}");
}

#[tokio::test]
async fn invariant_06_what_ends_a_slow_one_is_not_displaced_by_what_may_be_dropped() {
    let server = Server::narrow(json!({"outbox": {"messages": 16}})).await;
    let mut client = Client::narrow(&server).await;
    // Two members: what they get is queued frame by frame.
    let mut second = Client::narrow(&server).await;
    for client in [&client, &second] {
        server.socket(client).join("room").await.unwrap();
    }
    let data = "x".repeat(70_000);
    // More than the kernel takes, so that the rest waits.
    for n in 0..12 {
        assert!(at_once(server.io.to("room").emit("kept", (n, &data))).is_ok());
        tokio::task::yield_now().await;
    }
    for n in 0..100 {
        at_once(server.io.to("room").overflow(Overflow::DropOldest).emit("position", (n, &data))).unwrap();
    }
    let dropped = server.io.stats().dropped;
    assert!(dropped > 100, "{dropped} of 200");
    for client in [&mut client, &mut second] {
        for n in 0..12 {
            let frame = client.next().await;
            assert_eq!((&frame["event"], &frame["data"][0]), (&json!("kept"), &json!(n)));
        }
        let mut last = None;
        while last != Some(99) {
            let frame = client.next().await;
            assert_eq!(frame["event"], "position");
            last = frame["data"][0].as_u64();
        }
    }
}

#[tokio::test]
async fn invariant_06_drop_oldest_keeps_the_newest_of_small_messages_too() {
    // Meters and positions: small frames, a small outbox, and the last value is the one that counts. What the
    // writer holds can no longer be dropped, but must not keep the newest out.
    for limit in [json!({"messages": 8}), json!({"messages": 2}), json!({"messages": 1}), json!({"bytes": 1500})] {
        let mut outbox = limit.clone();
        outbox["overflow"] = json!("dropOldest");
        let server = Server::narrow(json!({"outbox": outbox})).await;
        let mut client = Client::narrow(&server).await;
        let socket = server.socket(&client);
        socket.join("room").await.unwrap();
        let data = "x".repeat(1000);
        // Far more than the kernel takes; eight at a time, so that the writer has all that there is.
        for n in 0..1000 {
            at_once(server.io.to("room").emit("n", (n, &data))).unwrap();
            if n % 8 == 7 {
                settle().await;
            }
        }
        let dropped = server.io.stats().dropped;
        assert!(dropped > 500, "{limit}: {dropped}: it did overflow");
        let mut got = Vec::new();
        let last = tokio::spawn(async move { socket.emit("last", 1).await });
        loop {
            let frame = client.next().await;
            if frame["event"] == "last" {
                break;
            }
            got.push(frame["data"][0].as_u64().unwrap());
        }
        last.await.unwrap().unwrap();
        assert_eq!(got.len() as u64 + dropped, 1000, "{limit}: each is delivered or counted: {got:?}");
        // Also where the one frame that the limit allows is with the writer, and nothing in the queue to displace.
        assert_eq!(got.last(), Some(&999), "{limit}: the newest is there: {got:?}");
    }
}

#[tokio::test]
async fn invariant_05_every_broadcast_is_delivered_or_counted_as_dropped() {
    for overflow in ["dropNewest", "dropOldest"] {
        let server =
            Server::narrow(json!({"outbox": {"messages": 1000, "bytes": 300_000, "overflow": overflow}})).await;
        let mut client = Client::narrow(&server).await;
        let socket = server.socket(&client);
        socket.join("room").await.unwrap();
        // Of all sizes: one large message takes the place of many small ones.
        for n in 0..400u64 {
            let bytes = if mixed(n).is_multiple_of(10) { 60_000 } else { 1000 };
            at_once(server.io.to("room").emit("n", (n, "x".repeat(bytes)))).unwrap();
            if n % 5 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let dropped = server.io.stats().dropped;
        let last = tokio::spawn(async move { socket.emit("last", 1).await });
        let mut got = 0;
        while client.next().await["event"] != "last" {
            got += 1;
        }
        last.await.unwrap().unwrap();
        assert!(dropped > 10, "{overflow}: it did overflow");
        assert_eq!(got + dropped, 400, "{overflow}");
    }
}

#[tokio::test]
async fn the_overflow_policy_can_be_chosen_for_each_emit() {
    let server = server("disconnect").await;
    let (mut client, socket, taken) = stalled(&server).await;
    let room = || server.io.to("room");
    assert_eq!(at_once(room().overflow(Overflow::DropNewest).emit("dropped", 1)), Ok(0));
    assert_eq!(at_once(room().volatile().emit("dropped", 2)), Ok(0));
    assert_eq!(
        at_once(room().overflow(Overflow::DropOldest).emit("dropped", 3)),
        Ok(0),
        "direct emits are not dropped"
    );
    assert!(socket.is_connected());
    assert_eq!(server.io.stats().dropped, 3);
    assert_eq!(at_once(room().emit("too many", 4)), Ok(0));
    assert!(!socket.is_connected());
    let (code, before) = client.closed().await;
    assert_eq!((code, &before.last().unwrap()["data"]["code"]), (1008, &json!("slow")));
    assert!(before.len() <= taken && before.iter().all(|frame| frame["event"] != "dropped"), "{before:?}");
}

#[tokio::test]
async fn a_request_to_a_room_whose_member_is_stalled_is_settled() {
    use futures::StreamExt;
    let server = server("dropNewest").await;
    let (_client, socket, _) = stalled(&server).await;
    let answers: Vec<_> = within("an answer", server.io.to("room").request::<Value>("q", 1).collect()).await;
    assert_eq!(answers, [(socket.id(), Err(eventwire::RequestError::Full))]);
    assert!(socket.is_connected(), "the question was dropped, not the member");
}

#[tokio::test]
async fn default_outbox_is_1024_messages_or_4_mib() {
    let server = Server::new().await;
    // Nothing is written before this task yields.
    let clients = server.clients(2).await;
    let (many, large) = (server.socket(&clients[0]), server.socket(&clients[1]));
    let full = |socket: &Socket, data: &str| (0..).find(|_| socket.try_emit("e", data).is_err()).unwrap();
    assert_eq!(full(&many, ""), 1024);
    assert_eq!(full(&large, &"x".repeat(1024 * 1024)), 3, "the fourth is a few bytes above 4 MiB");
    assert_eq!(large.try_emit("e", "x".repeat(1024 * 1024 - 500)), Ok(()));
}

#[tokio::test]
async fn a_message_larger_than_the_outbox_gets_through_alone() {
    let server = Server::with(json!({"outbox": {"bytes": 1000}})).await;
    let mut client = server.client().await;
    let socket = server.socket(&client);
    let large = "x".repeat(100_000);
    for n in 0..3 {
        within("its turn", socket.emit("large", (n, &large))).await.unwrap();
    }
    for n in 0..3 {
        assert_eq!(client.next().await["data"], json!([n, large]));
    }
}

#[tokio::test]
async fn invariant_06_one_stalled_member_holds_nobody_up() {
    let server = Server::narrow(json!({"outbox": {"messages": 64, "overflow": "dropNewest"}})).await;
    let (stalled, _, _) = stalled(&server).await;
    let mut readers = server.clients(5).await;
    for reader in &readers {
        server.socket(reader).join("room").await.unwrap();
    }
    let reading = readers.iter_mut().map(async |reader| {
        for n in 0..2_000 {
            assert_eq!(reader.next().await["data"][0], n, "none lost, in order");
        }
    });
    let start = Instant::now();
    let emitting = async {
        for n in 0..2_000 {
            // At its first poll: an emit waits for no member.
            assert_eq!(at_once(server.io.to("room").emit("n", (n, "x".repeat(100)))), Ok(5));
            // Those that read are not to be overrun.
            while server.io.stats().messages_out < 5 * (n as u64).saturating_sub(40) {
                tokio::task::yield_now().await;
            }
        }
    };
    let all = async { tokio::join!(emitting, futures::future::join_all(reading)) };
    within("all is read", all).await;
    assert!(start.elapsed() < Duration::from_secs(10), "the fault of StreamKit: 5 s for each: {:?}", start.elapsed());
    assert_eq!(server.io.stats().dropped, 2_000, "what the stalled one missed");
    drop(stalled);
}

#[tokio::test]
async fn a_paced_broadcast_waits_for_the_slowest_and_loses_nothing() {
    use eventwire::Pace;
    let server = Server::narrow(json!({"outbox": {"messages": 64}})).await;
    let mut slow = Client::narrow(&server).await;
    let mut fast = server.client().await;
    for client in [&slow, &fast] {
        server.socket(client).join("room").await.unwrap();
    }
    let io = server.io.clone();
    let emitting = tokio::spawn(async move {
        let pace = Pace::slowest(16 * 1024).at_most(Duration::from_secs(60));
        for n in 0..2_000 {
            let told = io.to("room").paced(pace).emit("n", (n, "x".repeat(200))).await;
            assert_eq!(told, Ok(2), "{n}");
        }
    });
    let slowly = async {
        for n in 0..2_000 {
            assert_eq!(slow.next().await["data"][0], n);
            if n % 500 == 0 {
                // A peer with pauses: the emitter waits, and nobody is cut.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let quickly = async {
        for n in 0..2_000 {
            assert_eq!(fast.next().await["data"][0], n);
        }
    };
    tokio::join!(slowly, quickly);
    emitting.await.unwrap();
    assert_eq!(server.io.stats().dropped, 0);
    // Where its time is up, it goes on, and says nothing of it.
    let stalled = clog(&server.socket(&slow)).await;
    assert!(stalled > 0);
    let pace = Pace::slowest(1024).at_most(Duration::from_millis(50));
    let start = Instant::now();
    let told = server.io.to("room").overflow(Overflow::DropNewest).paced(pace).emit("n", 1).await;
    assert_eq!(told, Ok(1), "one of two");
    let told = timeout(Duration::from_secs(5), server.io.to("room").volatile().paced(pace).emit("n", 1)).await;
    assert_eq!(told, Ok(Ok(1)));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_06_many_producers_of_one_slow_peer_lose_nothing_and_none_waits_for_ever() {
    // A wake-up that is lost between the check for room and the wait for it would show here.
    for messages in [1, 2, 16] {
        let server = Server::narrow(json!({"outbox": {"messages": messages}})).await;
        let mut client = Client::narrow(&server).await;
        let producers: Vec<_> = (0..4u64)
            .map(|task| {
                let socket = server.socket(&client);
                tokio::spawn(async move {
                    for n in 0..500u64 {
                        let data = (task, n, "x".repeat((mixed(n) % 300) as usize));
                        if mixed(n * 4 + task).is_multiple_of(3) {
                            socket.paced(eventwire::Pace::slowest(100)).emit("n", data).await.unwrap();
                        } else {
                            socket.emit("n", data).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0u64; 4];
        while next != [500; 4] {
            let frame = client.next().await;
            let task = frame["data"][0].as_u64().unwrap() as usize;
            assert_eq!(frame["data"][1], next[task], "{messages}: each task's own order");
            next[task] += 1;
        }
        for producer in producers {
            within("it is done", producer).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_backlog_is_what_waits_in_the_outbox_and_in_rooms_that_remember() {
    let server = Server::narrow(json!({"outbox": {"messages": 64}})).await;
    server.io.rooms("log").history(eventwire::History::messages(100));
    let client = Client::narrow(&server).await;
    let socket = server.socket(&client);
    until("`connected` is sent", || socket.backlog().messages == 0).await;
    clog(&socket).await;
    let outbox = settled(|| socket.backlog()).await;
    assert!(outbox.messages >= 64 && outbox.bytes > 64 * 4000, "{outbox:?}");
    socket.join("log").await.unwrap();
    for _ in 0..3 {
        server.io.to("log").emit("e", "x".repeat(1000)).await.unwrap();
    }
    let all = socket.backlog();
    assert_eq!(all.messages, outbox.messages + 3);
    assert!((outbox.bytes + 3000..outbox.bytes + 4000).contains(&all.bytes), "{outbox:?} {all:?}");
}
