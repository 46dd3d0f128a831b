//! From a broadcast to the outboxes: who gets it, one time each, and in which frames.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

use super::{Hub, Member, SocketId};
use crate::acks;
use crate::config::Overflow;
use crate::delivery::{AtLeastOnce, Handed, Kept};
use crate::encode::{self, Scratch};
use crate::outbox::{Backlog, Offer, Push};
use crate::protocol::{Id, Memory, Outgoing};
use crate::rooms::{Members, Memories, Room, RoomState};

thread_local! {
    static WAKERS: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

/// Whom to wake when no lock is held: in a list of the thread's own, so that none is made for each message, from when there is
/// somebody. Most messages find their members awake.
#[derive(Default)]
struct Wakers(Option<Vec<Waker>>);

impl Wakers {
    #[inline]
    fn add(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.0.get_or_insert_with(|| WAKERS.take()).push(waker);
        }
    }

    fn wake(self) {
        if let Some(mut wakers) = self.0 {
            wakers.drain(..).for_each(Waker::wake);
            WAKERS.set(wakers);
        }
    }
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

/// A broadcast as the hub sees it: the data is JSON already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) event: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) manner: Manner,
    /// By how many bytes members of a room with history may be behind before the emitter is to wait.
    pub(crate) lag: Option<usize>,
    /// It is to be acknowledged, whatever is said of its rooms.
    pub(crate) once: Option<AtLeastOnce>,
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

/// One room that is addressed, as far as there is anybody.
struct Visited<'a> {
    name: &'a str,
    /// The room itself, locked.
    room: Option<(&'a Arc<Room>, &'a mut RoomState)>,
    /// Those of the patterns that match it. They are locked after it, so that it is in order for their members, too.
    wild: &'a [Arc<Room>],
}

impl Hub {
    /// Who is addressed, one time each, and through which room.
    pub(crate) fn audience(&self, audience: Audience<'_>) -> Vec<(Arc<str>, Arc<Member>)> {
        let mut members = Vec::new();
        let mut seen = self.seen(audience);
        self.visit(audience.rooms, false, |Visited { name, room, wild }| {
            let name = room.as_ref().map_or_else(|| name.into(), |(room, _)| room.name.clone());
            if !wild.is_empty() {
                seen.seen.get_or_insert_default();
            }
            let mut add = |of: &Members| {
                let addressed = of.values().filter(|member| !seen.skips(member.id));
                members.extend(addressed.map(|member| (name.clone(), member.clone())));
            };
            if let Some((_, state)) = &room {
                add(&state.members);
            }
            wild.iter().for_each(|pattern| add(&pattern.lock().members));
        });
        members
    }

    /// Puts a message before each member that is addressed.
    ///
    /// Of rooms without history, each member gets it one time, from the first that it is in; each room with history keeps
    /// a copy of its own. The frame is encoded once per dialect and room.
    pub(crate) fn broadcast(&self, audience: Audience<'_>, message: Message<'_>) -> Delivered {
        let mut delivered = Delivered::default();
        let mut wakers = Wakers::default();
        let mut seen = self.seen(audience);
        let mut to_fold = Vec::new();
        let keeps = matches!(message.manner, Manner::Overflow(_));
        self.visit(audience.rooms, keeps, |Visited { name, room, wild }| {
            let of_room = || room.as_ref().map_or_else(|| self.rooms.once.find(name), |(room, _)| room.once);
            let once = message.once.or_else(of_room);
            if wild.len() > 1 {
                // Who is in the room itself is told apart without it.
                seen.seen.get_or_insert_default();
            }
            let mut out = Put { message, once, seen: &mut seen, delivered: &mut delivered, wakers: &mut wakers };
            let Some((room, state)) = room else {
                wild.iter().for_each(|pattern| out.put_through(pattern, name, None, None));
                return;
            };
            let seq = match &mut state.log {
                Some(log) if keeps => {
                    out.delivered.has_opened |= log.last() == 0 && state.members.is_empty();
                    let except = out.seen.excepted();
                    log.append(message.event, message.data, &except, message.once, Instant::now(), |member| {
                        out.wakers.add(member.outbox.push_ready(room));
                    });
                    let excepted = except.iter().filter(|id| state.members.contains_key(*id)).count();
                    out.delivered.members += state.members.len() - excepted;
                    if message.lag.is_some_and(|most| log.lags(most, None)) {
                        out.delivered.lagging.push(room.clone());
                    }
                    if log.has_snapshot() {
                        to_fold.push(room.clone());
                    }
                    state.encoded += 1;
                    Some(log.last())
                }
                _ => {
                    let name = Some(&*room.name).filter(|name| !name.is_empty());
                    let RoomState { members, memories, encoded, .. } = &mut *state;
                    *encoded += out.put(members, (name, &room.name), None, None, memories);
                    None
                }
            };
            wild.iter().for_each(|pattern| out.put_through(pattern, name, seq, Some(&state.members)));
        });
        wakers.wake();
        to_fold.iter().for_each(Room::fold);
        delivered
    }

