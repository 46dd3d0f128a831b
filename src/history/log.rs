//! The log of one room: its ring, the cursors of its members, and what wakes whom. It is data under its room's lock: it
//! waits for nobody and calls no user code.

mod pace;

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

use super::acknowledged::missed;
use super::ring::Ring;
use super::snapshot::Snapshot;
use super::translation::Translation;
use super::{Gap, History, Logged, Missing, Start};
use crate::delivery::AtLeastOnce;
use crate::encode::{self, Scratch};
use crate::frame::{self, Frames};
use crate::hub::{Member, SocketId, count};
use crate::protocol::{Dialect, Json, Memory, Outgoing, Packet};
use crate::rooms::Room;

/// A ring of fewer may hold this many before a fold is taken not to keep up: whoever folds may have lost the processor for some
/// time slices, while others emit.
const MOST_UNFOLDED: usize = 64 * 1024;

/// So many messages that single emits asked to be acknowledged are told apart when they are gone.
const MOST_GONE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Log {
    room: Arc<str>,
    keep: Arc<History>,
    /// Names this life of the room.
    pub(super) epoch: Arc<str>,
    pub(super) ring: Ring,
    /// Whom messages leave out, for those that leave out somebody.
    excepts: VecDeque<(u64, Box<[SocketId]>)>,
    /// What that takes; it counts as the messages do.
    except_bytes: usize,
    cursors: HashMap<SocketId, Cursor>,
    /// Members that have everything; the next message wakes them.
    parked: Vec<Arc<Member>>,
    /// How often that list was emptied: tells whether a member is in it.
    wakes: u64,
    /// Those that wait until slow members have caught up.
    waiters: Vec<Waker>,
    /// Of these, those to be woken.
    moved: Vec<Waker>,
    /// No cursor is before this number.
    slowest: u64,
    /// Whether members are to acknowledge all messages, and else which ones.
    pub(super) once: Option<AtLeastOnce>,
    pub(super) some_once: VecDeque<(u64, AtLeastOnce)>,
    translations: Vec<Translation>,
    /// How often a message was written in another dialect than JSON.
    translated: u64,
    pub(super) snapshot: Option<Snapshot>,
    began: Instant,
    is_forgotten: bool,
    /// When the last message came or the last member left.
    used: Instant,
}

/// How far a member has read.
#[derive(Debug)]
struct Cursor {
    next: u64,
    /// To be told before anything else.
    gap: Option<(Option<u64>, Option<u64>, Missing)>,
    /// The value of `wakes` when it parked, and where in the list.
    parked: Option<(u64, usize)>,
    /// The socket ends: nothing after this number is for it.
    stop: Option<u64>,
    /// Others are to be acknowledged first. Nobody waits for it meanwhile.
    is_held: bool,
    /// What its dialect remembers at this point.
    memory: Memory,
}

/// Where a new member begins, as its acknowledgement tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: Arc<str>,
    /// The last message so far.
    pub(crate) seq: u64,
    /// The first to come.
    pub(crate) from: u64,
}

/// A member's place in the log.
pub(crate) struct Placed {
    pub(super) position: Position,
    /// Whether there is something for it.
    pub(super) has_more: bool,
    /// Those that wait for slow members, to be woken without a lock.
    pub(super) moved: Vec<Waker>,
}

/// What a pull has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// There is more.
    More,
    /// That was all: the next message wakes the member.
    All,
    /// The snapshot must be written first, where the room is not locked.
    NeedsSnapshot,
    /// As many as may be are not acknowledged: the member asks again by itself once some are.
    Held,
}

/// What a life of a room leaves behind: to be dropped without a lock.
pub(super) struct Cleared {
    pub(crate) waiters: Vec<Waker>,
    _snapshot: Option<Snapshot>,
}

impl Log {
    pub(crate) fn new(room: Arc<str>, keep: Arc<History>, once: Option<AtLeastOnce>, now: Instant) -> Log {
        Log {
            room,
            epoch: new_epoch(),
            ring: Ring::new(),
            excepts: VecDeque::new(),
            except_bytes: 0,
            cursors: HashMap::new(),
            parked: Vec::new(),
            wakes: 0,
            waiters: Vec::new(),
            moved: Vec::new(),
            slowest: 0,
            once,
            some_once: VecDeque::new(),
            translations: Vec::new(),
            translated: 0,
            snapshot: keep.fold.clone().map(Snapshot::new),
            keep,
            began: now,
            is_forgotten: false,
            used: now,
        }
    }

