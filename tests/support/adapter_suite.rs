//! What every [`Adapter`] has to do, as one suite: an adapter's test calls [`conformance`] with a way
//! to make so many of it that are joined, and nothing else.
//!
//! What must not arrive is shown without waiting for it: a `fence` that the same task publishes
//! after it arrives after it.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventwire::{Adapter, AdapterError, Io, NodeMessage, Socket};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use serde_json::{Value, json};

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
    interest_is_there_before_a_join_is_done(&make).await;
    interest_survives_a_leave_and_a_join(&make).await;
    interest_ends_with_the_last_member(&make, filters).await;
    races_of_joins_and_leaves_end_in_the_truth(&make).await;
    races_of_joins_and_disconnects_end_in_the_truth(&make).await;
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
    let number: Box<serde_json::value::RawValue> =
        serde_json::from_str("123456789012345678901234567890.10e-1").unwrap();
    io.to("public:r").emit("an event é\"", &number).await.unwrap();
    let text = two_frames(&mut b).await;
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
async fn two_frames(client: &mut Client) -> String {
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

async fn interest_is_there_before_a_join_is_done<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut a = one.server.client().await;
    let socket = one.socket(&a);
    for n in 0..200 {
        // A client's, a server's, and one of a list.
        let room = format!("public:{n}");
        match n % 3 {
            0 => drop(a.request("subscribe", json!(room)).await.unwrap()),
            1 => socket.join(&room).await.unwrap(),
            _ => drop(a.request("subscribe", json!(["public:0", room])).await.unwrap()),
        }
        two.server.io.to(&room).emit("n", n).await.unwrap();
        assert_eq!(a.expect("n").await, n);
        if n % 2 == 0 {
            socket.leave(&room);
        }
    }
}

async fn interest_survives_a_leave_and_a_join<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut a = one.member("public:r").await;
    let mut other = one.server.client().await;
    for n in 0..200 {
        // The end of the interest is told in a while: by then it has begun again, here or at another socket.
        a.request("unsubscribe", json!("public:r")).await.unwrap();
        if n % 2 == 0 {
            std::mem::swap(&mut a, &mut other);
        }
        a.request("subscribe", json!("public:r")).await.unwrap();
        two.server.io.to("public:r").emit("n", n).await.unwrap();
        assert_eq!(a.expect("n").await, n);
    }
    other.expect_nothing().await;
}

async fn interest_ends_with_the_last_member<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>, filters: bool) {
    let [one, two] = nodes(make).await;
    let mut witness = one.server.client().await;
    for how in ["unsubscribe", "leave", "close", "lost"] {
        let (mut a, mut b) = (one.member("public:r").await, one.member("public:r").await);
        assert!(one.seen.is_interested("public:r"), "{how}");
        let socket = one.socket(&a);
        socket.leave("public:r");
        two.server.io.to("public:r").emit("n", 1).await.unwrap();
        assert_eq!(b.expect("n").await, 1, "{how}: as long as one is left, it arrives");
        assert!(one.seen.is_interested("public:r"), "{how}");
        a.expect_nothing().await;
        let last = one.socket(&b);
        match how {
            "unsubscribe" => drop(b.request("unsubscribe", json!("public:r")).await.unwrap()),
            "leave" => last.leave("public:r"),
            "close" => b.close().await,
            _ => drop(b),
        }
        until("the interest has ended", || !one.seen.is_interested("public:r")).await;
        drop(a);
        let before = one.seen.arrived();
        two.server.io.to("public:r").emit("n", 2).await.unwrap();
        two.fence().await;
        assert!(heard(&mut witness).await.is_empty(), "{how}");
        let sent = one.seen.arrived() - before;
        assert!(sent == 1 || !filters, "{how}: nothing but the fence is sent, not {sent}");
    }
}