    /// The members of a room, and of the patterns that match it.
    pub(super) fn members_of(&self, name: &str) -> Ids {
        let mut ids = Ids::default();
        self.visit(&[name], false, |Visited { room, wild, .. }| {
            ids.extend(room.iter().flat_map(|(_, state)| state.members.keys()));
            wild.iter().for_each(|pattern| ids.extend(pattern.lock().members.keys()));
        });
        ids
    }

    fn seen<'a>(&self, audience: Audience<'a>) -> Seen<'a> {
        // Collected before, so that no two rooms are locked at once.
        let rooms = audience.except_rooms;
        let excepted = (!rooms.is_empty()).then(|| rooms.iter().flat_map(|name| self.members_of(name)).collect());
        let seen = (audience.rooms.len() > 1).then(Ids::default);
        Seen { except: audience.except, excepted, seen }
    }

    /// Visits each room addressed under its lock. With `opens`, rooms that are to remember are made.
    fn visit(&self, rooms: &[&str], opens: bool, mut visit: impl FnMut(Visited<'_>)) {
        if rooms.is_empty() {
            let room = Some((&self.everyone, &mut *self.everyone.lock()));
            visit(Visited { name: "", room, wild: &[] });
        }
        for name in rooms {
            let wild = self.rooms.matching(name);
            let visited = self.rooms.with(name, opens, |room, state| {
                // A pattern is nobody's to emit to.
                if !room.is_wild {
                    visit(Visited { name, room: Some((room, state)), wild: &wild });
                }
            });
            if visited.is_none() && !wild.is_empty() {
                visit(Visited { name, room: None, wild: &wild });
            }
        }
    }
}

/// A broadcast on its way to the members of one room.
struct Put<'a, 'b> {
    message: Message<'a>,
    once: Option<AtLeastOnce>,
    seen: &'b mut Seen<'a>,
    delivered: &'b mut Delivered,
    wakers: &'b mut Wakers,
}

impl Put<'_, '_> {
    /// To the members of a pattern that are not in the room itself.
    fn put_through(&mut self, pattern: &Arc<Room>, name: &str, seq: Option<u64>, have: Option<&Members>) {
        let mut state = pattern.lock();
        let RoomState { members, encoded, .. } = &mut *state;
        // What a dialect remembers is a room's, and this is through many.
        *encoded += self.put(members, (Some(name), &pattern.name), seq, have, &mut Memories::default());
    }

    /// To the members of a room without history, or of a pattern, as which they are told by `through`. Returns how often it was encoded.
    fn put(
        &mut self,
        members: &Members,
        (room, through): (Option<&str>, &Arc<str>),
        seq: Option<u64>,
        have: Option<&Members>,
        memories: &mut Memories,
    ) -> u64 {
        if members.is_empty() {
            return 0;
        }
        let Message { event, data, manner, .. } = self.message;
        let kept = self.once.filter(|_| matches!(manner, Manner::Overflow(_))).map(|policy| {
            let room = room.map(Arc::from);
            let (event, data) = (event.into(), Bytes::copy_from_slice(data));
            let through = Some(through.clone()).filter(|through| !through.is_empty());
            Arc::new(Kept { id: acks::next_id(), event, data, room, through, seq, policy })
        });
        let now = kept.as_ref().map(|_| Instant::now());
        let id = kept.as_ref().map(|kept| Id::Number(kept.id));
        let packet = Outgoing { room, seq, ..Outgoing::direct(event, id.as_ref(), data) };
        let mut encoded = Encoded::new(packet, members.len() > 1, memories);
        for (id, member) in members {
            if self.seen.skips(*id) || have.is_some_and(|have| have.contains_key(id)) {
                continue;
            }
            let frame = encoded.of(member);
            let frame = frame.offer();
            if frame.is_empty() {
                // Its dialect has no such message.
                continue;
            }
            if let (Some(kept), Some(now)) = (&kept, now)
                && member.spoken.dialect.acknowledges()
            {
                match member.deliveries.hand(member, kept, &frame, now) {
                    Handed::Sent { backlog, waker } => self.put_before(backlog, waker),
                    Handed::Waits(waker) => {
                        self.delivered.members += 1;
                        self.wakers.add(waker);
                    }
                    Handed::GivenUp(waker) => self.wakers.add(waker),
                    Handed::Closed => {}
                }
                continue;
            }
            let push = match manner {
                Manner::Overflow(overflow) => member.outbox.push_broadcast(frame, overflow),
                Manner::Volatile => member.outbox.push_volatile(frame),
            };
            match push {
                Push::Queued { backlog, waker, displaced } => {
                    member.counters.drop_by(manner, displaced);
                    self.put_before(backlog, waker);
                }
                Push::Dropped { waker, count: dropped } => {
                    member.counters.drop_by(manner, dropped);
                    self.wakers.add(waker);
                }
                Push::Full | Push::Closed => {}
            }
        }
        encoded.count
    }