    pub(crate) fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    pub(crate) fn last(&self) -> u64 {
        self.ring.last()
    }

    pub(crate) fn first(&self) -> u64 {
        self.ring.first()
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    pub(crate) fn translated(&self) -> u64 {
        self.translated
    }

    // ---- writing

    /// Adds a message, and wakes who waits for it.
    pub(crate) fn append(
        &mut self,
        event: &str,
        data: &[u8],
        except: &[SocketId],
        once: Option<AtLeastOnce>,
        now: Instant,
        mut wake: impl FnMut(&Member),
    ) {
        let seq = self.ring.last() + 1;
        let message = Outgoing { room: Some(&self.room), seq: Some(seq), ..Outgoing::direct(event, None, data) };
        let mut frame = Scratch::new();
        Json.encode(&message, &mut Memory::default(), &mut Frames::new(&mut frame));
        self.ring.push(&frame, self.age(now));
        if !except.is_empty() {
            self.except_bytes += size(except);
            self.excepts.push_back((seq, except.into()));
        }
        self.some_once.extend(once.filter(|_| self.once.is_none()).map(|once| (seq, once)));
        self.used = now;
        self.is_forgotten = false;
        self.evict(now);
        self.wake_parked(&mut wake);
    }

    fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_millis() as u64
    }

    pub(super) fn wake_parked(&mut self, wake: &mut dyn FnMut(&Member)) {
        if !self.parked.is_empty() {
            self.wakes += 1;
            self.parked.drain(..).for_each(|member| wake(&member));
        }
    }

    /// Whether a message is no longer to be kept, once all before it are gone. The newest one is, unless it is too old.
    pub(super) fn is_due(&self, seq: u64, now: Instant) -> bool {
        let Some(at) = self.ring.at(seq) else { return false };
        let is_old = self.keep.ttl.is_some_and(|ttl| u128::from(self.age(now).saturating_sub(at)) > ttl.as_millis());
        let left = self.ring.last() + 1 - seq;
        let bytes = self.ring.end() - self.ring.position(seq) + self.except_bytes as u64;
        is_old || (left > 1 && (left > self.keep.count as u64 || bytes > self.keep.bytes as u64))
    }

    /// Takes out what is no longer kept. With a snapshot that waits until it is folded.
    pub(crate) fn evict(&mut self, now: Instant) {
        if let Some(snapshot) = &mut self.snapshot
            && !snapshot.is_broken()
        {
            // Whoever emits folds at once; this much is left only when that takes longer than what comes meanwhile.
            let is_behind = self.ring.bytes() / 2 > self.keep.bytes.max(super::DEFAULT_BYTES)
                || self.ring.len() / 2 > self.keep.count.max(MOST_UNFOLDED);
            if !(is_behind && snapshot.is_lent()) {
                return;
            }
            tracing::error!(room = &*self.room, "a fold does not keep up: its room tells gaps now");
            snapshot.break_off();
        }
        while self.is_due(self.ring.first(), now) {
            self.pop();
        }
    }

    pub(super) fn pop(&mut self) {
        let gone = self.ring.first();
        self.ring.pop();
        if let Some((_, except)) = self.excepts.pop_front_if(|(seq, _)| *seq <= gone) {
            self.except_bytes -= size(&except);
        }
        // Those that are gone are known a while longer, to whom they were not sent.
        if self.some_once.len() > MOST_GONE {
            self.some_once.pop_front_if(|(seq, _)| *seq <= gone);
        }
    }

    // ---- members

