//! The contract to other nodes. Local delivery stays in the hub; an adapter carries what is to
//! reach the members elsewhere.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::hub::{Hub, SocketId};

/// Why an adapter could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterError(pub String);

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AdapterError {}

/// A broadcast on its way to other nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeMessage {
    /// The rooms addressed; none means everyone.
    pub rooms: Vec<String>,
    /// Sockets that do not get it, wherever they are.
    pub except: Vec<SocketId>,
    /// Members of these rooms do not get it.
    pub except_rooms: Vec<String>,
    /// The event's name.
    pub event: String,
    /// Its payload, serialised once.
    pub data: Box<RawValue>,
    /// Members that do not keep up may miss it.
    pub volatile: bool,
}

/// Carries broadcasts between the nodes of a cluster.
///
/// Every adapter passes the one conformance suite in `tests/support/adapter_suite.rs`.
#[async_trait]
pub trait Adapter: Send + Sync + 'static {
    /// Sends to the other nodes: to all of them if no room is named, else at least to those that
    /// have told their interest in one of the rooms; never back to this one. What one task
    /// publishes arrives in that order.
    async fn publish(&self, message: NodeMessage) -> Result<(), AdapterError>;

    /// This node has members in a room, or no longer. When it returns, what others publish to
    /// the room from now on arrives.
    async fn interest(&self, room: &str, interested: bool) -> Result<(), AdapterError>;

    /// What the others sent. Called once.
    fn incoming(&self) -> BoxStream<'static, NodeMessage>;

    /// The node goes: `incoming` ends.
    async fn close(&self);

    /// Whether there are no other nodes, so that nothing need be made ready for them.
    fn is_local(&self) -> bool {
        false
    }
}

/// One node alone: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

#[async_trait]
impl Adapter for Local {
    async fn publish(&self, _message: NodeMessage) -> Result<(), AdapterError> {
        Ok(())
    }

    async fn interest(&self, _room: &str, _interested: bool) -> Result<(), AdapterError> {
        Ok(())
    }

    fn incoming(&self) -> BoxStream<'static, NodeMessage> {
        Box::pin(stream::empty())
    }

    async fn close(&self) {}

    fn is_local(&self) -> bool {
        true
    }
}

/// Keeps an adapter told of the rooms that this node has members in. It compares what is with
/// what was told, so that joins and leaves that race end in the truth whatever their order.
pub(crate) struct Interests {
    adapter: Arc<dyn Adapter>,
    /// Rooms that are about to get a member. A std mutex: held for a count.
    joining: Mutex<HashMap<String, usize>>,
    /// Rooms of which the adapter knows. Tokio's mutex: it is held while the adapter is told, so
    /// that it is told in order.
    told: tokio::sync::Mutex<HashSet<String>>,
}

impl Interests {
    pub(crate) fn new(adapter: Arc<dyn Adapter>) -> Interests {
        Interests { adapter, joining: Mutex::default(), told: tokio::sync::Mutex::default() }
    }

    fn joining(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a join: whatever is published to the room once this has returned arrives here.
    pub(crate) async fn begin(&self, hub: &Hub, room: &str) -> Result<(), AdapterError> {
        *self.joining().entry(room.to_owned()).or_default() += 1;
        let settled = self.settle(hub, room).await;
        if settled.is_err() {
            self.end(room);
        }
        settled
    }

    /// After it.
    pub(crate) fn end(&self, room: &str) {
        let mut joining = self.joining();
        if let Some(count) = joining.get_mut(room) {
            *count -= 1;
            if *count == 0 {
                joining.remove(room);
            }
        }
    }

    /// Tells the adapter what is, if that is not what it was told.
    pub(crate) async fn settle(&self, hub: &Hub, room: &str) -> Result<(), AdapterError> {
        let mut told = self.told.lock().await;
        let wanted = self.joining().contains_key(room) || hub.room_len(room) > 0;
        if wanted == told.contains(room) {
            return Ok(());
        }
        self.adapter.interest(room, wanted).await?;
        if wanted {
            told.insert(room.to_owned());
        } else {
            told.remove(room);
        }
        Ok(())
    }
}

impl fmt::Debug for Interests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interests")
    }
}
