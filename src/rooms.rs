//! Rooms, their members and what they remember: one mutex a room, a sharded map of rooms, and the index back from a member to
//! its rooms.

mod recent;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use hashbrown::HashTable;
use indexmap::IndexMap;

use self::recent::MapId;
use crate::delivery::AtLeastOnce;
use crate::history::{History, Log, Position, Start};
use crate::hub::{Member, SocketId};
use crate::outbox::Backlog;
use crate::patterns::Patterns;
use crate::protocol::{Memory, is_room_name};
use crate::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use crate::wildcard::{self, Trie};

/// So many that joins of different rooms seldom meet.
const SHARDS: usize = 64;

/// A client can leave any number of rooms behind in which nothing was ever said. So many of them are kept: who lost its
/// connection before the first message is to find the same room again.
const MAX_SILENT: usize = 4096;

/// Members by their ids, which nobody can choose.
pub(crate) type Members = IndexMap<SocketId, Arc<Member>, foldhash::fast::RandomState>;

/// A room with its members.
#[derive(Debug)]
pub(crate) struct Room {
    /// Empty for the room of everyone, which no client can name.
    pub(crate) name: Arc<str>,
    // A std mutex: held while a message is put before each member, with no user code and no
    // await under it.
    state: Mutex<RoomState>,
    /// Whether it has a log. That does not change.
    is_logged: bool,
    /// Whether its messages are to be acknowledged. Nor does that.
    pub(crate) once: Option<AtLeastOnce>,
    /// Whether its name is a pattern: its members get what is said in all rooms that match.
    pub(crate) is_wild: bool,
}

#[derive(Debug, Default)]
pub(crate) struct RoomState {
    pub(crate) members: Members,
    /// How often a broadcast was encoded for this room; in other dialects than JSON its log counts.
    pub(crate) encoded: u64,
    pub(crate) memories: Memories,
    /// What it remembers, where a rule says that it does.
    pub(crate) log: Option<Box<Log>>,
    /// Whether it is among those that are kept with neither members nor messages: one that is left again has its place there.
    is_kept_silent: bool,
    /// Taken out of the map; whoever still holds it looks again.
    dead: bool,
}

/// Whether a table takes far more than it holds.
pub(crate) fn is_sparse(held: usize, capacity: usize) -> bool {
    capacity > 64 && held < capacity / 4
}

