//! What one socket has not acknowledged.
//!
//! Its lock is taken with a room's held, and an outbox's within it; never the other way round.

mod buried;
mod due;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use self::buried::{Letters, bury, dead, overtaken};
use super::{AtLeastOnce, DeadLetter, GivenUp};
use crate::config::{Config, OutboxLimits};
use crate::encode::Scratch;
use crate::hub::{Member, SocketId, count};
use crate::outbox::{Backlog, Push};
use crate::protocol::{Id, Outgoing, Place};
use crate::rooms::Room;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// When a peer that takes nothing more is looked at again.
const LATER: Duration = Duration::from_millis(100);

/// A client that was slow gets twice the window again for each such time in which it did not say so.
const RECOVERY: Duration = Duration::from_secs(5);

/// From here on a client that tells its utilization is slow.
const SLOW: f64 = 0.5;

/// What deadlines are counted from.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// No deadline.
const NEVER: u64 = u64::MAX;

/// A message that is known by its `id`.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) event: Box<str>,
    pub(crate) data: Bytes,
    pub(crate) room: Option<Arc<str>>,
    /// The room, or the pattern, as whose member the socket gets it.
    pub(crate) through: Option<Arc<str>>,
    pub(crate) seq: Option<u64>,
    pub(crate) policy: AtLeastOnce,
}

/// What became of a message that was handed to a socket.
#[derive(Debug)]
pub(crate) enum Handed {
    Sent {
        backlog: Backlog,
        waker: Option<Waker>,
    },
    /// Until others are acknowledged, or the peer reads: then the connection is to look again.
    Waits(Option<Waker>),
    GivenUp(Option<Waker>),
    Closed,
}

/// One message that was sent.
#[derive(Debug)]
struct Attempt {
    policy: AtLeastOnce,
    tries: u32,
    /// When it is sent again.
    due: Instant,
    /// The client has refused it: an acknowledgement of others does not hold for it.
    is_refused: bool,
}

#[derive(Debug)]
struct InRoom {
    room: Arc<Room>,
    epoch: Arc<str>,
    seqs: BTreeMap<u64, Attempt>,
    /// The last that was sent: what is acknowledged beyond it is of another life of the room.
    last: u64,
}

#[derive(Debug)]
pub(crate) struct Deliveries {
    /// What may be in flight at most.
    window: usize,
    /// What may wait behind it.
    limits: OutboxLimits,
    // A std mutex: held for a look-up or a push.
    state: Mutex<State>,
    /// What was given up. Its lock is taken within the other.
    letters: Mutex<Letters>,
    /// The next deadline or an earlier time, in milliseconds: asked for without the lock whenever the connection has run.
    due: AtomicU64,
}

/// Most sockets have none of it.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Active(Box<Open>),
    Closed,
}

#[derive(Debug)]
struct Open {
    kept: HashMap<u64, (Arc<Kept>, Attempt)>,
    rooms: HashMap<Arc<str>, InRoom>,
    /// Sent and not settled.
    in_flight: usize,
    window: usize,
    /// When the window was made smaller last.
    slowed: Option<Instant>,
    waiting: VecDeque<Arc<Kept>>,
    waiting_bytes: usize,
    /// Rooms whose cursors stand still until something is settled.
    held: Vec<Arc<Room>>,
}

impl Attempt {
    fn first(policy: AtLeastOnce, now: Instant) -> Attempt {
        Attempt { policy, tries: 1, due: now + policy.patience(), is_refused: false }
    }

    fn sent_again(&mut self, now: Instant) {
        self.tries += 1;
        self.due = now + self.policy.patience();
    }

    /// The client does not want it. Returns whether it is sent again.
    fn refuse(&mut self, now: Instant) -> bool {
        self.is_refused = true;
        self.due = now + self.policy.pause(self.tries);
        !self.policy.is_last(self.tries)
    }
}

impl Kept {
    fn dead(&self, socket: SocketId, tries: u32, reason: GivenUp) -> DeadLetter {
        let data = String::from_utf8(self.data.to_vec()).ok();
        DeadLetter {
            socket,
            room: self.room.as_deref().map(str::to_owned),
            seq: self.seq,
            count: 1,
            event: Some(self.event.to_string()),
            data: data.and_then(|data| RawValue::from_string(data).ok()),
            tries,
            reason,
        }
    }