    #[inline]
    fn put_before(&mut self, backlog: Backlog, waker: Option<Waker>) {
        self.delivered.members += 1;
        self.delivered.slowest = self.delivered.slowest.or_worse(backlog);
        self.wakers.add(waker);
    }
}

/// A broadcast's frame for one room, encoded when the first member of a dialect is met.
struct Encoded<'a> {
    packet: Outgoing<'a>,
    /// Whether there is more than one member: else nothing is shared.
    is_shared: bool,
    /// The frame of the dialect at place 0, which is JSON: the common case takes no list.
    first: Option<Encoding>,
    others: Vec<(usize, Encoding)>,
    memories: &'a mut Memories,
    count: u64,
}

enum Encoding {
    Alone(Scratch),
    Shared(Bytes),
}

impl Encoding {
    fn offer(&self) -> Offer<'_> {
        match self {
            Encoding::Alone(frame) => Offer::Alone(frame),
            Encoding::Shared(frame) => Offer::Shared(frame),
        }
    }
}

impl<'a> Encoded<'a> {
    fn new(packet: Outgoing<'a>, is_shared: bool, memories: &'a mut Memories) -> Self {
        Encoded { packet, is_shared, first: None, others: Vec::new(), memories, count: 0 }
    }

    fn of(&mut self, member: &Member) -> &Encoding {
        let Encoded { packet, is_shared, first, others, memories, count } = self;
        let mut encode = |memory: &mut Memory| {
            *count += 1;
            let frame = encode::frame(&*member.spoken.dialect, packet, memory);
            if *is_shared { Encoding::Shared(frame.to_bytes()) } else { Encoding::Alone(frame) }
        };
        let place = member.spoken.place;
        if place == 0 {
            return first.get_or_insert_with(|| encode(&mut Memory::default()));
        }
        let index = others.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            others.push((place, encode(memories.of(place))));
            others.len() - 1
        });
        &others[index].1
    }
}

/// Sockets by their ids, which nobody can choose.
type Ids = HashSet<SocketId, foldhash::fast::RandomState>;

/// Whom a broadcast leaves out, because it was told to or because they have it already.
struct Seen<'a> {
    except: &'a [SocketId],
    /// The members of rooms that are excepted.
    excepted: Option<Ids>,
    /// Who has it, where they may be met more than once.
    seen: Option<Ids>,
}

impl Seen<'_> {
    /// Whether this member is left out; from now on it has it.
    fn skips(&mut self, id: SocketId) -> bool {
        self.except.contains(&id)
            || self.excepted.as_ref().is_some_and(|excepted| excepted.contains(&id))
            || self.seen.as_mut().is_some_and(|seen| !seen.insert(id))
    }

    /// Those that it was told to leave out.
    fn excepted(&self) -> Cow<'_, [SocketId]> {
        if self.excepted.is_none() && self.except.len() < 2 {
            return Cow::Borrowed(self.except);
        }
        // Each of them once: they are counted.
        let all = self.except.iter().chain(self.excepted.iter().flatten());
        all.copied().collect::<Ids>().into_iter().collect()
    }
}

impl Backlog {
    /// The larger of both, measure by measure.
    pub(crate) fn or_worse(self, other: Backlog) -> Backlog {
        Backlog { bytes: self.bytes.max(other.bytes), messages: self.messages.max(other.messages) }
    }
}
