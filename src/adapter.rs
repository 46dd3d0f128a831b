//! The contract to other nodes. Local delivery stays in the hub; an adapter carries what is to
//! reach the members elsewhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::config::Overflow;
use crate::delivery::AtLeastOnce;
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
    /// What happens to members whose outbox is full; `None`: as the configuration of each node says.
    #[serde(default)]
    pub overflow: Option<Overflow>,
    /// Members are to acknowledge it, whatever is said of its rooms.
    #[serde(default)]
    pub at_least_once: Option<AtLeastOnce>,
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
    /// A std mutex: held for a look-up.
    rooms: Mutex<HashMap<String, Arc<Interest>>>,
}

struct Interest {
    /// Joins that are under way.
    joining: AtomicUsize,
    /// What the adapter was told last; `None` while it is being told, and after that was given up.
    // Tokio's mutex: it is held while the adapter is told, so that it is told in order.
    told: tokio::sync::Mutex<Option<bool>>,
}

impl Interests {
    pub(crate) fn new(adapter: Arc<dyn Adapter>) -> Interests {
        Interests { adapter, rooms: Mutex::default() }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Arc<Interest>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, room: &str) -> Arc<Interest> {
        let new = || Interest { joining: AtomicUsize::new(0), told: tokio::sync::Mutex::new(Some(false)) };
        self.rooms().entry(room.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// A join begins: the room is of interest until it [ends](Interests::end), whatever comes of it.
    pub(crate) fn begin(&self, room: &str) {
        self.of(room).joining.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self, room: &str) {
        self.of(room).joining.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells the adapter what is, if that is not what it was told. Given up, it is told the next time.
    pub(crate) async fn settle(&self, hub: &Hub, room: &str) -> Result<(), AdapterError> {
        let interest = self.of(room);
        let mut told = interest.told.lock().await;
        let wanted = interest.joining.load(Ordering::Acquire) > 0 || hub.rooms().get(room).is_some();
        if *told != Some(wanted) {
            *told = None;
            self.adapter.interest(room, wanted).await?;
            *told = Some(wanted);
        }
        drop(told);
        let mut rooms = self.rooms();
        // What was told is looked at again: others may have come and gone after the lock was released. Where only
        // the map and this one hold it, nobody else is about to.
        if Arc::strong_count(&interest) == 2
            && interest.joining.load(Ordering::Acquire) == 0
            && interest.told.try_lock().is_ok_and(|told| *told == Some(false))
        {
            rooms.remove(room);
        }
        Ok(())
    }
}

impl fmt::Debug for Interests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interests").field("rooms", &self.rooms().len()).finish_non_exhaustive()
    }
}
