//! Who gets what: exceptions, several rooms in one broadcast, and what is not kept.

use eventwire::{EmitError, Except, History};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::follow::*;

#[tokio::test]
async fn who_is_left_out_sees_a_jump_without_a_gap_and_others_get_it_in_replay() {
    let server = server(History::default()).await;
    let (mut author, mut other) = (server.client_in("log").await, server.client_in("log").await);
    let socket = server.socket(&author);
    for n in 1..=9 {
        let told = match n % 3 {
            0 => socket.to("log").emit("n", n).await,
            1 => server.io.to("log").emit("n", n).await,
            _ => server.io.to("log").except(&server.socket(&other)).emit("n", n).await,
        };
        assert_eq!(told, Ok(if n % 3 == 1 { 2 } else { 1 }), "{n}");
    }
    assert_eq!(seqs(&arrived(&mut author).await), [1, 2, 4, 5, 7, 8]);
    assert_eq!(seqs(&arrived(&mut other).await), [1, 3, 4, 6, 7, 9]);
    let mut late = server.client().await;
    follow(&mut late, json!("log")).await.read_to(&mut late, 9).await;
    // Those left out do not get it when they go back, either.
    let epoch = server.io.room("log").epoch().unwrap();
    let place = json!({"room": "log", "since": 1, "epoch": &*epoch});
    author.request("subscribe", place.clone()).await.unwrap();
    assert_eq!(seqs(&arrived(&mut author).await), [2, 4, 5, 7, 8]);
    other.request("subscribe", place).await.unwrap();
    assert_eq!(seqs(&arrived(&mut other).await), [3, 4, 6, 7, 9]);
    assert_eq!(server.io.stats().gaps, 0);
}

#[tokio::test]
async fn members_of_an_excepted_room_are_those_of_the_moment() {
    let server = server(History::default()).await;
    let (mut vip, mut other) = (server.client_in("log").await, server.client_in("log").await);
    server.socket(&vip).join("plain:vip").await.unwrap();
    server.socket(&vip).join("log:vip").await.unwrap();
    for room in ["plain:vip", "log:vip", "nobody"] {
        server.io.to("log").except(room).emit("n", room).await.unwrap();
    }
    server.socket(&vip).leave("plain:vip");
    server.io.to("log").except("plain:vip").emit("n", 4).await.unwrap();
    assert_eq!(seqs(&arrived(&mut vip).await), [3, 4]);
    assert_eq!(seqs(&arrived(&mut other).await), [1, 2, 3, 4]);
    server.socket(&vip).join("plain:vip").await.unwrap();
    let epoch = server.io.room("log").epoch().unwrap();
    vip.request("subscribe", json!({"room": "log", "since": 0, "epoch": &*epoch})).await.unwrap();
    assert_eq!(seqs(&arrived(&mut vip).await), [3, 4], "as it was when they were emitted");
}

#[tokio::test]
async fn who_is_left_out_twice_is_counted_once() {
    let server = server(History::default()).await;
    let mut client = server.client_in("log").await;
    let socket = server.socket(&client);
    socket.join("plain:too").await.unwrap();
    socket.join("log:too").await.unwrap();
    let except_both = || server.io.to("log").except(&socket).except(Except::Room("plain:too"));
    assert_eq!(except_both().emit("n", 1).await, Ok(0));
    assert_eq!(except_both().except("log:too").emit("n", 2).await, Ok(0));
    assert_eq!(server.io.to("log").except(&socket).except(&socket).emit("n", 3).await, Ok(0));
    assert_eq!(server.io.to("log").except(&socket).except(socket.id()).except(&socket).emit("n", 4).await, Ok(0));
    let other = server.client_in("log").await;
    assert_eq!(except_both().emit("n", 5).await, Ok(1));
    assert_eq!(server.io.to("log").emit("n", 6).await, Ok(2));
    assert_eq!(seqs(&arrived(&mut client).await), [6]);
    drop(other);
}

#[tokio::test]
async fn a_run_that_is_for_others_alone_is_passed_over_and_delivery_goes_on() {
    let server = server(History::bytes(8 << 20)).await;
    let mut client = server.client_in("log").await;
    let socket = server.socket(&client);
    // More than a turn of the writer's.
    let data = "x".repeat(1000);
    for _ in 0..500 {
        socket.to("log").emit("n", &data).await.unwrap();
    }
    server.io.to("log").emit("end", 1).await.unwrap();
    let frame = client.next().await;
    assert_eq!((&frame["event"], &frame["seq"]), (&json!("end"), &json!(501)));
}

