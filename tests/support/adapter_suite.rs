//! What every [`Adapter`] has to do, as one suite: an adapter's test calls [`conformance`] with a way
//! to make so many of it that are joined, and nothing else.
//!
//! What must not arrive is shown without waiting for it: a `fence` that the same task publishes
//! after it arrives after it.
#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "adapter_interest.rs"]
mod interest;
#[path = "adapter_nodes.rs"]
mod nodes;

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventwire::Adapter;
use futures::StreamExt;
use futures::future::join_all;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::nodes::{Node, heard, nodes};
use crate::support::*;

/// The suite. `filters`: a message to rooms goes only to nodes that are interested in one of them, as it
/// should; an adapter that sends more than it must passes the rest.
pub async fn conformance<A: Adapter>(make: impl AsyncFn(usize) -> Vec<A>, filters: bool) {
    alone(make(1).await.remove(0)).await;
    rooms_reach_members_on_both_nodes(&make).await;
    everyone_is_on_all_nodes(&make).await;
    exceptions_hold_on_the_other_node(&make).await;
    local_stays_here(&make).await;
    what_is_sent_arrives_as_it_was(&make).await;
    one_tasks_messages_arrive_in_order(&make).await;
    nothing_comes_twice(&make).await;
    nothing_comes_back(&make).await;
    interest::interest_is_there_before_a_join_is_done(&make).await;
    interest::interest_survives_a_leave_and_a_join(&make).await;
    interest::interest_ends_with_the_last_member(&make, filters).await;
    interest::races_of_joins_and_leaves_end_in_the_truth(&make).await;
    interest::races_of_joins_and_disconnects_end_in_the_truth(&make).await;
    close_ends_it_and_shutdown_closes(&make).await;
}

/// The part that one node alone can show.
pub async fn alone<A: Adapter>(adapter: A) {
    let node = Node::new(adapter).await;
    let (mut a, mut b) = (node.member("public:r").await, node.member("public:r").await);
    let mut other = node.server.client().await;
    let io = &node.server.io;
    let socket = node.socket(&a);
    assert_eq!(io.to("public:r").emit("n", 1).await, Ok(2));
    assert_eq!(socket.to("public:r").emit("n", 2).await, Ok(1), "one does not hear oneself");
    assert_eq!(io.to("public:r").except(&socket).emit("n", 3).await, Ok(1));
    assert_eq!(io.except("public:r").emit("n", 4).await, Ok(1));
    assert_eq!(io.to("public:r").local().emit("n", 5).await, Ok(2));
    assert_eq!(io.to("public:r").volatile().emit("n", 6).await, Ok(2));
    assert_eq!(io.to("public:nobody").emit("n", 7).await, Ok(0));
    node.fence().await;
    assert_eq!(heard(&mut a).await, [1, 5, 6]);
    assert_eq!(heard(&mut b).await, [1, 2, 3, 5, 6]);
    assert_eq!(heard(&mut other).await, [4]);
    assert_eq!(node.seen.arrived(), 0, "there is nobody from whom it could have come");
    assert_eq!(io.shutdown(Duration::from_secs(5)).await, 0);
    assert!(node.seen.closed.load(Ordering::SeqCst));
}

async fn rooms_reach_members_on_both_nodes<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let (mut a, mut a2) = (one.member("public:r").await, one.member("public:r").await);
    let mut b = two.member("public:r").await;
    let mut other = two.member("public:other").await;
    assert_eq!(one.server.io.to("public:r").emit("n", 1).await, Ok(2), "it counts the members here");
    one.fence().await;
    for client in [&mut a, &mut a2, &mut b] {
        assert_eq!(heard(client).await, [1]);
    }
    assert!(heard(&mut other).await.is_empty());
    assert_eq!(two.server.io.to("public:r").to("public:other").emit("n", 2).await, Ok(2));
    two.fence().await;
    for client in [&mut a, &mut a2, &mut b, &mut other] {
        assert_eq!(heard(client).await, [2]);
    }
    // From a node without members, and as an error.
    let mut told = two.member("public:told").await;
    assert_eq!(one.server.io.to("public:told").emit("n", 3).await, Ok(0));
    assert_eq!(one.server.io.to("public:told").error("gone", "no more").await, Ok(0));
    assert_eq!(told.expect("n").await, 3);
    assert_eq!(told.expect("error").await, json!({"code": "gone", "message": "no more"}));
}