    /// A member comes, or one that is there is moved.
    pub(crate) fn place(&mut self, member: &Arc<Member>, start: &Start) -> Placed {
        let is_there = self.cursors.contains_key(&member.id);
        if !is_there || matches!(start, Start::Since { .. }) {
            let cursor = self.begin(start);
            self.slowest = self.slowest.min(cursor.next);
            let parked = self.cursors.get(&member.id).and_then(|before| before.parked);
            self.cursors.insert(member.id, Cursor { parked, ..cursor });
        }
        let (seq, first) = (self.ring.last(), self.ring.first());
        let (mut from, mut has_more) = (seq + 1, false);
        if let Some(cursor) = self.cursors.get(&member.id) {
            from = cursor.next.max(first);
            has_more = cursor.gap.is_some() || cursor.next <= seq || cursor.next < first;
        }
        if has_more {
            self.unpark(member.id);
        } else {
            self.park(member);
        }
        // One that moves may have been the slowest.
        let moved = if is_there { mem::take(&mut self.waiters) } else { Vec::new() };
        Placed { position: Position { epoch: self.epoch.clone(), seq, from }, has_more, moved }
    }

    fn begin(&self, start: &Start) -> Cursor {
        let (first, end) = (self.ring.first(), self.ring.last() + 1);
        let tells_the_past = self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_broken());
        // Before the ring is the snapshot, where there is one.
        let from = |seq: u64| if tells_the_past { seq.max(1) } else { seq.max(first) };
        let (next, gap) = match start {
            Start::Live => (end, None),
            Start::Usual if self.keep.is_live_only => (end, None),
            Start::Usual => (from(1), None),
            Start::Last(count) => (from(end.saturating_sub(*count)), None),
            Start::Since { seq, epoch } if **epoch != *self.epoch || *seq >= end => {
                (from(1), Some((None, None, Missing::Epoch)))
            }
            Start::Since { seq, .. } if seq + 1 < first && !tells_the_past => {
                (first, Some((Some(seq + 1), Some(first - 1), Missing::Evicted)))
            }
            Start::Since { seq, .. } => (seq + 1, None),
        };
        Cursor { next, gap, parked: None, stop: None, is_held: false, memory: Memory::default() }
    }

    pub(super) fn park(&mut self, member: &Arc<Member>) {
        let Some(cursor) = self.cursors.get_mut(&member.id) else { return };
        if cursor.parked.is_none_or(|(wakes, _)| wakes != self.wakes) {
            cursor.parked = Some((self.wakes, self.parked.len()));
            self.parked.push(member.clone());
        }
    }

    /// Takes a member out of the list of those that have everything, if it is there.
    fn unpark(&mut self, id: SocketId) {
        let parked = self.cursors.get_mut(&id).and_then(|cursor| cursor.parked.take());
        let Some((_, index)) = parked.filter(|(wakes, _)| *wakes == self.wakes) else { return };
        self.parked.swap_remove(index);
        // The last one has its place now.
        if let Some(moved) = self.parked.get(index).and_then(|moved| self.cursors.get_mut(&moved.id)) {
            moved.parked = Some((self.wakes, index));
        }
    }

    /// A member goes. Those that wait for the slowest are to be woken.
    pub(crate) fn remove(&mut self, id: SocketId, now: Instant) -> Vec<Waker> {
        let spare = self.cursors.capacity();
        if spare > 64 && self.cursors.len() < spare / 4 {
            self.cursors.shrink_to(self.cursors.len() * 2);
        }
        self.unpark(id);
        if self.cursors.remove(&id).is_some() {
            self.used = now;
        }
        if self.cursors.is_empty() {
            self.translations = Vec::new();
        }
        mem::take(&mut self.waiters)
    }

    /// Nothing of it is needed any more once nobody is there.
    pub(crate) fn forget(&mut self) {
        self.is_forgotten = true;
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.is_forgotten
    }

    /// Whether nobody is there, nor was for as long as the history says.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.cursors.is_empty() && now.saturating_duration_since(self.used) >= self.keep.kept_idle()
    }

    /// Another life begins. Every member is told. Returns what is to be dropped without a lock.
    pub(super) fn clear(&mut self, now: Instant, mut wake: impl FnMut(&Member)) -> Cleared {
        self.epoch = new_epoch();
        self.ring = Ring::new();
        self.excepts = VecDeque::new();
        self.except_bytes = 0;
        self.some_once = VecDeque::new();
        self.slowest = 0;
        self.translations = Vec::new();
        self.used = now;
        for cursor in self.cursors.values_mut() {
            cursor.next = 1;
            cursor.gap = Some((None, None, Missing::Epoch));
            cursor.stop = cursor.stop.map(|_| 0);
            cursor.memory = Memory::default();
        }
        self.wake_parked(&mut wake);
        let snapshot = self.snapshot.as_mut().map(Snapshot::renew);
        Cleared { waiters: mem::take(&mut self.waiters), _snapshot: snapshot }
    }

    // ---- reading

    /// Gives a member what comes next for it: whole frames, up to `most` bytes but one message at least, each time with
    /// how many messages they are. With `is_last`, only what is there by now.
    pub(crate) fn pull(
        &mut self,
        room: &Arc<Room>,
        member: &Arc<Member>,
        most: usize,
        is_last: bool,
        mut give: impl FnMut(Bytes, usize),
    ) -> Pulled {
        let (first, last) = (self.ring.first(), self.ring.last());
        let acknowledges = member.spoken.dialect.acknowledges();
        // A dialect may have no such message, and nothing cannot be written.
        let mut give = |frames: Bytes, messages| {
            if !frames.is_empty() {
                give(frames, messages);
            }
        };
        // It may have left meanwhile.
        let Some(cursor) = self.cursors.get_mut(&member.id) else { return Pulled::All };
        if mem::take(&mut cursor.is_held) {
            self.slowest = self.slowest.min(cursor.next);
        }
        // The slowest moves: only that can end the wait for it.
        let is_awaited = !self.waiters.is_empty() && cursor.next <= self.slowest;
        if is_last {
            cursor.stop.get_or_insert(last);
        }
        if let Some((from, to, reason)) = cursor.gap.take() {
            give(gap(&self.room, &self.epoch, member, from, to, reason), 1);
        }
        if cursor.next < first {
            // Who ends does not wait for one that is not at hand.
            let is_at_hand = |snapshot: &&mut Snapshot| !(is_last && snapshot.is_lent() && !snapshot.is_written());
            match self.snapshot.as_mut().filter(|snapshot| !snapshot.is_broken()).filter(is_at_hand) {
                Some(snapshot) => {
                    let event = snapshot.event();
                    let Some(written) = snapshot.written() else { return Pulled::NeedsSnapshot };
                    give(written.frame(member, &self.room, &event, first - 1), 1);
                }
                None => {
                    let (from, to) = (Some(cursor.next), Some(first - 1));
                    let missed = missed(self.once, &self.some_once, cursor.next, first);
                    if let Some((from, messages)) = missed.filter(|_| acknowledges) {
                        member.deliveries.overtaken(member, &self.room, from, messages, Instant::now());
                    }
                    give(gap(&self.room, &self.epoch, member, from, to, Missing::Slow), 1);
                }
            }
            cursor.next = first;
            cursor.memory = Memory::default();
        }
        let last = cursor.stop.map_or(last, |stop| stop.min(last));
        if cursor.next <= last {
            let mut to = self.ring.reach(cursor.next, most).min(last);
            let next = cursor.next;
            // Who ends is sent all, and asked for nothing.
            let is_once = acknowledges && cursor.stop.is_none();
            let is_once =
                is_once && (self.once.is_some() || self.some_once.back().is_some_and(|(seq, _)| *seq >= next));
            if is_once {
                to = to.min(next + member.deliveries.reserve(room, to + 1 - next, Instant::now()) - 1);
                if to < next {
                    if let Some(cursor) = self.cursors.get_mut(&member.id) {
                        cursor.is_held = true;
                    }
                    self.moved.append(&mut self.waiters);
                    return Pulled::Held;
                }
            }
            let once = is_once.then_some(room);
            self.give(member, to, most, once, give);
        }
        let is_all = self.cursors.get(&member.id).is_none_or(|cursor| cursor.next > last);
        if is_all {
            self.park(member);
        }
        if is_awaited {
            self.moved.append(&mut self.waiters);
        }
        if is_all { Pulled::All } else { Pulled::More }
    }

    /// Gives the messages up to `to` that are for this member; in another dialect than JSON no more than about `most` bytes.
    ///
    /// With `once`, it is to acknowledge them.
    fn give(
        &mut self,
        member: &Arc<Member>,
        to: u64,
        most: usize,
        once: Option<&Arc<Room>>,
        mut give: impl FnMut(Bytes, usize),
    ) {
        let Some(cursor) = self.cursors.get_mut(&member.id) else { return };
        let (mut next, mut memory) = (cursor.next, mem::take(&mut cursor.memory));
        let index = self.excepts.partition_point(|(seq, _)| *seq < next);
        let left_out = self.excepts.range(index..).take_while(|(seq, _)| *seq <= to);
        let left_out: Vec<u64> =
            left_out.filter(|(_, except)| except.contains(&member.id)).map(|(seq, _)| *seq).collect();
        let mut written = 0;
        for end in left_out.into_iter().chain([to + 1]) {
            if member.spoken.place == 0 && next < end {
                let mut before = None;
                self.ring.read(next, end - 1, |slice| {
                    if let Some(before) = before.replace(slice) {
                        give(before, 0);
                    }
                });
                // Counted with the last of them.
                give(before.unwrap_or_default(), (end - next) as usize);
                self.expect(member, once, next..=end - 1);
                next = end;
            }
            while next < end && written < most {
                let frames = self.translate(member, next, &mut memory);
                written += frames.len();
                if !frames.is_empty() {
                    self.expect(member, once, next..=next);
                }
                give(frames, 1);
                next += 1;
            }
            if next < end {
                break;
            }
            // The one that it is left out of.
            next = end + 1;
        }
        if let Some(cursor) = self.cursors.get_mut(&member.id) {
            cursor.next = next.min(to + 1);
            cursor.memory = memory;
        }
    }

    /// A message in another dialect than JSON.
    fn translate(&mut self, member: &Member, seq: u64, memory: &mut Memory) -> Bytes {
        let place = member.spoken.place;
        let index = self.translations.iter().position(|known| known.place == place).unwrap_or_else(|| {
            self.translations.push(Translation::new(place));
            self.translations.len() - 1
        });
        if let Some(frames) = self.translations[index].find(seq, memory) {
            return frames;
        }
        let frame = self.ring.frame(seq);
        let Some(packet) = packet(&frame) else { return Bytes::new() };
        let outgoing = Outgoing::direct(packet.event(), None, packet.data());
        let outgoing = Outgoing { room: Some(&self.room), seq: Some(seq), ..outgoing };
        let before = memory.clone();
        self.translated += 1;
        let frames = encode::frame(&*member.spoken.dialect, &outgoing, memory).to_bytes();
        self.translations[index].keep(seq, before, frames.clone(), memory.clone());
        frames
    }

    /// The messages of these numbers that are kept.
    pub(crate) fn read(&mut self, from: u64, to: u64) -> Vec<(u64, Bytes)> {
        let (from, to) = (from.max(self.ring.first()), to.min(self.ring.last()));
        (from..=to).map(|seq| (seq, self.ring.frame(seq))).collect()
    }
}

/// What members miss is told to each in its dialect.
fn gap(room: &str, epoch: &str, member: &Member, from: Option<u64>, to: Option<u64>, reason: Missing) -> Bytes {
    count(&member.counters.gaps, 1);
    member.tell("gap", None, &Gap { room, epoch, from, to, reason }).to_bytes()
}

/// What a list of those that are left out takes.
fn size(except: &[SocketId]) -> usize {
    size_of_val(except) + size_of::<(u64, Box<[SocketId]>)>()
}

fn new_epoch() -> Arc<str> {
    let mut text = uuid::Uuid::new_v4().simple().to_string();
    text.truncate(16);
    text.into()
}

/// What was written as a frame of JSON.
fn packet(frame: &Bytes) -> Option<Packet> {
    Json.decode(frame.slice(frame::payload(frame)..), usize::MAX).ok()
}

/// The message that a frame of the ring is.
pub(crate) fn logged(seq: u64, frame: &Bytes) -> Option<Logged> {
    let packet = packet(frame)?;
    let data = String::from_utf8(packet.data().to_vec()).ok()?;
    Some(Logged { seq, event: packet.event().to_owned(), data: serde_json::value::RawValue::from_string(data).ok()? })
}