async fn races_of_joins_and_leaves_end_in_the_truth<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, two] = nodes(make).await;
    let mut clients = one.server.clients(3).await;
    let sockets: Vec<Socket> = clients.iter().map(|client| one.socket(client)).collect();
    for round in 0..200 {
        // In turn nobody stays, or one of them.
        let stays = (round % 4 < 3).then_some(round % 4);
        let tasks = sockets.iter().cloned().enumerate().map(|(index, socket)| {
            tokio::spawn(async move {
                for _ in 0..3 {
                    socket.join("public:race").await.unwrap();
                    if (round + index) % 2 == 0 {
                        tokio::task::yield_now().await;
                    }
                    socket.leave("public:race");
                }
                if stays == Some(index) {
                    socket.join("public:race").await.unwrap();
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        assert_eq!(one.server.io.room_len("public:race"), usize::from(stays.is_some()));
        if let Some(index) = stays {
            assert!(one.seen.is_interested("public:race"), "round {round}: a member is there");
            two.server.io.to("public:race").emit("n", round).await.unwrap();
            assert_eq!(clients[index].expect("n").await, round);
            sockets[index].leave("public:race");
        }
        until("the interest has ended", || !one.seen.is_interested("public:race")).await;
    }
    two.fence().await;
    for client in &mut clients {
        assert!(heard(client).await.is_empty());
    }
}

async fn races_of_joins_and_disconnects_end_in_the_truth<A: Adapter>(make: &impl AsyncFn(usize) -> Vec<A>) {
    let [one, _two] = nodes(make).await;
    for round in 0..200 {
        let mut client = one.server.client().await;
        let socket = one.socket(&client);
        let joining = tokio::spawn({
            let socket = socket.clone();
            async move { socket.join("public:race").await }
        });
        match round % 3 {
            0 => drop(client),
            1 => client.close().await,
            _ => {
                socket.disconnect();
                assert_eq!(client.closed().await.0, 1000);
                drop(client);
            }
        }
        let _ = within("the join is decided", joining).await.unwrap();
        until("it is gone", || !socket.is_connected() && one.server.io.stats().sockets == 0).await;
        assert_eq!(one.server.io.room_len("public:race"), 0);
        until("the interest has ended", || !one.seen.is_interested("public:race")).await;
    }
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

// ---- what it is written with

/// A node of the cluster.
pub struct Node {
    pub server: Server,
    pub seen: Arc<Seen>,
}

impl Node {
    pub async fn new<A: Adapter>(adapter: A) -> Node {
        let seen = Arc::new(Seen::default());
        let io = Io::builder().adapter(Watched { adapter, seen: seen.clone() }).build().unwrap();
        io.rooms("public:*").public();
        Node { server: Server::of(io).await, seen }
    }

    pub async fn member(&self, room: &str) -> Client {
        self.server.client_in(room).await
    }

    pub fn socket(&self, client: &Client) -> Socket {
        self.server.io.socket(client.id.parse().unwrap()).unwrap()
    }

    /// Tells everyone that all that this task has published before is there.
    pub async fn fence(&self) {
        self.server.io.emit("fence", ()).await.unwrap();
    }
}

async fn nodes<A: Adapter, const N: usize>(make: &impl AsyncFn(usize) -> Vec<A>) -> [Node; N] {
    let nodes = make(N).await.into_iter().map(Node::new);
    let nodes: [Node; N] = join_all(nodes).await.try_into().ok().expect("as many as were asked for");
    // A node listens to the others from its first socket on.
    for node in &nodes {
        node.server.client().await.close().await;
        until("it is gone", || node.server.io.stats().sockets == 0).await;
    }
    nodes
}

/// The data of all events `n` before the next fence.
pub async fn heard(client: &mut Client) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let frame = client.wait_for(|frame| frame["event"] == "n" || frame["event"] == "fence").await;
        match frame["event"].as_str() {
            Some("n") => numbers.push(frame["data"].as_u64().unwrap()),
            _ => return numbers,
        }
    }
}

/// What an adapter was asked to do, and what it brought.
#[derive(Debug, Default)]
pub struct Seen {
    interests: Mutex<HashMap<String, bool>>,
    arrived: AtomicUsize,
    closed: AtomicBool,
    ended: AtomicBool,
}

impl Seen {
    /// Whether the adapter has been told last that there is interest in a room.
    pub fn is_interested(&self, room: &str) -> bool {
        self.interests.lock().unwrap().get(room).copied().unwrap_or_default()
    }

    /// How many messages came from other nodes.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }
}

/// An adapter, watched.
struct Watched<A> {
    adapter: A,
    seen: Arc<Seen>,
}

#[async_trait]
impl<A: Adapter> Adapter for Watched<A> {
    async fn publish(&self, message: NodeMessage) -> Result<(), AdapterError> {
        self.adapter.publish(message).await
    }

    async fn interest(&self, room: &str, interested: bool) -> Result<(), AdapterError> {
        self.adapter.interest(room, interested).await?;
        self.seen.interests.lock().unwrap().insert(room.to_owned(), interested);
        Ok(())
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        let (seen, at_end) = (self.seen.clone(), self.seen.clone());
        let messages = self.adapter.incoming().inspect(move |_| {
            seen.arrived.fetch_add(1, Ordering::SeqCst);
        });
        let end = futures::stream::once(async move { at_end.ended.store(true, Ordering::SeqCst) });
        Box::pin(messages.map(Some).chain(end.map(|()| None)).filter_map(std::future::ready))
    }

    async fn close(&self) {
        self.adapter.close().await;
        self.seen.closed.store(true, Ordering::SeqCst);
    }

    fn is_local(&self) -> bool {
        self.adapter.is_local()
    }
}