    /// As it is sent after so many tries.
    pub(crate) fn frame(&self, member: &Member, again: u32) -> Scratch {
        let (id, room) = (Id::Number(self.id), self.room.as_deref());
        let message = Outgoing::direct(&self.event, Some(&id), &self.data);
        member.encode(&Outgoing { room, seq: self.seq, again, ..message })
    }
}

impl Open {
    fn new(window: usize) -> Open {
        Open {
            kept: HashMap::new(),
            rooms: HashMap::new(),
            in_flight: 0,
            window,
            slowed: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held: Vec::new(),
        }
    }

    /// How many more may be sent.
    fn free(&mut self, most: usize, now: Instant) -> usize {
        if self.slowed.is_some_and(|slowed| now.saturating_duration_since(slowed) >= RECOVERY) {
            self.window = (self.window * 2).min(most);
            self.slowed = (self.window < most).then_some(now);
        }
        self.window.saturating_sub(self.in_flight)
    }

    fn send(&mut self, member: &Member, kept: &Arc<Kept>, frame: &[u8], now: Instant) -> Push {
        let push = member.outbox.push(frame);
        if matches!(push, Push::Queued { .. }) {
            count(&member.counters.delivered, 1);
            self.in_flight += 1;
            self.kept.insert(kept.id, (kept.clone(), Attempt::first(kept.policy, now)));
        }
        push
    }

    /// Something was settled: what waited for that goes on. Returns the wakers, and rooms to be asked again.
    fn release(&mut self, member: &Member, most: usize, now: Instant) -> (Vec<Waker>, Vec<Arc<Room>>) {
        let mut wakers = Vec::new();
        while self.free(most, now) > 0
            && let Some(kept) = self.waiting.pop_front()
        {
            match self.send(member, &kept, &kept.frame(member, 0), now) {
                Push::Queued { waker, .. } => {
                    self.waiting_bytes -= kept.data.len();
                    wakers.extend(waker);
                }
                _ => {
                    self.waiting.push_front(kept);
                    break;
                }
            }
        }
        let rooms = if self.free(most, now) > 0 { std::mem::take(&mut self.held) } else { Vec::new() };
        (wakers, rooms)
    }

    /// The next deadline.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let attempts = self.kept.values().map(|(_, attempt)| attempt);
        let in_rooms = self.rooms.values().flat_map(|room| room.seqs.values());
        let due = attempts.chain(in_rooms).map(|attempt| attempt.due).min();
        let looks = (!self.waiting.is_empty()).then(|| now + LATER);
        // Then there is a larger window.
        let recovers = self.slowed.filter(|_| !self.held.is_empty()).map(|slowed| slowed + RECOVERY);
        due.into_iter().chain(looks).chain(recovers).min()
    }
}

