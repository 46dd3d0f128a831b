//! Who is connected and in which rooms; puts messages before members. It knows ids, rooms and
//! outboxes, never user code, and waits for nobody.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::acks::Acks;
use crate::closing::Ending;
use crate::config::{Config, Overflow};
use crate::encode;
use crate::history::{Position, Start};
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
    /// Broadcasts that were dropped, by [`Manner`].
    dropped: [AtomicU64; Manner::COUNT],
    /// Gaps that it was told.
    pub(crate) gaps: AtomicU64,
}

impl Counters {
    /// Broadcasts to this member were dropped.
    pub(crate) fn drop_by(&self, manner: Manner, n: u64) {
        count(&self.dropped[manner.place()], n);
    }

    pub(crate) fn dropped_by(&self, manner: Manner) -> u64 {
        self.dropped[manner.place()].load(Ordering::Relaxed)
    }

    /// All that is counted.
    pub(crate) fn all(&self) -> impl Iterator<Item = &AtomicU64> {
        let Counters { messages_in, bytes_in, messages_out, bytes_out, dropped, gaps } = self;
        [messages_in, bytes_in, messages_out, bytes_out, gaps].into_iter().chain(dropped)
    }

    /// Messages and bytes that came, messages and bytes that were sent, gaps, and what was dropped by whatever policy.
    pub(crate) fn totals(&self) -> [u64; 6] {
        let Counters { messages_in, bytes_in, messages_out, bytes_out, dropped, gaps } = self;
        let dropped = dropped.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        let [a, b, c, d, e] =
            [messages_in, bytes_in, messages_out, bytes_out, gaps].map(|counter| counter.load(Ordering::Relaxed));
        [a, b, c, d, e, dropped]
    }
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

    /// Decides its end. Where that drains, each room with history is asked once more: what it has may have waited for a
    /// snapshot.
    pub(crate) fn end(&self, ending: Ending) -> bool {
        let rooms = if ending.drains { self.joined.logged() } else { Vec::new() };
        self.outbox.end(ending, rooms)
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
    everyone: Arc<Room>,
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

impl Manner {
    const COUNT: usize = 4;

    /// Where it is counted.
    fn place(self) -> usize {
        match self {
            Manner::Volatile => 0,
            Manner::Overflow(Overflow::Disconnect) => 1,
            Manner::Overflow(Overflow::DropOldest) => 2,
            Manner::Overflow(Overflow::DropNewest) => 3,
        }
    }
}

/// A broadcast as the hub sees it: the data is JSON already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) event: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) manner: Manner,
    /// By how many bytes members of a room with history may be behind before the emitter is to wait.
    pub(crate) lag: Option<usize>,
}

/// What became of a broadcast here.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// Before how many members it was put.
    pub(crate) members: usize,
    /// What waits for the slowest of them, in bytes and in messages.
    pub(crate) slowest: Backlog,
    /// Rooms with history in which some member is further behind than asked for.
    pub(crate) lagging: Vec<Arc<Room>>,
    /// Whether a room was made.
    pub(crate) has_opened: bool,
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
        Hub { everyone: Arc::new(Room::new("".into(), None)), rooms: Rooms::new() }
    }

    pub(crate) fn connect(&self, member: &Arc<Member>) {
        self.everyone.lock().members.insert(member.id, member.clone());
    }

    /// Takes a member out of everything. Returns the rooms that are gone with it.
    pub(crate) fn disconnect(&self, member: &Member) -> Vec<Arc<str>> {
        self.everyone.lock().members.swap_remove(&member.id);
        member.joined.leave_all(&self.rooms, member.id)
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
        member.joined.leave(&self.rooms, member.id, room)
    }

    pub(crate) fn len(&self) -> usize {
        self.everyone.lock().members.len()
    }

    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.everyone.lock().members.values().cloned().collect()
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
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
        let mut seen = self.seen(audience);
        self.visit(audience.rooms, false, |room, state| {
            let addressed = state.members.values().filter(|member| !seen.skips(member.id));
            members.extend(addressed.map(|member| (room.name.clone(), member.clone())));
        });
        members
    }

    /// Puts a message before each member that is addressed.
    ///
    /// Of rooms without history, each member gets it one time, from the first that it is in; each room with history keeps
    /// a copy of its own. The frame is encoded once per dialect and room.
    pub(crate) fn broadcast(&self, audience: Audience<'_>, message: Message<'_>) -> Delivered {
        let mut delivered = Delivered::default();
        // Called when no lock is held. The thread's own list: none is made for each message.
        let mut wakers = WAKERS.take();
        let mut seen = self.seen(audience);
        let mut to_fold = Vec::new();
        let keeps = matches!(message.manner, Manner::Overflow(_));
        self.visit(audience.rooms, keeps, |room, state| {
            state.encoded += match &mut state.log {
                Some(log) if keeps => {
                    delivered.has_opened |= log.last() == 0 && state.members.is_empty();
                    let except = seen.excepted();
                    log.append(message.event, message.data, &except, Instant::now(), |member| {
                        wakers.extend(member.outbox.push_ready(room));
                    });
                    let excepted = except.iter().filter(|id| state.members.contains_key(*id)).count();
                    delivered.members += state.members.len() - excepted;
                    if message.lag.is_some_and(|most| log.lags(most, None)) {
                        delivered.lagging.push(room.clone());
                    }
                    if log.has_snapshot() {
                        to_fold.push(room.clone());
                    }
                    1
                }
                _ => put_before(room, state, message, &mut seen, &mut delivered, &mut wakers),
            };
        });
        wakers.drain(..).for_each(Waker::wake);
        WAKERS.set(wakers);
        to_fold.iter().for_each(Room::fold);
        delivered
    }

    fn seen<'a>(&self, audience: Audience<'a>) -> Seen<'a> {
        // Collected before, so that no two rooms are locked at once.
        let members_of = |name: &&str| self.rooms.get(name).map(|room| room.lock().members.keys().copied().collect());
        let excepted = audience.except_rooms.iter().filter_map(members_of).flat_map(|ids: Vec<SocketId>| ids).collect();
        let seen = (audience.rooms.len() > 1).then(HashSet::new);
        Seen { except: audience.except, excepted, seen }
    }

    /// Visits each room addressed under its lock. With `opens`, rooms that are to remember are made.
    fn visit(&self, rooms: &[&str], opens: bool, mut visit: impl FnMut(&Arc<Room>, &mut RoomState)) {
        if rooms.is_empty() {
            visit(&self.everyone, &mut self.everyone.lock());
        }
        for name in rooms {
            self.rooms.with(name, opens, &mut visit);
        }
    }
}

