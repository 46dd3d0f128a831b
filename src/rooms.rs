//! Rooms and their members: one mutex a room, a sharded map of rooms, and the index back from
//! a member to its rooms.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;

use crate::hub::{Member, SocketId};
use crate::protocol::Memory;

/// So many that joins of different rooms seldom meet.
const SHARDS: usize = 64;

/// A room with its members.
#[derive(Debug)]
pub(crate) struct Room {
    /// Empty for the room of everyone, which no client can name.
    pub(crate) name: Arc<str>,
    // A std mutex: held while a message is put before each member, with no user code and no
    // await under it.
    state: Mutex<RoomState>,
}

#[derive(Debug, Default)]
pub(crate) struct RoomState {
    pub(crate) members: IndexMap<SocketId, Arc<Member>>,
    /// How often a broadcast was encoded for this room.
    pub(crate) encoded: u64,
    pub(crate) memories: Memories,
    /// Taken out of the map; whoever still holds it looks again.
    dead: bool,
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
    pub(crate) fn new(name: Arc<str>) -> Room {
        Room { name, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RoomState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All rooms that have members, by name.
#[derive(Debug)]
pub(crate) struct Rooms {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    rooms: HashMap<Arc<str>, Arc<Room>>,
    /// What rooms that are no more had encoded.
    encoded: u64,
}

impl Rooms {
    pub(crate) fn new() -> Rooms {
        Rooms { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, name: &str) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(name) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.shard(name).rooms.get(name).cloned()
    }

    /// Puts a member into a room, which is made if there is none.
    /// Returns the room and whether it is new.
    fn insert(&self, name: &str, member: &Arc<Member>) -> (Arc<Room>, bool) {
        loop {
            let room = {
                let mut shard = self.shard(name);
                match shard.rooms.get(name) {
                    Some(room) => room.clone(),
                    None => {
                        let name: Arc<str> = name.into();
                        let room = Arc::new(Room::new(name.clone()));
                        shard.rooms.insert(name, room.clone());
                        room
                    }
                }
            };
            let mut state = room.lock();
            if state.dead {
                continue;
            }
            state.members.insert(member.id, member.clone());
            let is_new = state.members.len() == 1;
            drop(state);
            return (room, is_new);
        }
    }

    /// Takes a member out of a room, and the room out of the map when that was the last one.
    /// Returns whether the room is gone.
    fn remove(&self, room: &Room, id: SocketId) -> bool {
        let mut state = room.lock();
        state.members.swap_remove(&id);
        if !state.members.is_empty() {
            let (members, spare) = (state.members.len(), state.members.capacity());
            if spare > 64 && members < spare / 4 {
                state.members.shrink_to(members * 2);
            }
            return false;
        }
        drop(state);
        // The map's lock comes before the room's; someone may have joined between.
        let mut shard = self.shard(&room.name);
        let mut state = room.lock();
        if state.dead || !state.members.is_empty() {
            return false;
        }
        state.dead = true;
        shard.encoded += state.encoded;
        shard.rooms.remove(&room.name);
        true
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of all rooms, in no order.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.shards().flat_map(|shard| shard.rooms.keys().cloned().collect::<Vec<_>>()).collect()
    }

    /// How many rooms there are, how many memberships, and how often they encoded a broadcast.
    pub(crate) fn count(&self) -> Census {
        let mut census = Census::default();
        for shard in self.shards() {
            census.rooms += shard.rooms.len();
            census.encoded += shard.encoded;
            for room in shard.rooms.values() {
                let state = room.lock();
                census.members += state.members.len();
                census.encoded += state.encoded;
            }
        }
        census
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) encoded: u64,
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

    /// Joins a room. `at_most`, given for a client's own subscriptions, bounds their number.
    pub(crate) fn join(
        &self,
        rooms: &Rooms,
        member: &Arc<Member>,
        name: &str,
        at_most: Option<usize>,
    ) -> Result<Change, NotJoined> {
        let mut state = self.lock();
        if state.gone {
            return Err(NotJoined::Gone);
        }
        if state.rooms.contains_key(name) {
            return Ok(Change::None);
        }
        if at_most.is_some_and(|most| state.rooms.len() >= most && state.subscriptions() >= most) {
            return Err(NotJoined::TooMany);
        }
        let (room, is_new) = rooms.insert(name, member);
        state.rooms.insert(room.name.clone(), Membership { room, subscribed: at_most.is_some() });
        Ok(if is_new { Change::Room } else { Change::Member })
    }

    pub(crate) fn leave(&self, rooms: &Rooms, id: SocketId, name: &str) -> Change {
        let mut state = self.lock();
        if state.gone {
            return Change::None;
        }
        match state.rooms.remove(name) {
            None => Change::None,
            Some(membership) if rooms.remove(&membership.room, id) => Change::Room,
            Some(_) => Change::Member,
        }
    }

    /// Leaves every room for good. Returns the rooms that are gone with it. Their names still answer.
    pub(crate) fn leave_all(&self, rooms: &Rooms, id: SocketId) -> Vec<Arc<str>> {
        let mut state = self.lock();
        state.gone = true;
        state
            .rooms
            .values()
            .filter(|membership| rooms.remove(&membership.room, id))
            .map(|membership| membership.room.name.clone())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.lock().rooms.keys().cloned().collect()
    }

    /// How many rooms the client has asked for.
    pub(crate) fn subscriptions(&self) -> usize {
        self.lock().subscriptions()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.lock().rooms.contains_key(name)
    }
}