async fn everyone_is_on_all_nodes<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two, three] = nodes(make).await;
    let mut clients = vec![one.server.client().await, two.member("public:r").await];
    clients.extend(three.server.clients(2).await);
    assert_eq!(one.server.io.emit("n", 1).await, Ok(1));
    assert_eq!(two.server.io.emit("n", 2).await, Ok(1));
    assert_eq!(three.server.io.emit("n", 3).await, Ok(2));
    for client in &mut clients {
        // Of different nodes in any order.
        let mut numbers = [client.expect("n").await, client.expect("n").await, client.expect("n").await];
        numbers.sort_by_key(Value::as_u64);
        assert_eq!(numbers, [1, 2, 3]);
    }
    one.fence().await;
    for client in &mut clients {
        assert!(heard(client).await.is_empty());
    }
}

async fn exceptions_hold_on_the_other_node<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut a = one.member("public:r").await;
    let (mut b, mut quiet) = (two.member("public:r").await, two.member("public:r").await);
    quiet.request("subscribe", json!("public:quiet")).await.unwrap();
    let io = &one.server.io;
    let b_id = two.socket(&b).id();
    let quiet_id = two.socket(&quiet).id();
    assert_eq!(io.to("public:r").except(b_id).emit("n", 1).await, Ok(1));
    assert_eq!(io.to("public:r").except("public:quiet").emit("n", 2).await, Ok(1));
    assert_eq!(io.except(b_id).except(quiet_id).emit("n", 3).await, Ok(1));
    assert_eq!(io.to("public:r").except(b_id).except("public:quiet").emit("n", 4).await, Ok(1));
    // What a socket says to its room.
    assert_eq!(one.socket(&a).to("public:r").emit("n", 5).await, Ok(0));
    assert_eq!(one.socket(&a).broadcast().emit("n", 6).await, Ok(0));
    one.fence().await;
    assert_eq!(heard(&mut a).await, [1, 2, 3, 4]);
    assert_eq!(heard(&mut b).await, [2, 5, 6]);
    assert_eq!(heard(&mut quiet).await, [1, 5, 6]);
}

async fn local_stays_here<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let (mut a, mut b) = (one.member("public:r").await, two.member("public:r").await);
    assert_eq!(one.server.io.to("public:r").local().emit("n", 1).await, Ok(1));
    assert_eq!(one.server.io.local().emit("n", 2).await, Ok(1));
    one.fence().await;
    assert_eq!(heard(&mut a).await, [1, 2]);
    assert!(heard(&mut b).await.is_empty());
    assert_eq!(two.seen.arrived(), 1, "only the fence was sent");
}

async fn what_is_sent_arrives_as_it_was<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut b = two.member("public:r").await;
    let io = &one.server.io;
    // Every digit, every character, nothing and much.
    let number: Box<RawValue> = serde_json::from_str("123456789012345678901234567890.10e-1").unwrap();
    io.to("public:r").emit("an event é\"", &number).await.unwrap();
    let text = next_text(&mut b).await;
    assert!(text.contains("123456789012345678901234567890.10e-1") && text.contains("public:r"), "{text}");
    let much = json!({"text": "é\u{0}\u{1f600}\"\\".repeat(20_000), "nothing": null});
    io.to("public:r").emit("much", &much).await.unwrap();
    assert_eq!(b.expect("much").await, much);
    io.to("public:r").emit("nothing", ()).await.unwrap();
    assert_eq!(b.expect("nothing").await, Value::Null);
    // Whoever keeps up gets what is volatile.
    io.to("public:r").volatile().emit("volatile", 1).await.unwrap();
    assert_eq!(b.wait_for(|frame| frame["event"] == "volatile").await["room"], "public:r");
    io.volatile().emit("volatile", 2).await.unwrap();
    assert_eq!(b.wait_for(|frame| frame["event"] == "volatile").await, json!({"event": "volatile", "data": 2}));
}