impl RoomState {
    /// A member goes, and with many of them the place that they took.
    pub(crate) fn leave(&mut self, id: SocketId) {
        self.members.swap_remove(&id);
        if is_sparse(self.members.len(), self.members.capacity()) {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    fn encoded(&self) -> u64 {
        self.encoded + self.log.as_ref().map_or(0, |log| log.translated())
    }
}

/// What each dialect remembers of a room.
#[derive(Debug, Default)]
pub(crate) struct Memories(Vec<(usize, Memory)>);

impl Memories {
    /// That of the dialect at this place.
    pub(crate) fn of(&mut self, place: usize) -> &mut Memory {
        let index = self.0.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            self.0.push((place, Memory::default()));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }
}

impl Room {
    pub(crate) fn new(name: Arc<str>, keep: Option<Arc<History>>, once: Option<AtLeastOnce>) -> Room {
        let is_logged = keep.is_some();
        let log = keep.map(|keep| Box::new(Log::new(name.clone(), keep, once, Instant::now())));
        let is_wild = wildcard::is_wild(&name);
        Room { name, state: Mutex::new(RoomState { log, ..RoomState::default() }), is_logged, once, is_wild }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All rooms that have members or remember something, by name.
#[derive(Debug)]
pub(crate) struct Rooms {
    /// Which rooms are to remember.
    pub(crate) histories: Patterns<Arc<History>>,
    /// Of which rooms messages are to be acknowledged.
    pub(crate) once: Patterns<AtLeastOnce>,
    /// The rooms of patterns, which are in the map too.
    wild: RwLock<Trie<Room>>,
    /// Whether there are any: a broadcast then has nothing to look up.
    has_wild: AtomicBool,
    /// Rooms that remember, but have neither members nor messages; some may have got either meanwhile.
    silent: Mutex<VecDeque<Weak<Room>>>,
    id: MapId,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    rooms: HashTable<Arc<Room>>,
    /// What rooms that are no more had encoded.
    encoded: u64,
}

impl Shard {
    fn find(&self, hash: u64, name: &str) -> Option<&Arc<Room>> {
        self.rooms.find(hash, |room| *room.name == *name)
    }
}

impl Rooms {
    pub(crate) fn new() -> Rooms {
        Rooms {
            histories: Patterns::default(),
            once: Patterns::default(),
            wild: RwLock::default(),
            has_wild: AtomicBool::new(false),
            silent: Mutex::default(),
            id: MapId::next(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// The shard of a name, and the name's hash there. Names are mostly clients' own: the hash is one that they cannot foresee.
    fn shard(&self, name: &str) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(name);
        // Other bits than those that the table looks at.
        (self.lock_shard((hash >> 32) as usize % SHARDS), hash)
    }

    fn lock_shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        let (shard, hash) = self.shard(name);
        let room = shard.find(hash, name).cloned();
        drop(shard);
        room.inspect(|room| self.id.found(hash, room))
    }

    fn write_wild(&self) -> RwLockWriteGuard<'_, Trie<Room>> {
        self.wild.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rooms of the patterns that match a name. None match what cannot be a room's: applications emit to names of their clients'
    /// choosing, and who is named in a frame is not escaped.
    pub(crate) fn matching(&self, name: &str) -> Vec<Arc<Room>> {
        let mut found = Vec::new();
        if self.has_wild.load(Ordering::Acquire) && is_room_name(name) {
            self.wild.read().unwrap_or_else(PoisonError::into_inner).find(name, &mut found);
        }
        found
    }

    /// Calls `f` with a room under its lock, if there is one. With `opens`, one that remembers is made.
    pub(crate) fn with<R>(
        &self,
        name: &str,
        opens: bool,
        f: impl FnOnce(&Arc<Room>, &mut RoomState) -> R,
    ) -> Option<R> {
        let mut recent = self.id.recent(name);
        loop {
            let room = match recent.take().or_else(|| self.get(name)) {
                Some(room) => room,
                None if !opens => return None,
                // The name may be a client's: clients can subscribe to no other.
                None if !is_room_name(name) => return None,
                None => self.make(name, Some(self.histories.find(name)?)),
            };
            let mut state = room.lock();
            if !state.dead {
                return Some(f(&room, &mut state));
            }
        }
    }

    fn make(&self, name: &str, keep: Option<Arc<History>>) -> Arc<Room> {
        let (mut shard, hash) = self.shard(name);
        if let Some(room) = shard.find(hash, name) {
            return room.clone();
        }
        let name: Arc<str> = name.into();
        let once = self.once.find(&name);
        let room = Arc::new(Room::new(name, keep, once));
        shard.rooms.insert_unique(hash, room.clone(), |room| self.hasher.hash_one(&*room.name));
        if room.is_wild {
            let mut wild = self.write_wild();
            wild.insert(&room.name, room.clone());
            self.has_wild.store(true, Ordering::Release);
        }
        room
    }

    /// Puts a member into a room, which is made if there is none.
    /// Returns the room, whether this is its first member, and where in the log that begins.
    fn insert(&self, name: &str, member: &Arc<Member>, start: &Start) -> (Arc<Room>, bool, Option<Position>) {
        loop {
            let room = self.get(name).unwrap_or_else(|| {
                let keep = if wildcard::is_wild(name) { None } else { self.histories.find(name) };
                self.make(name, keep)
            });
            let mut state = room.lock();
            if state.dead {
                continue;
            }
            state.members.insert(member.id, member.clone());
            let is_first = state.members.len() == 1;
            let placed = state.log.as_mut().map(|log| log.place(member, start));
            drop(state);
            return (room.clone(), is_first, placed.map(|placed| room.begin(member, placed)));
        }
    }

    /// Takes a member out of a room, and the room out of the map when that was the last one.
    /// Returns whether the room is gone.
    fn remove(&self, room: &Arc<Room>, id: SocketId) -> bool {
        let mut state = room.lock();
        state.leave(id);
        let waiters = state.log.as_mut().map(|log| log.remove(id, Instant::now())).unwrap_or_default();
        let is_over =
            |state: &RoomState| state.members.is_empty() && state.log.as_ref().is_none_or(|log| log.is_forgotten());
        let looks_over = is_over(&state);
        let is_silent = state.members.is_empty() && state.log.as_ref().is_some_and(|log| log.last() == 0);
        let is_to_be_kept = is_silent && !state.is_kept_silent;
        state.is_kept_silent |= is_to_be_kept;
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
        if is_to_be_kept {
            self.keep_silent(room);
        }
        looks_over && self.take_out(room, is_over)
    }

    /// Keeps a room with neither members nor messages for who comes back to it; too many of them, and the oldest are forgotten.
    fn keep_silent(&self, room: &Arc<Room>) {
        let oldest = {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.push_back(Arc::downgrade(room));
            (silent.len() > MAX_SILENT).then(|| silent.pop_front()).flatten().and_then(|room| room.upgrade())
        };
        if let Some(oldest) = oldest {
            oldest.lock().is_kept_silent = false;
            self.take_out(&oldest, |state| {
                state.members.is_empty() && state.log.as_ref().is_some_and(|log| log.last() == 0)
            });
        }
    }

    /// Forgets what a room remembers: at once where nobody is there, else when the last member leaves.
    /// Returns whether the room is gone.
    pub(crate) fn forget(&self, name: &str) -> bool {
        let Some(room) = self.get(name) else { return false };
        let is_over =
            |state: &RoomState| state.members.is_empty() && state.log.as_ref().is_some_and(|log| log.is_forgotten());
        let looks_over = {
            let mut state = room.lock();
            if let Some(log) = &mut state.log {
                log.forget();
            }
            is_over(&state)
        };
        looks_over && self.take_out(&room, is_over)
    }

    /// Takes a room out of the map, if it is still over.
    fn take_out(&self, room: &Room, is_over: impl FnOnce(&RoomState) -> bool) -> bool {
        // The map's lock comes before the room's; someone may have joined between.
        let (mut shard, hash) = self.shard(&room.name);
        let mut state = room.lock();
        if state.dead || !is_over(&state) {
            return false;
        }
        state.dead = true;
        shard.encoded += state.encoded();
        if let Ok(entry) = shard.rooms.find_entry(hash, |known| known.name == room.name) {
            entry.remove();
        }
        if room.is_wild {
            let mut wild = self.write_wild();
            wild.remove(&room.name);
            self.has_wild.store(!wild.is_empty(), Ordering::Release);
        }
        true
    }

    /// Takes out messages that are too old, and rooms that have remembered long enough. Returns those.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        for index in 0..SHARDS {
            let rooms: Vec<Arc<Room>> =
                self.lock_shard(index).rooms.iter().filter(|room| room.is_logged).cloned().collect();
            for room in rooms {
                let is_over = |state: &RoomState| state.log.as_ref().is_some_and(|log| log.is_over(now));
                let looks_over = {
                    let mut state = room.lock();
                    if let Some(log) = &mut state.log {
                        log.evict(now);
                    }
                    is_over(&state)
                };
                if looks_over && self.take_out(&room, is_over) {
                    gone.push(room.name.clone());
                } else {
                    room.fold();
                }
            }
        }
        gone
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        (0..SHARDS).map(|index| self.lock_shard(index))
    }

    /// The names of all rooms with members, in no order.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.names_of(|room| !room.is_wild && (!room.is_logged || !room.lock().members.is_empty()))
    }

    /// Those of patterns with members.
    pub(crate) fn patterns(&self) -> Vec<Arc<str>> {
        self.names_of(|room| room.is_wild)
    }

    /// Those of rooms that remember, with members or without.
    pub(crate) fn logs(&self) -> Vec<Arc<str>> {
        self.names_of(|room| room.is_logged)
    }

    fn names_of(&self, is_one: impl Fn(&Room) -> bool) -> Vec<Arc<str>> {
        let names = |shard: MutexGuard<'_, Shard>| -> Vec<Arc<str>> {
            shard.rooms.iter().filter(|room| is_one(room)).map(|room| room.name.clone()).collect()
        };
        self.shards().flat_map(names).collect()
    }

    /// How far the slowest of all members of rooms with history is behind, in bytes and in messages.
    pub(crate) fn lag(&self) -> Backlog {
        let mut slowest = Backlog::default();
        for shard in self.shards() {
            let lags = shard.rooms.iter().filter_map(|room| room.lock().log.as_ref().map(|log| log.lag(None)));
            slowest = lags.fold(slowest, Backlog::or_worse);
        }
        slowest
    }

    /// The same of one member in one room.
    pub(crate) fn lag_of(&self, id: SocketId, room: &str) -> Backlog {
        let room = self.get(room);
        room.and_then(|room| room.lock().log.as_ref().map(|log| log.lag(Some(id)))).unwrap_or_default()
    }

    /// How many rooms there are, how many memberships, and how often they encoded a broadcast.
    pub(crate) fn count(&self) -> Census {
        let mut census = Census::default();
        for shard in self.shards() {
            census.encoded += shard.encoded;
            for room in shard.rooms.iter() {
                let state = room.lock();
                let is_used = usize::from(!state.members.is_empty());
                *if room.is_wild { &mut census.patterns } else { &mut census.rooms } += is_used;
                if let Some(log) = &state.log {
                    census.logs += 1;
                    census.logged_messages += log.len();
                    census.logged_bytes += log.bytes();
                }
                census.members += state.members.len();
                census.encoded += state.encoded();
            }
        }
        census
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) rooms: usize,
    pub(crate) patterns: usize,
    pub(crate) members: usize,
    pub(crate) encoded: u64,
    pub(crate) logs: usize,
    pub(crate) logged_messages: usize,
    pub(crate) logged_bytes: usize,
}

/// The way back: the rooms that one member is in.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    // Taken before any room's lock, and kept while the room's is held: the end of the socket
    // takes it too, so that no join can slip in behind it.
    state: Mutex<JoinedState>,
}

