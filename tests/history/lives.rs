//! What a room keeps, for how long, and how it begins anew.

use std::time::Duration;

use eventwire::History;
use serde_json::json;

use crate::follow::*;
use crate::support::*;

#[tokio::test]
async fn what_is_kept_can_be_read() {
    let server = server(History::messages(5)).await;
    let room = server.io.room("log");
    assert_eq!((room.first_seq(), room.last_seq(), room.len(), room.bytes(), room.epoch()), (1, 0, 0, 0, None));
    assert!(room.is_empty() && room.read(..).is_empty());
    publish(&server.io, "log", 12).await;
    assert_eq!((room.first_seq(), room.last_seq(), room.len()), (8, 12, 5));
    let frame = |n: u64| json!({"event": "n", "room": "log", "seq": n, "data": n}).to_string().len() + 2;
    assert_eq!(room.bytes(), (8..=12).map(frame).sum::<usize>());
    let read = |range: Vec<eventwire::Logged>| range.iter().map(|message| message.seq).collect::<Vec<u64>>();
    assert_eq!(read(room.read(..)), [8, 9, 10, 11, 12]);
    assert_eq!(read(room.read(10..)), [10, 11, 12]);
    assert_eq!(read(room.read(..=9)), [8, 9]);
    assert_eq!(read(room.read(..9)), [8]);
    assert_eq!(read(room.read(9..11)), [9, 10]);
    assert_eq!(read(room.read((std::ops::Bound::Excluded(9), std::ops::Bound::Included(11)))), [10, 11]);
    for (from, to) in [(0, 8), (13, 20), (11, 9), (0, 0), (u64::MAX, u64::MAX)] {
        assert!(read(room.read(from..to)).is_empty(), "{from}..{to}");
    }
    assert_eq!(room.read(12..)[0].decode::<u64>().unwrap(), 12);
    assert_eq!(server.io.room("plain").last_seq(), 0);
    let stats = server.io.stats();
    assert_eq!((stats.logs, stats.logged_messages, stats.logged_bytes), (1, 5, room.bytes()));
    assert_eq!(stats.rooms, 0, "without members it is no room of those");
}

#[tokio::test]
async fn bounds_hold_exactly_and_the_newest_is_kept_however_large() {
    let server = server(History::bytes(1000)).await;
    let room = server.io.room("log");
    for n in 0..200u64 {
        server.io.to("log").emit("n", "x".repeat(crate::kit::mixed(n) as usize % 300)).await.unwrap();
        assert!(room.bytes() <= 1000, "{}", room.bytes());
        let sizes: usize = room.read(..).iter().map(size).sum();
        assert_eq!(sizes, room.bytes());
    }
    let before = room.last_seq();
    server.io.to("log").emit("n", "x".repeat(5000)).await.unwrap();
    assert_eq!((room.len(), room.first_seq(), room.last_seq()), (1, before + 1, before + 1));
    let mut client = server.client_in("log").await;
    assert_eq!(client.next().await["data"].as_str().unwrap().len(), 5000);
    server.io.to("log").emit("n", 1).await.unwrap();
    assert_eq!((room.len(), room.first_seq()), (1, before + 2));
    // As much as fits is kept, not less.
    let frame = json!({"event": "n", "room": "log:exact", "seq": 30, "data": 1}).to_string().len() + 2;
    server.io.rooms("log:exact").history(History::bytes(10 * frame));
    (0..30).for_each(|_| drop(crate::kit::at_once(server.io.to("log:exact").emit("n", 1))));
    assert_eq!(server.io.room("log:exact").len(), 10);
    server.io.rooms("log:one").history(History::messages(0));
    publish(&server.io, "log:one", 3).await;
    assert_eq!((server.io.room("log:one").len(), server.io.room("log:one").first_seq()), (1, 3));
}

/// The frame of a message in the room `log`.
fn size(message: &eventwire::Logged) -> usize {
    let text = json!({"event": message.event, "room": "log", "seq": message.seq, "data": message.data}).to_string();
    text.len() + if text.len() < 126 { 2 } else { 4 }
}

