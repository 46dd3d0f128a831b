//! Who is connected and in which rooms; puts messages before members. It knows ids, rooms and
//! outboxes, never user code, and waits for nobody.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::acks::Acks;
use crate::closing::Ending;
use crate::config::{Config, Overflow};
use crate::encode;
use crate::outbox::{Backlog, Outbox, Push};
use crate::protocol::{Dialect, Id, Memory, Outgoing};
use crate::rooms::{Census, Change, Joined, Memories, NotJoined, Room, RoomState, Rooms};

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
    pub(crate) counters: Counters,
    joined: Joined,
}

/// What is counted for a connection: mostly by its own task, so that it costs no shared cache line.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Broadcasts that its overflow policy, or being volatile, dropped.
    pub(crate) dropped: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Member {
    pub(crate) fn new(id: SocketId, spoken: Spoken, config: &Config) -> Member {
        Member {
            id,
            spoken,
            outbox: Outbox::new(config.outbox),
            acks: Acks::new(config.max_pending_acks),
            counters: Counters::default(),
            joined: Joined::default(),
        }
    }

    /// Encodes what the protocol itself says: texts, numbers and JSON, of which nothing cannot be written.
    pub(crate) fn tell<T: Serialize + ?Sized>(&self, event: &str, id: Option<&Id>, data: &T) -> Bytes {
        let json = encode::json(data);
        let data = json.as_ref().map_or(&b"null"[..], |json| json);
        self.encode(&Outgoing::direct(event, id, data))
    }

    /// Encodes a message to this socket alone.
    pub(crate) fn encode(&self, packet: &Outgoing<'_>) -> Bytes {
        encode::frame(&*self.spoken.dialect, packet, &mut Memory::default())
    }

    pub(crate) fn end(&self, ending: Ending) -> bool {
        self.outbox.end(ending)
    }

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

thread_local! {
    static WAKERS: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

/// All members, and the rooms that they are in.
#[derive(Debug)]
pub(crate) struct Hub {
    everyone: Room,
    rooms: Rooms,
}

/// To whom a broadcast goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    /// These rooms; none means everyone.
    pub(crate) rooms: &'a [&'a str],
    pub(crate) except: &'a [SocketId],
    pub(crate) except_rooms: &'a [&'a str],
}

/// How a broadcast treats a member that does not keep up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Overflow(Overflow),
    Volatile,
}

/// What became of a broadcast here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    /// Before how many members it was put.
    pub(crate) members: usize,
    /// What waits for the slowest of them, in bytes and in messages.
    pub(crate) slowest: Backlog,
}

/// A broadcast's frame for one room, encoded when the first member of a dialect is met.
struct Encoded<'a> {
    packet: Outgoing<'a>,
    /// The frame of the dialect at place 0, which is JSON: the common case takes no list.
    first: Option<Bytes>,
    others: Vec<(usize, Bytes)>,
    memories: &'a mut Memories,
    count: u64,
}

impl<'a> Encoded<'a> {
    fn new(packet: Outgoing<'a>, memories: &'a mut Memories) -> Self {
        Encoded { packet, first: None, others: Vec::new(), memories, count: 0 }
    }

    fn of(&mut self, member: &Member) -> &Bytes {
        let Encoded { packet, first, others, memories, count } = self;
        let place = member.spoken.place;
        if place == 0 {
            return first.get_or_insert_with(|| {
                *count += 1;
                member.encode(packet)
            });
        }
        let index = others.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            *count += 1;
            let frame = encode::frame(&*member.spoken.dialect, packet, memories.of(place));
            others.push((place, frame));
            others.len() - 1
        });
        &others[index].1
    }
}

impl Hub {
    pub(crate) fn new() -> Hub {
        Hub { everyone: Room::new("".into()), rooms: Rooms::new() }
    }

    pub(crate) fn connect(&self, member: &Arc<Member>) {
        self.everyone.lock().members.insert(member.id, member.clone());
    }

    /// Takes a member out of everything. Returns the rooms that are gone with it.
    pub(crate) fn disconnect(&self, member: &Member) -> Vec<Arc<str>> {
        self.everyone.lock().members.swap_remove(&member.id);
        member.joined.leave_all(&self.rooms, member.id)
    }

    pub(crate) fn join(&self, member: &Arc<Member>, room: &str, at_most: Option<usize>) -> Result<Change, NotJoined> {
        member.joined.join(&self.rooms, member, room, at_most)
    }