#[derive(Debug, Default)]
struct JoinedState {
    rooms: HashMap<Arc<str>, Membership>,
    /// The socket has left everything, and joins nothing again.
    gone: bool,
    /// What it was in then.
    left: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Membership {
    room: Arc<Room>,
    /// Whether the client asked for it; such rooms count toward `maxSubscriptions`.
    subscribed: bool,
}

/// What a join or a leave changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The room has another member, or one less.
    Member,
    /// The room has its first member, or lost its last.
    Room,
}

/// Why a member is not in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotJoined {
    Gone,
    TooMany,
}

impl JoinedState {
    fn subscriptions(&self) -> usize {
        self.rooms.values().filter(|membership| membership.subscribed).count()
    }
}

impl Joined {
    fn lock(&self) -> MutexGuard<'_, JoinedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a room. `at_most`, given for a client's own subscriptions, bounds their number. `start` says where in a log.
    pub(crate) fn join(
        &self,
        rooms: &Rooms,
        member: &Arc<Member>,
        name: &str,
        at_most: Option<usize>,
        start: &Start,
    ) -> Result<(Change, Option<Position>), NotJoined> {
        let mut state = self.lock();
        if state.gone {
            return Err(NotJoined::Gone);
        }
        if let Some(Membership { room, .. }) = state.rooms.get(name) {
            let placed = room.lock().log.as_mut().map(|log| log.place(member, start));
            return Ok((Change::None, placed.map(|placed| room.begin(member, placed))));
        }
        if at_most.is_some_and(|most| state.rooms.len() >= most && state.subscriptions() >= most) {
            return Err(NotJoined::TooMany);
        }
        let (room, is_first, position) = rooms.insert(name, member, start);
        state.rooms.insert(room.name.clone(), Membership { room, subscribed: at_most.is_some() });
        Ok((if is_first { Change::Room } else { Change::Member }, position))
    }

