//! Who is connected and in which rooms; puts messages before members. It knows ids, rooms and
//! outboxes, never user code, and waits for nobody.

mod counters;
mod fanout;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use self::counters::{Counters, count};
pub(crate) use self::fanout::{Audience, Delivered, Manner, Message};
use crate::acks::Acks;
use crate::closing::Ending;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::encode::{self, Scratch};
use crate::history::{Position, Start};
use crate::outbox::Outbox;
use crate::protocol::{Dialect, Id, Memory, Outgoing};
use crate::rooms::{Census, Change, Joined, NotJoined, Room, Rooms};

/// Names a socket, in the whole cluster and over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketId(Uuid);

impl SocketId {
    pub(crate) fn random() -> SocketId {
        SocketId(Uuid::new_v4())
    }

    /// A number below `span` that differs from socket to socket.
    pub(crate) fn spread(self, span: u64) -> u64 {
        self.0.as_u64_pair().1 % span.max(1)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not a socket's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSocketIdError(());

impl fmt::Display for ParseSocketIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a socket's id is a UUID")
    }
}

impl std::error::Error for ParseSocketIdError {}

impl FromStr for SocketId {
    type Err = ParseSocketIdError;
    fn from_str(text: &str) -> Result<SocketId, ParseSocketIdError> {
        text.parse().map(SocketId).map_err(|_| ParseSocketIdError(()))
    }
}

/// A [`Dialect`] with the place that broadcasts keep its frame at.
#[derive(Clone)]
pub(crate) struct Spoken {
    pub(crate) place: usize,
    pub(crate) dialect: Arc<dyn Dialect>,
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dialect.subprotocol())
    }
}

/// What the hub knows of a socket.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: SocketId,
    pub(crate) spoken: Spoken,
    pub(crate) outbox: Outbox,
    pub(crate) acks: Acks,
    pub(crate) deliveries: Deliveries,
    pub(crate) counters: Counters,
    joined: Joined,
}

impl Member {
    pub(crate) fn new(id: SocketId, spoken: Spoken, config: &Config) -> Member {
        Member {
            id,
            spoken,
            outbox: Outbox::new(config.outbox),
            acks: Acks::new(config.max_pending_acks),
            deliveries: Deliveries::new(config),
            counters: Counters::default(),
            joined: Joined::default(),
        }
    }

    /// Encodes what the protocol itself says: texts, numbers and JSON, of which nothing cannot be written.
    pub(crate) fn tell<T: Serialize + ?Sized>(&self, event: &str, id: Option<&Id>, data: &T) -> Scratch {
        let json = encode::json(data);
        let data = json.as_ref().map_or(&b"null"[..], |json| json);
        self.encode(&Outgoing::direct(event, id, data))
    }

    /// Encodes a message to this socket alone.
    pub(crate) fn encode(&self, packet: &Outgoing<'_>) -> Scratch {
        encode::frame(&*self.spoken.dialect, packet, &mut Memory::default())
    }

    /// Decides its end. Where that drains, each room with history is asked once more: what it has may have waited for a
    /// snapshot.
    pub(crate) fn end(&self, ending: Ending) -> bool {
        let mut rooms = Vec::new();
        if ending.drains {
            self.deliveries.flush(self, Instant::now());
            rooms = self.joined.logged();
        }
        self.outbox.end(ending, rooms)
    }

    /// The rooms that it is in, those of patterns among them.
    pub(crate) fn rooms(&self) -> Vec<Arc<str>> {
        self.joined.names()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.joined.subscriptions()
    }

    pub(crate) fn is_in(&self, room: &str) -> bool {
        self.joined.contains(room)
    }
}

/// All members, and the rooms that they are in.
#[derive(Debug)]
pub(crate) struct Hub {
    everyone: Arc<Room>,
    rooms: Rooms,
}

impl Hub {
    pub(crate) fn new() -> Hub {
        Hub { everyone: Arc::new(Room::new("".into(), None, None)), rooms: Rooms::new() }
    }

    pub(crate) fn connect(&self, member: &Arc<Member>) {
        self.everyone.lock().members.insert(member.id, member.clone());
    }

    /// Takes a member out of everything. Returns the rooms that are gone with it.
    pub(crate) fn disconnect(&self, member: &Member) -> Vec<Arc<str>> {
        let rooms = member.joined.leave_all(&self.rooms, member.id);
        // Last: who sees no socket any more sees none in a room either.
        self.everyone.lock().leave(member.id);
        rooms
    }

    pub(crate) fn join(
        &self,
        member: &Arc<Member>,
        room: &str,
        at_most: Option<usize>,
        start: &Start,
    ) -> Result<(Change, Option<Position>), NotJoined> {
        member.joined.join(&self.rooms, member, room, at_most, start)
    }

    pub(crate) fn leave(&self, member: &Member, room: &str) -> Change {
        member.joined.leave(&self.rooms, member, room)
    }

    pub(crate) fn len(&self) -> usize {
        self.everyone.lock().members.len()
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub(crate) fn room_len(&self, room: &str) -> usize {
        if self.rooms.matching(room).is_empty() {
            return self.rooms.get(room).map_or(0, |room| room.lock().members.len());
        }
        self.members_of(room).len()
    }

    pub(crate) fn census(&self) -> Census {
        let mut census = self.rooms.count();
        census.encoded += self.everyone.lock().encoded;
        census
    }
}
