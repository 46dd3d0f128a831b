//! What an `Io` has to do with other nodes, if there are any.

use std::sync::Arc;

use futures::StreamExt;

use super::Io;
use crate::adapter::{AdapterError, NodeMessage};
use crate::hub::{Audience, Manner, Message};

/// A join that is under way: other nodes know that this one is interested.
#[derive(Debug)]
pub(crate) struct Joining(Option<(Io, String)>);

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some((io, room)) = self.0.take() {
            io.0.interests.end(&room);
            io.settle(&room);
        }
    }
}

impl Io {
    /// A join begins: other nodes are told of this one's interest, if there are any.
    pub(crate) async fn joining(&self, room: &str) -> Result<Joining, AdapterError> {
        if self.0.adapter.is_local() {
            return Ok(Joining(None));
        }
        self.0.interests.begin(room);
        // Made before the wait: given up, it ends as well.
        let joining = Joining(Some((self.clone(), room.to_owned())));
        self.0.interests.settle(&self.0.hub, room).await?;
        Ok(joining)
    }

    /// Tells the adapter in a while what has become of a room.
    pub(super) fn settle(&self, room: &str) {
        if self.0.adapter.is_local() {
            return;
        }
        // Outside of a runtime it waits until something else becomes of the room.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (io, room) = (self.clone(), room.to_owned());
        runtime.spawn(async move {
            if let Err(error) = io.0.interests.settle(&io.0.hub, &room).await {
                tracing::warn!(%error, room, "the adapter was not told of a room");
            }
        });
    }

    /// Brings what other nodes publish to the members here.
    pub(super) fn listen_to_others(&self) {
        if self.0.adapter.is_local() {
            return;
        }
        self.0.listens_to_others.get_or_init(|| {
            let mut incoming = self.0.adapter.incoming();
            let io = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                while let Some(message) = incoming.next().await {
                    let Some(inner) = io.upgrade() else { return };
                    Io(inner).deliver_from_elsewhere(&message);
                }
            });
        });
    }

    fn deliver_from_elsewhere(&self, message: &NodeMessage) {
        let rooms: Vec<&str> = message.rooms.iter().map(String::as_str).collect();
        let except_rooms: Vec<&str> = message.except_rooms.iter().map(String::as_str).collect();
        let audience = Audience { rooms: &rooms, except: &message.except, except_rooms: &except_rooms };
        let overflow = Manner::Overflow(message.overflow.unwrap_or(self.0.config.outbox.overflow));
        let manner = if message.volatile { Manner::Volatile } else { overflow };
        let data = message.data.get().as_bytes();
        self.deliver(audience, Message { event: &message.event, data, manner, lag: None, once: message.at_least_once });
    }
}
