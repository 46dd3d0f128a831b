//! Many at once, and what is left afterwards: in processes of their own, where it can be counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Handle;

use crate::kit::*;
use crate::support::*;

const MIB: usize = 1024 * 1024;

/// Members that never read beside members that do: the latter get everything, and memory is bounded.
async fn those_who_never_read_harm_nobody(deaf: usize, readers: usize, messages: u64) {
    raise_file_limit();
    let server = Server::with(json!({"outbox": {"bytes": "1MiB"}})).await;
    server.io.rooms("room").public();
    let mut never_read = Vec::new();
    for _ in 0..deaf {
        let client = Client::narrow(&server).await;
        server.socket(&client).join("room").await.unwrap();
        never_read.push(client);
    }
    let (mut reading, mut progress) = (Vec::new(), Vec::new());
    for _ in 0..readers {
        // Those of tungstenite keep large buffers, which would be measured along.
        let mut client = server.raw().await;
        client.write(&text_frame(r#"{"event":"subscribe","data":"room","id":1}"#)).await;
        assert_eq!(client.frame().await.unwrap().json()["event"], "ack");
        let has_read = Arc::new(AtomicU64::new(0));
        progress.push(has_read.clone());
        reading.push(tokio::spawn(async move {
            for n in 0..messages {
                let frame = client.frame().await.unwrap();
                let begins = format!(r#"{{"event":"n","room":"room","data":[{n},"x"#);
                assert!(frame.payload.starts_with(begins.as_bytes()), "{n}: {frame:?}");
                has_read.store(n + 1, Ordering::Relaxed);
            }
            client
        }));
    }
    let data = "x".repeat(4000);
    let (mut longest, mut before, mut most) = (Duration::ZERO, 0, 0);
    for n in 0..messages {
        let start = Instant::now();
        let told = at_once(server.io.to("room").emit("n", (n, &data))).unwrap();
        longest = longest.max(start.elapsed());
        assert!(told >= readers, "nobody who reads is cut: {told} of {readers} at {n}");
        // Paced by those who read, by hand: a paced emit would wait for those who do not.
        let slowest = || progress.iter().map(|read| read.load(Ordering::Relaxed)).min().unwrap();
        if n % 16 == 0 {
            until("those who read have read", || slowest() + 100 > n).await;
            most = most.max(resident());
        }
        // By then the clients, which are in this process too, have their buffers.
        if n == 128 {
            before = resident();
        }
    }
    for client in reading {
        drop(client.await.unwrap());
    }
    let stats = server.io.stats();
    // By default, who does not keep up is disconnected.
    assert_eq!(stats.dropped, deaf as u64, "{stats:?}");
    assert!(stats.messages_out > readers as u64 * messages);
    // All frames are shared; what the deaf hold, up to a MiB each, is the same.
    let grown = most.saturating_sub(before);
    println!("{} KiB at first, {} KiB more at most", before / 1024, grown / 1024);
    assert!(grown < 16 * MIB, "{} MiB", grown / MIB);
    assert!(longest < Duration::from_secs(1), "an emit waits for nobody: {longest:?}");
    drop(never_read);
    until("all are gone", || server.io.stats().sockets == 0).await;
    assert_eq!((server.io.stats().rooms, server.io.stats().members), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_20_that_never_read_beside_200_that_do() {
    if is_alone("load::load_20_that_never_read_beside_200_that_do") {
        those_who_never_read_harm_nobody(20, 200, 500).await;
    }
}

#[ignore = "takes ten seconds"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_100_that_never_read_beside_1000_that_do() {
    if is_alone("load::load_100_that_never_read_beside_1000_that_do") {
        those_who_never_read_harm_nobody(100, 1000, 1000).await;
    }
}

/// Connections that come, do something and go in every way; then everything is as it was.
async fn connect_and_close(connections: usize) {
    raise_file_limit();
    let server = Server::with(json!({"drainTimeout": "100ms"})).await;
    server.io.rooms("room:*").public();
    server.io.on::<()>("hang", async |_, ()| std::future::pending::<()>().await);
    server.io.on::<()>("kick", async |socket: eventwire::Socket, ()| socket.disconnect());
    server.io.on_disconnect(async |_, _| tokio::task::yield_now().await);
    let one = async |n: usize| {
        let mut client = server.client().await;
        let room = format!("room:{}", n % 7);
        client.request("subscribe", json!([room, format!("room:own:{n}")])).await.unwrap();
        let socket = server.socket(&client);
        match n % 5 {
            0 => client.close().await,
            1 => drop(client),
            2 => {
                client.ask("kick", json!(null)).await;
                assert_eq!(client.closed().await.0, 1000);
            }
            3 => {
                // A handler that hangs, and a request that nobody answers.
                client.ask("hang", json!(null)).await;
                let asking = tokio::spawn(async move { socket.request::<()>("question", 1).await });
                client.expect("question").await;
                drop(client);
                assert_eq!(asking.await.unwrap(), Err(eventwire::RequestError::Disconnected));
            }
            _ => {
                socket.on::<()>("own", async |_, ()| ());
                client.send_text("no envelope").await;
                client.request("own", json!(null)).await.unwrap();
                client.close().await;
            }
        }
    };
    let batch = async |from: usize, to: usize| {
        futures::future::join_all((from..to).map(&one)).await;
    };
    // A first batch makes what stays: threads' buffers, the room map's tables.
    batch(0, 100).await;
    let gone = || server.io.stats().sockets == 0;
    until("the first are gone", gone).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    // The listener stays, and who watches.
    until("their tasks, too", || tasks() <= 2).await;
    let (files, before) = (open_files(), resident());
    for from in (100..100 + connections).step_by(100) {
        batch(from, from + 100).await;
    }
    until("all are gone", gone).await;
    let stats = server.io.stats();
    assert_eq!((stats.rooms, stats.members, stats.connected), (0, 0, 100 + connections as u64));
    assert_eq!(server.io.rooms_list(), Vec::<String>::new());
    until("every task has ended", || tasks() <= 2).await;
    until("every descriptor is closed", || open_files() <= files).await;
    let grown = resident().saturating_sub(before);
    // Less than 100 bytes for each of 100,000, and what the allocator keeps.
    assert!(grown < 16 * MIB, "{} KiB", grown / 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_2000_connect_and_close_leave_nothing() {
    if is_alone("load::load_2000_connect_and_close_leave_nothing") {
        connect_and_close(2_000).await;
    }
}

#[ignore = "takes minutes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_100000_connect_and_close_leave_nothing() {
    if is_alone("load::load_100000_connect_and_close_leave_nothing") {
        connect_and_close(100_000).await;
    }
}
