//! A bus within one process: the smallest adapter that does all that is asked of one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use eventwire::{Adapter, AdapterError, NodeMessage};
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// One node's way to the bus.
pub struct Bus {
    nodes: Arc<Vec<Mutex<Node>>>,
    /// Which of them this is.
    index: usize,
    /// How long every third thing takes.
    delay: Option<Duration>,
    calls: AtomicUsize,
}

struct Node {
    rooms: HashSet<String>,
    /// `None` once it is closed.
    sender: Option<UnboundedSender<NodeMessage>>,
    receiver: Option<UnboundedReceiver<NodeMessage>>,
}

impl Node {
    fn wants(&self, message: &NodeMessage) -> bool {
        message.rooms.is_empty() || message.rooms.iter().any(|room| self.rooms.contains(room))
    }
}

impl Bus {
    /// So many nodes, joined.
    pub fn new(n: usize, delay: Option<Duration>) -> Vec<Bus> {
        let node = |_| {
            let (sender, receiver) = mpsc::unbounded_channel();
            Mutex::new(Node { rooms: HashSet::new(), sender: Some(sender), receiver: Some(receiver) })
        };
        let nodes = Arc::new((0..n).map(node).collect::<Vec<_>>());
        (0..n).map(|index| Bus { nodes: nodes.clone(), index, delay, calls: AtomicUsize::new(0) }).collect()
    }

    async fn delay(&self) {
        match self.delay {
            Some(delay) if self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) => {
                tokio::time::sleep(delay).await
            }
            // Never done at once, so that what races is seen to.
            _ => tokio::task::yield_now().await,
        }
    }
}

#[async_trait]
impl Adapter for Bus {
    async fn publish(&self, message: NodeMessage) -> Result<(), AdapterError> {
        self.delay().await;
        for (index, node) in self.nodes.iter().enumerate() {
            let node = node.lock().unwrap();
            if index != self.index
                && node.wants(&message)
                && let Some(sender) = &node.sender
            {
                let _ = sender.send(message.clone());
            }
        }
        Ok(())
    }

    async fn interest(&self, room: &str, interested: bool) -> Result<(), AdapterError> {
        self.delay().await;
        {
            let mut node = self.nodes[self.index].lock().unwrap();
            let changed = if interested { node.rooms.insert(room.to_owned()) } else { node.rooms.remove(room) };
            assert!(changed, "{room}: told {interested} twice in a row");
        }
        self.delay().await;
        Ok(())
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        let receiver = self.nodes[self.index].lock().unwrap().receiver.take();
        let receiver = receiver.expect("`incoming` is called once");
        Box::pin(stream::unfold(receiver, async |mut receiver| {
            let message = receiver.recv().await?;
            Some((message, receiver))
        }))
    }

    async fn close(&self) {
        self.nodes[self.index].lock().unwrap().sender = None;
    }
}