    pub(crate) fn leave(&self, rooms: &Rooms, member: &Member, name: &str) -> Change {
        let mut state = self.lock();
        if state.gone {
            return Change::None;
        }
        match state.rooms.remove(name) {
            None => Change::None,
            Some(membership) => {
                let is_gone = rooms.remove(&membership.room, member.id);
                // Before it can join again.
                member.deliveries.leave(member, name, Instant::now());
                if is_gone { Change::Room } else { Change::Member }
            }
        }
    }

    /// Leaves every room for good. Returns the rooms that are gone with it. Their names still answer.
    pub(crate) fn leave_all(&self, rooms: &Rooms, id: SocketId) -> Vec<Arc<str>> {
        let mut state = self.lock();
        state.gone = true;
        // The names alone: a handle of the socket may be kept for long, and what a room remembers is large.
        let joined = mem::take(&mut state.rooms);
        state.left = joined.keys().cloned().collect();
        joined
            .into_values()
            .filter(|membership| rooms.remove(&membership.room, id))
            .map(|membership| membership.room.name.clone())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let state = self.lock();
        state.rooms.keys().chain(&state.left).cloned().collect()
    }

    /// Those that remember.
    pub(crate) fn logged(&self) -> Vec<Arc<Room>> {
        let state = self.lock();
        state.rooms.values().map(|membership| &membership.room).filter(|room| room.is_logged).cloned().collect()
    }

    /// How many rooms the client has asked for.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().subscriptions()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.lock().rooms.contains_key(name)
    }
}

#[cfg(test)]
mod tests;