/// The text of the next frame, as it came.
async fn next_text(client: &mut Client) -> String {
    let message = within("a frame", client.ws.next()).await.unwrap().unwrap();
    message.into_text().unwrap().to_string()
}

async fn one_tasks_messages_arrive_in_order<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut b = two.member("public:0").await;
    b.request("subscribe", json!(["public:1", "public:2"])).await.unwrap();
    // Three tasks, each to a room, to two and to everyone in turn.
    let tasks = (0..3).map(|task| {
        let io = one.server.io.clone();
        tokio::spawn(async move {
            for n in 0..300 {
                let room = format!("public:{}", n % 3);
                match n % 5 {
                    0 => io.emit("n", (task, n)).await.unwrap(),
                    1 => io.to("public:1").to(&room).emit("n", (task, n)).await.unwrap(),
                    _ => io.to(&room).emit("n", (task, n)).await.unwrap(),
                };
            }
        })
    });
    let published = join_all(tasks);
    let read = async {
        let mut next = [0; 3];
        for _ in 0..900 {
            let data = b.expect("n").await;
            let task = data[0].as_u64().unwrap() as usize;
            assert_eq!(data[1], next[task], "of task {task}");
            next[task] += 1;
        }
    };
    for published in tokio::join!(published, read).0 {
        published.unwrap();
    }
}

async fn nothing_comes_twice<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two, three] = nodes(make).await;
    let rooms = json!(["public:a", "public:b", "public:c"]);
    let mut clients = Vec::new();
    for node in [&one, &two, &three] {
        for _ in 0..2 {
            let mut client = node.server.client().await;
            client.request("subscribe", rooms.clone()).await.unwrap();
            clients.push(client);
        }
    }
    for n in 0..100 {
        let node = [&one, &two, &three][n % 3];
        let delivered = node.server.io.to("public:a").to("public:b").to("public:c").emit("n", n).await;
        assert_eq!(delivered, Ok(2));
    }
    for node in [&one, &two, &three] {
        node.fence().await;
    }
    for client in &mut clients {
        let mut numbers = heard(client).await;
        numbers.extend(heard(client).await);
        numbers.extend(heard(client).await);
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<u64>>(), "all of them, each one time");
    }
}

async fn nothing_comes_back<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let (mut a, _b) = (one.member("public:r").await, two.member("public:r").await);
    for n in 0..50 {
        one.server.io.to("public:r").emit("n", n).await.unwrap();
        one.server.io.emit("n", n).await.unwrap();
    }
    two.fence().await;
    assert_eq!(heard(&mut a).await.len(), 100);
    assert_eq!(one.seen.arrived(), 1, "from the other node, nothing but the fence");
    until("all has arrived there", || two.seen.arrived() == 100).await;
}

async fn close_ends_it_and_shutdown_closes<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two, three] = nodes(make).await;
    let _a = one.member("public:r").await;
    let (mut b, mut c) = (two.member("public:r").await, three.member("public:r").await);
    assert!(!one.seen.closed.load(Ordering::SeqCst));
    one.server.io.shutdown(Duration::from_secs(5)).await;
    assert!(one.seen.closed.load(Ordering::SeqCst), "shutdown closes the adapter");
    until("what comes in ends", || one.seen.ended.load(Ordering::SeqCst)).await;
    let arrived = one.seen.arrived();
    // The others go on.
    assert_eq!(two.server.io.to("public:r").emit("n", 1).await, Ok(1));
    assert_eq!((b.expect("n").await, c.expect("n").await), (json!(1), json!(1)));
    assert_eq!(three.server.io.emit("n", 2).await, Ok(1));
    assert_eq!((b.expect("n").await, c.expect("n").await), (json!(2), json!(2)));
    assert_eq!(one.seen.arrived(), arrived);
}