#[tokio::test]
async fn clear_begins_another_life_with_number_one() {
    let server = server(History::messages(8)).await;
    let mut client = server.client().await;
    let mut follower = follow(&mut client, json!("log")).await;
    for life in 0..5 {
        publish(&server.io, "log", 12).await;
        if life != 3 {
            // In one life it is cleared before anything of it is read.
            while follower.next != Some(13) {
                assert!(follower.take(&client.next().await));
            }
        }
        let before = server.io.room("log").epoch().unwrap();
        server.io.room("log").clear();
        let room = server.io.room("log");
        assert_eq!((room.first_seq(), room.last_seq(), room.len(), room.bytes()), (1, 0, 0, 0));
        let epoch = room.epoch().unwrap();
        assert_ne!(epoch, before);
        let gap = client.wait_for(|frame| frame["event"] == "gap" && frame["data"]["epoch"] == *epoch).await;
        let told = json!({"room": "log", "epoch": &*epoch, "from": null, "to": null, "reason": "epoch"});
        assert_eq!(gap["data"], told);
        follower = Follower { room: "log".into(), epoch: epoch.to_string(), next: Some(1), ..Follower::default() };
    }
    // Who comes with the last life's epoch is told so.
    publish(&server.io, "log", 3).await;
    let mut late = server.client().await;
    let ack = late.request("subscribe", json!({"room": "log", "since": 2, "epoch": "before"})).await.unwrap();
    assert_eq!((&ack["seq"], &ack["from"]), (&json!(3), &json!(1)));
    assert_eq!(late.next().await["data"]["reason"], "epoch");
    assert_eq!(seqs(&arrived(&mut late).await), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clears_under_publishers_keep_every_life_contiguous() {
    let server = server(History::messages(10_000)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.client_in("log").await);
    }
    let io = server.io.clone();
    let publishing = tokio::spawn(async move {
        for n in 1..=3_000 {
            io.to("log").emit("n", n).await.unwrap();
            if n % 100 == 0 {
                io.room("log").clear();
            }
            tokio::task::yield_now().await;
        }
        io.to("log").emit("end", 0).await.unwrap();
    });
    for client in &mut clients {
        let (mut next, mut last) = (1, 0);
        loop {
            let frame = client.next().await;
            if frame["event"] == "gap" {
                assert_eq!(frame["data"]["reason"], "epoch");
                next = 1;
                continue;
            }
            assert_eq!(frame["seq"], next, "{frame}");
            next += 1;
            if frame["event"] == "end" {
                break;
            }
            let n = frame["data"].as_u64().unwrap();
            assert!(n > last, "{n} after {last}");
            last = n;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_room_that_nobody_needs_any_more_is_gone_and_another_life_follows() {
    let server = server(History::default().ttl(Duration::from_millis(100))).await;
    publish(&server.io, "log", 3).await;
    let epoch = server.io.room("log").epoch().unwrap();
    let client = server.client_in("log:2").await;
    until("nobody was there", || server.io.stats().logs == 1).await;
    assert_eq!(server.io.room("log").epoch(), None);
    publish(&server.io, "log", 1).await;
    assert_ne!(server.io.room("log").epoch().unwrap(), epoch);
    // With a member it stays, though its messages go.
    publish(&server.io, "log:2", 3).await;
    let epoch = server.io.room("log:2").epoch();
    until("the messages are too old", || server.io.room("log:2").is_empty()).await;
    until("the other is gone", || server.io.stats().logs == 1).await;
    let room = server.io.room("log:2");
    assert_eq!((room.epoch(), room.last_seq(), room.first_seq(), room.bytes()), (epoch, 3, 4, 0));
    client.close().await;
    until("the last member has left", || server.io.stats().logs == 0).await;
    assert_eq!((server.io.stats().members, server.io.rooms_list().len()), (0, 0));
}

/// Comes into rooms in which nothing was said and leaves them, a thousand at a time.
async fn leave_behind(client: &mut Client, rounds: u64) {
    for round in 0..rounds {
        let rooms: Vec<String> = (0..1000).map(|n| format!("log:{round}-{n}")).collect();
        client.request("subscribe", json!(rooms)).await.unwrap();
        client.request("unsubscribe", json!(rooms)).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_comes_and_goes_leaves_so_many_rooms_behind_and_no_more() {
    let server = server(History::default()).await;
    let mut client = server.client().await;
    leave_behind(&mut client, 6).await;
    assert_eq!(server.io.stats().logs, 4096, "nothing was said in them");
    assert!(server.io.room("log:5-999").epoch().is_some() && server.io.room("log:0-0").epoch().is_none());
}

#[tokio::test]
async fn a_room_that_was_left_behind_and_is_needed_again_is_not_forgotten_for_others() {
    let server = server(History::default()).await;
    let (mut client, mut member) = (server.client().await, server.client().await);
    let rooms = json!(["log:member", "log:message", "log:nobody"]);
    client.request("subscribe", rooms.clone()).await.unwrap();
    client.request("unsubscribe", rooms).await.unwrap();
    // These were the first to be left.
    let epoch = |room: &str| server.io.room(room).epoch();
    let before = [epoch("log:member"), epoch("log:message")];
    member.request("subscribe", json!("log:member")).await.unwrap();
    server.io.to("log:message").emit("n", 1).await.unwrap();
    leave_behind(&mut client, 5).await;
    assert_eq!(epoch("log:nobody"), None, "so many were left after it");
    assert_eq!([epoch("log:member"), epoch("log:message")], before);
    assert_eq!(server.io.room("log:message").last_seq(), 1);
    assert_eq!(server.io.to("log:member").emit("n", 2).await, Ok(1));
    assert_eq!(member.next().await, json!({"event": "n", "room": "log:member", "seq": 1, "data": 2}));
}

/// Else one client that comes and goes would push out what others left.
#[tokio::test]
async fn a_room_that_is_left_many_times_has_one_place() {
    let server = server(History::default()).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    other.request("subscribe", json!("log:other")).await.unwrap();
    other.request("unsubscribe", json!("log:other")).await.unwrap();
    let epoch = server.io.room("log:other").epoch();
    assert!(epoch.is_some());
    let socket = server.io.socket(client.id.parse().unwrap()).unwrap();
    for _ in 0..5000 {
        socket.join("log:again").await.unwrap();
        socket.leave("log:again");
    }
    assert_eq!(server.io.room("log:other").epoch(), epoch);
    assert_eq!(server.io.stats().logs, 2);
    client.expect_nothing().await;
}

#[tokio::test]
async fn who_lost_its_connection_before_the_first_message_finds_the_same_room() {
    let server = server(History::default()).await;
    let mut client = server.client().await;
    let epoch = client.request("subscribe", json!("log")).await.unwrap()["epoch"].clone();
    drop(client);
    until("it is gone", || server.io.stats().sockets == 0).await;
    server.io.to("log").emit("n", 1).await.unwrap();
    let mut client = server.client().await;
    client.request("subscribe", json!({"room": "log", "since": 0, "epoch": epoch})).await.unwrap();
    assert_eq!(client.next().await["data"], 1, "and no gap");
}

#[tokio::test]
async fn nothing_is_kept_for_a_room_that_none_can_subscribe_to() {
    let server = server(History::default()).await;
    for name in ["log:with space", &format!("log:{}", "x".repeat(300)), "log:\"quoted\""] {
        server.io.to(name).emit("n", 1).await.unwrap();
    }
    assert_eq!(server.io.stats().logs, 0);
    server.io.to("log:1").emit("n", 1).await.unwrap();
    assert_eq!(server.io.stats().logs, 1);
}

#[tokio::test]
async fn a_room_that_is_to_be_forgotten_goes_with_its_last_member() {
    let server = server(History::default()).await;
    let mut client = server.client_in("log").await;
    server.io.to("log").emit("n", 1).await.unwrap();
    server.io.room("log").forget();
    assert_eq!(client.next().await["data"], 1, "who is there misses nothing");
    assert_eq!(server.io.stats().logs, 1);
    client.request("unsubscribe", json!("log")).await.unwrap();
    until("it is gone", || server.io.stats().logs == 0).await;
    server.io.to("log").emit("n", 2).await.unwrap();
    assert_eq!(server.io.room("log").last_seq(), 1, "another life");
    server.io.room("log").forget();
    assert_eq!(server.io.stats().logs, 0, "at once where nobody is there");
    client.request("subscribe", json!("log")).await.unwrap();
    server.io.to("log").emit("n", 3).await.unwrap();
    server.io.room("log").forget();
    server.io.to("log").emit("n", 4).await.unwrap();
    client.request("unsubscribe", json!("log")).await.unwrap();
    assert_eq!(server.io.stats().logs, 1, "a message lets it live on");
}