#[tokio::test]
async fn each_room_with_history_has_its_own_copy_and_those_without_one_for_each_socket() {
    let server = server(History::default()).await;
    let mut client = server.client().await;
    let rooms = json!(["log:1", "log:2", "plain:1", "plain:2"]);
    client.request("subscribe", rooms).await.unwrap();
    let io = &server.io;
    let told = io.to("plain:2").to("log:1").to("plain:1").to("log:2").to("log:3").emit("n", 1).await;
    assert_eq!(told, Ok(3));
    let mut frames = arrived(&mut client).await;
    frames.sort_by_key(|frame| frame["room"].to_string());
    let rooms: Vec<&Value> = frames.iter().map(|frame| &frame["room"]).collect();
    assert_eq!(rooms, ["log:1", "log:2", "plain:2"], "of those without history, the first that was named");
    assert_eq!([&frames[0]["seq"], &frames[1]["seq"], &frames[2]["seq"]], [&json!(1), &json!(1), &Value::Null]);
    let kept = ["log:1", "log:2", "log:3", "plain:1"].map(|room| io.room(room).len());
    assert_eq!(kept, [1, 1, 1, 0], "it is kept where nobody is, too");
}

#[tokio::test]
async fn a_room_named_twice_keeps_one_copy() {
    let server = server(History::default()).await;
    let mut client = server.client_in("log").await;
    assert_eq!(server.io.to("log").to("log").emit("n", 1).await, Ok(1));
    assert_eq!(server.io.to("log").to("plain").to("log").emit("n", 2).await, Ok(1));
    assert_eq!(seqs(&arrived(&mut client).await), [1, 2]);
    assert_eq!(server.io.room("log").last_seq(), 2);
}

#[tokio::test]
async fn what_is_volatile_or_a_question_is_neither_kept_nor_numbered() {
    let server = server(History::default()).await;
    let mut client = server.client_in("log").await;
    assert_eq!(server.io.to("log").volatile().emit("meter", 1).await, Ok(1));
    assert_eq!(client.next().await, json!({"event": "meter", "room": "log", "data": 1}));
    let mut votes = server.io.to("log").request::<u32>("vote?", "now");
    assert_eq!(client.reply("vote?", json!(7)).await, "now");
    assert_eq!(votes.next().await.map(|(_, vote)| vote), Some(Ok(7)));
    assert!(votes.next().await.is_none());
    assert_eq!((server.io.room("log").last_seq(), server.io.room("log").len()), (0, 0));
    publish(&server.io, "log", 1).await;
    assert_eq!(client.next().await["seq"], 1);
    // Nobody is there to miss it, and no room is made for it.
    assert_eq!(server.io.to("log:empty").volatile().emit("meter", 1).await, Ok(0));
    assert_eq!((server.io.stats().logs, server.io.room("log:empty").epoch()), (1, None));
}

#[tokio::test]
async fn an_error_to_the_room_is_kept_as_other_messages_are() {
    let server = server(History::default()).await;
    let mut client = server.client_in("log").await;
    assert_eq!(server.io.to("log").error("lost", "it is").await, Ok(1));
    let told = json!({"event": "error", "room": "log", "seq": 1, "data": {"code": "lost", "message": "it is"}});
    assert_eq!(client.next().await, told);
    let mut late = server.client_in("log").await;
    assert_eq!(late.next().await, told);
    let kept = server.io.room("log").read(..);
    assert_eq!((kept[0].seq, &*kept[0].event), (1, "error"));
    let refused = server.io.to("log").emit("gap", 1).await;
    assert!(matches!(refused, Err(EmitError::Name(_))), "{refused:?}");
    assert_eq!(server.io.room("log").last_seq(), 1, "what is no event's name takes no number");
}

#[tokio::test]
async fn everyone_is_no_room_with_history() {
    let server = server(History::default()).await;
    server.io.rooms("*").history(History::default());
    let mut client = server.client().await;
    server.io.emit("n", 1).await.unwrap();
    assert_eq!(client.next().await, json!({"event": "n", "data": 1}));
    assert_eq!(server.io.stats().logs, 0);
}

#[tokio::test]
async fn whom_messages_leave_out_counts_toward_what_is_kept() {
    let server = server(History::bytes(64 * 1024)).await;
    let members = server.clients(100).await;
    for member in &members {
        server.socket(member).join("plain:crowd").await.unwrap();
    }
    for n in 0..500 {
        server.io.to("log").except("plain:crowd").emit("n", n).await.unwrap();
    }
    let kept = server.io.room("log").len();
    assert!((20..=40).contains(&kept), "each takes 1,600 bytes for the ids alone: {kept}");
    for n in 0..500 {
        server.io.to("log").emit("n", n).await.unwrap();
    }
    let kept = server.io.room("log").len();
    assert!((500..540).contains(&kept), "messages for everybody cost no more than they are: {kept}");
    // Nor does another life of the room count what was in the one before.
    for n in 0..500 {
        server.io.to("log").except("plain:crowd").emit("n", n).await.unwrap();
    }
    server.io.room("log").clear();
    for n in 0..500 {
        server.io.to("log").emit("n", n).await.unwrap();
    }
    assert_eq!(server.io.room("log").len(), 500);
    drop(members);
}