/// Puts a message before the members of a room without history. Returns how often it was encoded.
fn put_before(
    room: &Room,
    state: &mut RoomState,
    message: Message<'_>,
    seen: &mut Seen<'_>,
    delivered: &mut Delivered,
    wakers: &mut Vec<Waker>,
) -> u64 {
    let name = Some(&*room.name).filter(|name| !name.is_empty());
    let RoomState { members, memories, .. } = state;
    let packet = Outgoing { room: name, ..Outgoing::direct(message.event, None, message.data) };
    let mut encoded = Encoded::new(packet, memories);
    for member in members.values() {
        if seen.skips(member.id) {
            continue;
        }
        let frame = encoded.of(member);
        if frame.is_empty() {
            // Its dialect has no such message.
            continue;
        }
        let push = match message.manner {
            Manner::Overflow(overflow) => member.outbox.push_broadcast(frame, overflow),
            Manner::Volatile => member.outbox.push_volatile(frame),
        };
        match push {
            Push::Queued { backlog, waker, displaced } => {
                member.counters.drop_by(message.manner, displaced);
                delivered.members += 1;
                delivered.slowest = delivered.slowest.or_worse(backlog);
                wakers.extend(waker);
            }
            Push::Dropped { waker, count: dropped } => {
                member.counters.drop_by(message.manner, dropped);
                wakers.extend(waker);
            }
            Push::Full | Push::Closed => {}
        }
    }
    encoded.count
}

/// Whom a broadcast leaves out, because it was told to or because they have it already.
struct Seen<'a> {
    except: &'a [SocketId],
    excepted: HashSet<SocketId>,
    /// Who has it, where it goes to several rooms.
    seen: Option<HashSet<SocketId>>,
}

impl Seen<'_> {
    /// Whether this member is left out; from now on it has it.
    fn skips(&mut self, id: SocketId) -> bool {
        self.except.contains(&id)
            || self.excepted.contains(&id)
            || self.seen.as_mut().is_some_and(|seen| !seen.insert(id))
    }

    /// Those that it was told to leave out.
    fn excepted(&self) -> Cow<'_, [SocketId]> {
        if self.excepted.is_empty() && self.except.len() < 2 {
            return Cow::Borrowed(self.except);
        }
        // Each of them once: they are counted.
        self.except.iter().chain(&self.excepted).copied().collect::<HashSet<_>>().into_iter().collect()
    }
}

impl Backlog {
    /// The larger of both, measure by measure.
    pub(crate) fn or_worse(self, other: Backlog) -> Backlog {
        Backlog { bytes: self.bytes.max(other.bytes), messages: self.messages.max(other.messages) }
    }
}
