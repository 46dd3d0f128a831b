//! The nodes that the suite of adapters runs on: each an `Io` with a server, whose adapter is watched.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventwire::{Adapter, AdapterError, Io, NodeMessage, Socket};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;

use crate::support::*;

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

pub async fn nodes<A: Adapter, const N: usize>(make: &impl AsyncFn(usize) -> Vec<A>) -> [Node; N] {
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
    pub closed: AtomicBool,
    pub ended: AtomicBool,
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