impl Deliveries {
    pub(crate) fn new(config: &Config) -> Deliveries {
        Deliveries {
            window: config.max_in_flight,
            limits: config.outbox,
            state: Mutex::default(),
            letters: Mutex::default(),
            due: AtomicU64::new(NEVER),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `f` with what there is.
    fn with<R: Default>(&self, f: impl FnOnce(&mut Open) -> R) -> R {
        match &mut *self.lock() {
            State::Active(open) => f(open),
            State::Idle | State::Closed => R::default(),
        }
    }

    /// Calls `f`, unless the socket is gone.
    fn open<R>(&self, f: impl FnOnce(&mut Open) -> R) -> Option<R> {
        let mut state = self.lock();
        if let State::Idle = *state {
            *state = State::Active(Box::new(Open::new(self.window)));
        }
        match &mut *state {
            State::Active(open) => Some(f(open)),
            _ => None,
        }
    }

    // ---- the clock

    fn expect(&self, due: Instant) {
        self.due.fetch_min(millis(due), Ordering::Relaxed);
    }

    /// When there is something to do at the earliest.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.due.load(Ordering::Relaxed);
        (due != NEVER).then(|| *BEGAN + Duration::from_millis(due))
    }

    /// Sends again, or gives up, what is due.
    pub(crate) fn tick(&self, member: &Member, now: Instant) {
        let rooms = self.with(|open| {
            open.kept_due(member, now);
            let is_due = |room: &&InRoom| room.seqs.values().any(|attempt| attempt.due <= now);
            open.rooms.values().filter(is_due).map(|in_room| in_room.room.clone()).collect::<Vec<_>>()
        });
        for room in rooms {
            // The room's lock comes first.
            room.with_log(|log| {
                self.with(|open| open.room_due(member, &room, now, |seq, epoch| log.message(seq, epoch)))
            });
        }
        self.go_on(member, now);
        // Under the lock: whatever is sent meanwhile is either found here, or makes it earlier afterwards.
        let state = self.lock();
        let due = if let State::Active(open) = &*state { open.next_due(now) } else { None };
        self.due.store(due.map_or(NEVER, millis), Ordering::Relaxed);
    }

    /// Lets go on what waits, as far as something was settled.
    fn go_on(&self, member: &Member, now: Instant) {
        let (wakers, rooms) = self.with(|open| open.release(member, self.window, now));
        let wakers = wakers.into_iter().chain(rooms.iter().filter_map(|room| member.outbox.push_ready_once(room)));
        wakers.for_each(Waker::wake);
    }

    // ---- sending

    /// Sends a message by its `id`, or lets it wait until others are settled.
    pub(crate) fn hand(&self, member: &Member, kept: &Arc<Kept>, frame: &[u8], now: Instant) -> Handed {
        let handed = self.open(|open| {
            // Before the connection can have sent it, and under the lock: what it sets its timer by when it goes to sleep.
            self.expect(now + kept.policy.patience());
            let mut is_full = false;
            if open.waiting.is_empty() && open.free(self.window, now) > 0 {
                match open.send(member, kept, frame, now) {
                    Push::Queued { backlog, waker, .. } => return Handed::Sent { backlog, waker },
                    Push::Closed | Push::Dropped { .. } => return Handed::Closed,
                    Push::Full => is_full = true,
                }
            }
            if !member.outbox.is_open() {
                return Handed::Closed;
            }
            let bytes = open.waiting_bytes + kept.data.len();
            if open.waiting.len() >= self.limits.messages || (bytes > self.limits.bytes && !open.waiting.is_empty()) {
                bury(member, kept.dead(member.id, 0, GivenUp::Full));
                self.expect(now);
                return Handed::GivenUp(member.outbox.poke());
            }
            open.waiting.push_back(kept.clone());
            open.waiting_bytes = bytes;
            if is_full {
                self.expect(now + LATER);
            }
            Handed::Waits(is_full.then(|| member.outbox.poke()).flatten())
        });
        handed.unwrap_or(Handed::Closed)
    }

    /// How many of so many messages of a room may be sent. Where that is none, the room is asked again once something is settled.
    pub(crate) fn reserve(&self, room: &Arc<Room>, wanted: u64, now: Instant) -> u64 {
        let reserved = self.open(|open| {
            let free = open.free(self.window, now) as u64;
            if free == 0 && !open.held.iter().any(|held| Arc::ptr_eq(held, room)) {
                open.held.push(room.clone());
            }
            free.min(wanted)
        });
        reserved.unwrap_or(wanted)
    }

    /// These messages of a room were sent; up to `last` it may speak of them.
    pub(crate) fn begin(
        &self,
        member: &Member,
        (room, epoch): (&Arc<Room>, &Arc<str>),
        seqs: RangeInclusive<u64>,
        last: u64,
        policy: AtLeastOnce,
        now: Instant,
    ) {
        let mut due = now + policy.patience();
        // A handle of the former life is dropped without a lock of ours.
        let _former = self.open(|open| {
            let mut former = None;
            let in_room = open.rooms.entry(room.name.clone()).or_insert_with(|| InRoom {
                room: room.clone(),
                epoch: epoch.clone(),
                seqs: BTreeMap::new(),
                last: 0,
            });
            if in_room.epoch != *epoch {
                // Another life of the room: nothing of the former one can be sent again.
                let lost = std::mem::take(&mut in_room.seqs);
                former = Some(std::mem::replace(&mut in_room.room, room.clone()));
                (in_room.epoch, in_room.last) = (epoch.clone(), 0);
                open.in_flight -= lost.len();
                due = now;
                for (seq, attempt) in lost {
                    let letter = overtaken(member.id, &room.name, seq, 1, attempt.tries);
                    bury(member, letter);
                }
            }
            let Some(in_room) = open.rooms.get_mut(&room.name) else { return former };
            in_room.last = in_room.last.max(last);
            for seq in seqs {
                match in_room.seqs.get_mut(&seq) {
                    // It has asked for it anew.
                    Some(attempt) => {
                        attempt.sent_again(now);
                        count(&member.counters.again, 1);
                    }
                    None => {
                        in_room.seqs.insert(seq, Attempt::first(policy, now));
                        open.in_flight += 1;
                        count(&member.counters.delivered, 1);
                    }
                }
            }
            former
        });
        self.expect(due);
    }

    /// A room's ring has overtaken the socket: so many messages from this one on were never sent.
    pub(crate) fn overtaken(&self, member: &Member, room: &str, from: u64, messages: u64, now: Instant) {
        bury(member, overtaken(member.id, room, from, messages, 0));
        self.expect(now);
    }

    // ---- settling

    /// The client has acknowledged a message by its `id`.
    pub(crate) fn ack(&self, member: &Member, id: u64, now: Instant) {
        let is_settled = self.with(|open| open.kept.remove(&id).is_some().then(|| open.in_flight -= 1).is_some());
        if is_settled {
            count(&member.counters.acked, 1);
            self.go_on(member, now);
        }
    }

    /// The client has acknowledged a room's messages up to this one, or this one. What it refused before it has to acknowledge one by one.
    pub(crate) fn ack_room(&self, member: &Member, place: &Place, now: Instant) {
        let Place { room, seq: up_to, is_one } = place;
        let settled = self.with(|open| {
            let is_before = |seq: u64, attempt: &Attempt| seq < *up_to && !attempt.is_refused && !is_one;
            let is_settled = |seq: u64, attempt: &Attempt| seq == *up_to || is_before(seq, attempt);
            // What was not sent yet can only be of another life of the room.
            let in_room = open.rooms.get_mut(&**room).filter(|in_room| *up_to <= in_room.last);
            let of_room = in_room.map_or(0, |in_room| {
                in_room.seqs.extract_if(..=*up_to, |seq, attempt| is_settled(*seq, attempt)).count()
            });
            // Through a pattern they come by `id`, with their number.
            let is_of_room = |kept: &Kept| kept.room.as_ref().is_some_and(|known| **known == **room);
            let is_known = open.kept.values().any(|(kept, _)| kept.seq == Some(*up_to) && is_of_room(kept));
            let by_id = open.kept.extract_if(|_, (kept, attempt)| {
                is_known && is_of_room(kept) && kept.seq.is_some_and(|seq| is_settled(seq, attempt))
            });
            let settled = of_room + by_id.count();
            open.in_flight -= settled;
            settled
        });
        if settled > 0 {
            count(&member.counters.acked, settled as u64);
            self.go_on(member, now);
        }
    }

    /// The client refuses a message by its `id`.
    pub(crate) fn nack(&self, member: &Member, id: u64, reason: &str, now: Instant) {
        let due = self.with(|open| {
            let (kept, attempt) = open.kept.get_mut(&id)?;
            count(&member.counters.nacked, 1);
            if attempt.refuse(now) {
                return Some(attempt.due);
            }
            let letter = kept.dead(member.id, attempt.tries, GivenUp::Refused(reason.to_owned()));
            open.kept.remove(&id);
            open.in_flight -= 1;
            bury(member, letter);
            Some(now)
        });
        due.into_iter().for_each(|due| self.expect(due));
    }

    /// The client refuses a message of a room by its number.
    pub(crate) fn nack_room(&self, member: &Member, name: &str, seq: u64, reason: &str, now: Instant) {
        let by_id = self.with(|open| {
            let is_it = |kept: &Kept| kept.room.as_deref() == Some(name) && kept.seq == Some(seq);
            open.kept.values().find(|(kept, _)| is_it(kept)).map(|(kept, _)| kept.id)
        });
        if let Some(id) = by_id {
            return self.nack(member, id, reason, now);
        }
        let Some(room) = self.with(|open| open.rooms.get(name).map(|in_room| in_room.room.clone())) else { return };
        let due = room.with_log(|log| {
            self.with(|open| {
                let in_room = open.rooms.get_mut(name)?;
                let attempt = in_room.seqs.get_mut(&seq)?;
                count(&member.counters.nacked, 1);
                if attempt.refuse(now) {
                    return Some(attempt.due);
                }
                let (tries, message) = (attempt.tries, log.message(seq, &in_room.epoch));
                in_room.seqs.remove(&seq);
                open.in_flight -= 1;
                bury(member, dead(member.id, name, seq, message, tries, GivenUp::Refused(reason.to_owned())));
                Some(now)
            })
        });
        due.flatten().into_iter().for_each(|due| self.expect(due));
    }

    /// The client tells how busy it is, from 0 to 1: slow ones get half the window, each time.
    pub(crate) fn slow(&self, member: &Member, utilization: f64, now: Instant) {
        self.open(|open| {
            if utilization >= SLOW {
                open.window = (open.window / 2).max(1);
                open.slowed = Some(now);
            } else {
                open.window = self.window;
                open.slowed = None;
            }
        });
        self.expect(now + RECOVERY);
        self.go_on(member, now);
    }

    // ---- the end

    /// It has left a room.
    pub(crate) fn leave(&self, member: &Member, room: &str, now: Instant) {
        let through = |kept: &Kept| kept.through.as_deref() == Some(room);
        // Handles of rooms are dropped without a lock of ours.
        let _former = self.with(|open| {
            let held: Vec<_> = open.held.extract_if(.., |held| *held.name == *room).collect();
            open.waiting.retain(|kept| !through(kept));
            open.waiting_bytes = open.waiting.iter().map(|kept| kept.data.len()).sum();
            let by_id = open.kept.extract_if(|_, (kept, _)| through(kept)).count();
            let in_room = open.rooms.remove(room);
            let left = by_id + in_room.as_ref().map_or(0, |in_room| in_room.seqs.len());
            open.in_flight -= left;
            count(&member.counters.left, left as u64);
            (held, in_room)
        });
        self.go_on(member, now);
    }

    /// The socket is to end once all is sent that was emitted: what waits is sent now.
    pub(crate) fn flush(&self, member: &Member, now: Instant) {
        self.with(|open| {
            for kept in std::mem::take(&mut open.waiting) {
                member.outbox.push_reply(&kept.frame(member, 0));
                count(&member.counters.delivered, 1);
                open.in_flight += 1;
                open.kept.insert(kept.id, (kept.clone(), Attempt::first(kept.policy, now)));
            }
            open.waiting_bytes = 0;
        });
    }

    /// The socket is gone. What is in a room's ring waits there for who comes back.
    pub(crate) fn close(&self, member: &Member) {
        self.due.store(NEVER, Ordering::Relaxed);
        let before = std::mem::replace(&mut *self.lock(), State::Closed);
        let State::Active(mut open) = before else { return };
        let left: usize = open.rooms.values().map(|in_room| in_room.seqs.len()).sum();
        count(&member.counters.left, left as u64);
        let sent = std::mem::take(&mut open.kept).into_values().map(|(kept, attempt)| (kept, attempt.tries));
        let waiting = std::mem::take(&mut open.waiting).into_iter().map(|kept| (kept, 0));
        for (kept, tries) in sent.chain(waiting) {
            bury(member, kept.dead(member.id, tries, GivenUp::Disconnected));
        }
    }
}

/// Rounded up: when it goes off, it is due.
fn millis(due: Instant) -> u64 {
    due.saturating_duration_since(*BEGAN).as_millis() as u64 + 1
}