    pub(crate) fn leave(&self, member: &Member, room: &str) -> Change {
        member.joined.leave(&self.rooms, member.id, room)
    }

    pub(crate) fn len(&self) -> usize {
        self.everyone.lock().members.len()
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.everyone.lock().members.values().cloned().collect()
    }

    pub(crate) fn room_len(&self, room: &str) -> usize {
        self.rooms.get(room).map_or(0, |room| room.lock().members.len())
    }

    pub(crate) fn room_names(&self) -> Vec<Arc<str>> {
        self.rooms.names()
    }

    pub(crate) fn census(&self) -> Census {
        let mut census = self.rooms.count();
        census.encoded += self.everyone.lock().encoded;
        census
    }

    /// Who is addressed, one time each, and through which room.
    pub(crate) fn audience(&self, audience: Audience<'_>) -> Vec<(Arc<str>, Arc<Member>)> {
        let mut members = Vec::new();
        self.visit(audience, |room, state, skip| {
            let addressed = state.members.values().filter(|member| !skip(member.id));
            members.extend(addressed.map(|member| (room.name.clone(), member.clone())));
        });
        members
    }

    /// Puts a message before each member that is addressed.
    ///
    /// Each member gets it one time, from the first of the rooms that it is in. The data is JSON
    /// already; the frame is encoded once per dialect and room.
    pub(crate) fn broadcast(
        &self,
        audience: Audience<'_>,
        manner: Manner,
        event: &str,
        id: Option<&Id>,
        data: &[u8],
    ) -> Delivered {
        let mut delivered = Delivered::default();
        // Called when no lock is held. The thread's own list: none is made for each message.
        let mut wakers = WAKERS.take();
        self.visit(audience, |room, state, skip| {
            let name = Some(&*room.name).filter(|name| !name.is_empty());
            let RoomState { members, memories, .. } = state;
            let mut encoded = Encoded::new(Outgoing { room: name, ..Outgoing::direct(event, id, data) }, memories);
            for member in members.values() {
                if skip(member.id) {
                    continue;
                }
                let frame = encoded.of(member);
                if frame.is_empty() {
                    // Its dialect has no such message.
                    continue;
                }
                let push = match manner {
                    Manner::Overflow(overflow) => member.outbox.push_broadcast(frame, overflow),
                    Manner::Volatile => member.outbox.push_volatile(frame),
                };
                match push {
                    Push::Queued { backlog, waker, displaced } => {
                        count(&member.counters.dropped, displaced);
                        delivered.members += 1;
                        delivered.slowest = delivered.slowest.or_worse(backlog);
                        wakers.extend(waker);
                    }
                    Push::Dropped { waker, count: dropped } => {
                        count(&member.counters.dropped, dropped);
                        wakers.extend(waker);
                    }
                    Push::Full | Push::Closed => {}
                }
            }
            let count = encoded.count;
            state.encoded += count;
        });
        wakers.drain(..).for_each(Waker::wake);
        WAKERS.set(wakers);
        delivered
    }

    /// Visits each room addressed under its lock, with what tells whether a member is to be skipped.
    fn visit(
        &self,
        audience: Audience<'_>,
        mut room: impl FnMut(&Room, &mut RoomState, &mut dyn FnMut(SocketId) -> bool),
    ) {
        // Collected before, so that no two rooms are locked at once.
        let excepted: HashSet<SocketId> = audience
            .except_rooms
            .iter()
            .filter_map(|name| self.rooms.get(name))
            .flat_map(|room| room.lock().members.keys().copied().collect::<Vec<_>>())
            .collect();
        let except = |id: SocketId| audience.except.contains(&id) || excepted.contains(&id);
        match audience.rooms {
            [] => room(&self.everyone, &mut self.everyone.lock(), &mut |id| except(id)),
            [name] => {
                if let Some(only) = self.rooms.get(name) {
                    room(&only, &mut only.lock(), &mut |id| except(id));
                }
            }
            names => {
                let mut seen = HashSet::new();
                for one in names.iter().filter_map(|name| self.rooms.get(name)) {
                    room(&one, &mut one.lock(), &mut |id| except(id) || !seen.insert(id));
                }
            }
        }
    }
}

impl Backlog {
    /// The larger of both, measure by measure.
    fn or_worse(self, other: Backlog) -> Backlog {
        Backlog { bytes: self.bytes.max(other.bytes), messages: self.messages.max(other.messages) }
    }
}
