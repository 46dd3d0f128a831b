//! The queue to one peer: bounded in count and bytes, with its overflow policy in one place.

mod item;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use tokio::sync::Notify;

pub(crate) use self::item::{Item, Kind, Offer};
use crate::closing::{DisconnectReason, Ending};
use crate::config::{OutboxLimits, Overflow};
use crate::rooms::Room;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// A queue that grew beyond this many entries is given back when it is empty; what is smaller, with the next ping.
const KEEP: usize = TURN_FRAMES;

/// The writer takes at most this many bytes at once, and no more than a quarter of what may wait, so
/// that the rest can still be dropped or overtaken.
pub(crate) const TURN_BYTES: usize = 64 * 1024;

/// And at most this many frames: what one vectored write takes.
pub(crate) const TURN_FRAMES: usize = 256;

/// And asks at most this many rooms.
const TURN_ROOMS: usize = 32;

/// What waits for one peer, in the order in which it will be sent.
#[derive(Debug)]
pub(crate) struct Outbox {
    limits: OutboxLimits,
    // A std mutex: held for a push or a take, never across an await, and no user code under it.
    state: Mutex<State>,
    /// Tells emits that wait that there may be room.
    freed: Notify,
    is_ending: AtomicBool,
    is_cut: AtomicBool,
    /// Whether there are [`gates`](State::gates).
    is_gated: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    /// What is queued and what the writer has taken but not sent.
    waiting: Backlog,
    /// Bytes of [`Kind::Reply`] in the queue.
    replies: usize,
    /// Those that wait for room.
    waiters: usize,
    /// Rooms with history that have something for this member, each mostly once.
    ready: VecDeque<Arc<Room>>,
    /// How many [`Kind::Reserved`] and [`Kind::Filled`] are queued: an acknowledgement precedes what comes from a room.
    gates: usize,
    /// The end, once decided. The outbox takes nothing more.
    // Boxed: while it lives, it takes no place between what each push looks at.
    ending: Option<Box<Ending>>,
    /// The connection is gone.
    closed: bool,
    /// The kernel takes no more for now.
    blocked: bool,
    /// The writer sleeps until the queue is no longer empty.
    parked: bool,
    writer: Option<Waker>,
}

/// What waits for a peer. See [`Socket::backlog`](crate::Socket::backlog).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Backlog {
    /// Bytes, with frame headers.
    pub bytes: usize,
    /// Messages.
    pub messages: usize,
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Push {
    /// It will be sent, unless the connection ends before. The waker, if any, is to be called
    /// after all locks are released.
    Queued { backlog: Backlog, waker: Option<Waker>, displaced: u64 },
    /// There is no room.
    Full,
    /// It was dropped as the policy says, and with it so many in all; likewise a waker.
    Dropped { waker: Option<Waker>, count: u64 },
    /// The socket is disconnected.
    Closed,
}

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Frames are in the batch, or rooms are ready.
    Write,
    /// Nothing waits; the next push wakes the writer.
    Park,
    /// The end, and nothing waits before it.
    End(Ending),
}

impl Backlog {
    pub(crate) fn add(&mut self, more: Backlog) {
        self.bytes += more.bytes;
        self.messages += more.messages;
    }

    pub(crate) fn exceeds(self, limit: Backlog) -> bool {
        self.bytes > limit.bytes || self.messages > limit.messages
    }
}

/// Counts one that waits for room, so that the writer tells of room only where somebody waits.
struct Waiting<'a>(&'a Outbox);

impl<'a> Waiting<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        outbox.lock().waiters += 1;
        Waiting(outbox)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiters -= 1;
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.ending.is_none() && !self.closed
    }

    fn has_room(&self, frame: usize, limits: &OutboxLimits) -> bool {
        // A frame above the limit gets through alone, or it never could.
        self.waiting.messages == 0
            || (self.waiting.messages < limits.messages && self.waiting.bytes + frame <= limits.bytes)
    }

    fn push(&mut self, offer: Offer<'_>, kind: Kind, limits: &OutboxLimits) -> Push {
        self.waiting.messages += 1;
        self.waiting.bytes += offer.len();
        match kind {
            Kind::Reply => self.replies += offer.len(),
            Kind::Reserved => self.gates += 1,
            _ => {}
        }
        let most = turn(limits).messages;
        let joined = match offer {
            Offer::Alone(frame) => self.queue.back_mut().is_some_and(|last| last.extend(frame, kind, most)),
            Offer::Shared(_) => false,
        };
        if !joined {
            self.queue.push_back(Item::new(offer, kind));
        }
        Push::Queued { backlog: self.waiting, waker: self.unpark(), displaced: 0 }
    }

    /// The peer's dialect has no such message: there is nothing to queue.
    fn pass(&self) -> Push {
        Push::Queued { backlog: self.waiting, waker: None, displaced: 0 }
    }

    fn unpark(&mut self) -> Option<Waker> {
        if !self.parked {
            return None;
        }
        self.parked = false;
        self.writer.clone()
    }

    fn know(&mut self, writer: &Waker) {
        if !self.writer.as_ref().is_some_and(|known| known.will_wake(writer)) {
            self.writer = Some(writer.clone());
        }
    }

    /// For the writer, which has nothing: what goes out next, at least one frame.
    fn take(&mut self, turn: Backlog, batch: &mut VecDeque<Item>) {
        // All that waits is in the queue. Mostly that is one turn, and none of it needs to be moved.
        if self.gates == 0 && !self.waiting.exceeds(turn) {
            self.replies = 0;
            mem::swap(&mut self.queue, batch);
            return;
        }
        let (mut bytes, mut messages) = (0, 0);
        while batch.is_empty() || (bytes < turn.bytes && messages < turn.messages) {
            let Some(item) = self.queue.pop_front_if(|item| item.kind != Kind::Reserved) else { break };
            match item.kind {
                Kind::Reply => self.replies -= item.len(),
                Kind::Filled => self.gates -= 1,
                _ => {}
            }
            bytes += item.len();
            messages += item.messages();
            batch.push_back(item);
        }
    }

    fn forget(&mut self, item: &Item) {
        self.waiting.messages -= item.messages();
        self.waiting.bytes -= item.len();
    }
}

/// What the writer takes at once.
fn turn(limits: &OutboxLimits) -> Backlog {
    Backlog { bytes: (limits.bytes / 4).min(TURN_BYTES), messages: (limits.messages / 4).clamp(1, TURN_FRAMES) }
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Outbox {
        Outbox {
            limits,
            state: Mutex::default(),
            freed: Notify::new(),
            is_ending: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            is_gated: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A direct emit, if there is room.
    pub(crate) fn push(&self, frame: &[u8]) -> Push {
        self.push_as(frame, Kind::Kept)
    }

    fn push_as(&self, frame: &[u8], kind: Kind) -> Push {
        let mut state = self.lock();
        if !state.is_open() {
            return Push::Closed;
        }
        if frame.is_empty() && kind != Kind::Reserved {
            return state.pass();
        }
        if !state.has_room(frame.len(), &self.limits) {
            return Push::Full;
        }
        if kind == Kind::Reserved {
            self.is_gated.store(true, Ordering::Relaxed);
        }
        state.push(Offer::Alone(frame), kind, &self.limits)
    }

    /// A direct emit that waits for room. `false`: the socket is disconnected.
    ///
    /// Cancel safe: if it is dropped before it is done, nothing was queued.
    pub(crate) async fn push_when_room(&self, frame: &[u8]) -> bool {
        self.when_room(frame, Kind::Kept).await
    }

    /// Takes a place in the queue for a frame that is not known yet: everything pushed from now
    /// on is sent after it. [`Outbox::fill`] must follow without an await between.
    /// `false`: the socket is disconnected.
    pub(crate) async fn reserve(&self) -> bool {
        self.when_room(&[], Kind::Reserved).await
    }

    async fn when_room(&self, frame: &[u8], kind: Kind) -> bool {
        let _waiting = Waiting::new(self);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Enabled before the check, or a wake-up between the two is lost.
            freed.as_mut().enable();
            match self.push_as(frame, kind) {
                Push::Queued { waker, .. } => {
                    wake(waker);
                    return true;
                }
                Push::Full => freed.await,
                Push::Closed | Push::Dropped { .. } => return false,
            }
        }
    }

    /// A frame that may be dropped when the peer does not keep up.
    pub(crate) fn push_volatile(&self, frame: Offer<'_>) -> Push {
        let mut state = self.lock();
        if !state.is_open() {
            return Push::Closed;
        }
        if frame.is_empty() {
            return state.pass();
        }
        if state.blocked || !state.has_room(frame.len(), &self.limits) {
            return Push::Dropped { waker: None, count: 1 };
        }
        state.push(frame, Kind::Droppable, &self.limits)
    }

    /// A broadcast: never waits. This arm is the slow-consumer rule.
    pub(crate) fn push_broadcast(&self, frame: Offer<'_>, overflow: Overflow) -> Push {
        let mut state = self.lock();
        if !state.is_open() {
            return Push::Closed;
        }
        if frame.is_empty() {
            return state.pass();
        }
        if !state.has_room(frame.len(), &self.limits) {
            match overflow {
                Overflow::Disconnect => {
                    state.ending = Some(Box::new(Ending::abort(DisconnectReason::Slow)));
                    self.is_ending.store(true, Ordering::Relaxed);
                    return Push::Dropped { waker: state.writer.clone(), count: 1 };
                }
                Overflow::DropNewest => return Push::Dropped { waker: None, count: 1 },
                Overflow::DropOldest => {
                    let mut displaced = 0;
                    while !state.has_room(frame.len(), &self.limits) {
                        let oldest = state.queue.iter().position(|item| item.kind == Kind::Droppable);
                        let Some(item) = oldest.and_then(|index| state.queue.remove(index)) else {
                            if state.queue.is_empty() {
                                // All that waits is with the writer: this one is the newest behind it.
                                break;
                            }
                            // Nothing is left that may be dropped but this one.
                            return Push::Dropped { waker: None, count: displaced + 1 };
                        };
                        state.forget(&item);
                        displaced += 1;
                    }
                    let waker = match state.push(frame, Kind::Droppable, &self.limits) {
                        Push::Queued { waker, .. } => waker,
                        _ => None,
                    };
                    return Push::Queued { backlog: state.waiting, waker, displaced };
                }
            }
        }
        // One that ends who has no room for it is not for another to displace.
        let kind = if overflow == Overflow::Disconnect { Kind::Kept } else { Kind::Droppable };
        state.push(frame, kind, &self.limits)
    }

    /// An answer that the read loop makes itself. It is bounded by [`Outbox::replies`], for which
    /// reading pauses, not by the limits: the read loop must not wait.
    pub(crate) fn push_reply(&self, frame: &[u8]) {
        let mut state = self.lock();
        if state.is_open() && !frame.is_empty() {
            // The read loop is the writer's own task: there is nobody to wake.
            state.push(Offer::Alone(frame), Kind::Reply, &self.limits);
        }
    }

    /// Bytes of replies that wait.
    pub(crate) fn replies(&self) -> usize {
        self.lock().replies
    }

    /// Puts a frame into the reserved place.
    pub(crate) fn fill(&self, frame: &[u8]) {
        let mut state = self.lock();
        let place = state.queue.iter().position(|item| item.kind == Kind::Reserved);
        let Some(item) = place.and_then(|index| state.queue.get_mut(index)) else { return };
        item.fill(frame);
        let length = frame.len();
        state.waiting.bytes += length;
        if length == 0 {
            // The peer's dialect has no such message.
            state.queue.retain(|item| !item.is_empty() || item.kind == Kind::Reserved);
            state.waiting.messages -= 1;
            state.gates -= 1;
            self.is_gated.store(state.gates > 0, Ordering::Relaxed);
        }
        let waker = state.unpark();
        drop(state);
        wake(waker);
        if length == 0 {
            self.freed.notify_waiters();
        }
    }

    /// What makes the connection look around.
    pub(crate) fn poke(&self) -> Option<Waker> {
        self.lock().writer.clone()
    }

    /// Whether an acknowledgement waits that what comes from a room must not overtake. Without a lock: a cursor is placed behind
    /// its gate, so who then has its room's lock sees it.
    pub(crate) fn is_gated(&self) -> bool {
        self.is_gated.load(Ordering::Relaxed)
    }

    /// Decides the end of the connection; the first to do so decides. The outbox takes nothing
    /// more, and what it holds is sent first where the ending drains, and what these rooms have.
    pub(crate) fn end(&self, ending: Ending, rooms: Vec<Arc<Room>>) -> bool {
        let mut state = self.lock();
        if !state.is_open() {
            return false;
        }
        state.ready.extend(rooms);
        state.ending = Some(Box::new(ending));
        self.is_ending.store(true, Ordering::Relaxed);
        let writer = state.writer.clone();
        drop(state);
        self.freed.notify_waiters();
        wake(writer);
        true
    }

    /// The connection is gone: whatever waits is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue = VecDeque::new();
        state.waiting = Backlog::default();
        state.writer = None;
        // Dropped without the lock: the last handle of a room takes its members along.
        let ready = mem::take(&mut state.ready);
        drop(state);
        drop(ready);
        self.freed.notify_waiters();
    }

    /// The grace of a shutdown is over: the end overtakes what waits, even where it was to drain.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        if let Some(ending) = &mut state.ending {
            ending.drains = false;
        }
        let writer = state.writer.clone();
        drop(state);
        wake(writer);
    }

    /// Whether the connection is to end at once, without waiting for its peer.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Whether the end has been decided. Without a lock: it is asked for every event.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Whether what is in it may lie there a little longer.
    pub(crate) fn can_wait(&self) -> bool {
        let state = self.lock();
        state.is_open() && state.waiters == 0 && state.ready.is_empty() && !state.waiting.exceeds(turn(&self.limits))
    }

    /// Whether it still takes frames.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// What waits for the peer.
    pub(crate) fn backlog(&self) -> Backlog {
        self.lock().waiting
    }

    /// Waits until no more than `limit` waits for the peer, or it is gone.
    pub(crate) async fn drained_to(&self, limit: Backlog) {
        let _waiting = Waiting::new(self);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let state = self.lock();
                if !state.is_open() || !state.waiting.exceeds(limit) {
                    return;
                }
            }
            freed.await;
        }
    }

    /// A room with history has something for this member. The waker, if any, is to be called after all locks are released.
    pub(crate) fn push_ready(&self, room: &Arc<Room>) -> Option<Waker> {
        let mut state = self.lock();
        if !state.is_open() {
            return None;
        }
        state.ready.push_back(room.clone());
        state.unpark()
    }

    /// The same where the room may be there already.
    pub(crate) fn push_ready_once(&self, room: &Arc<Room>) -> Option<Waker> {
        let mut state = self.lock();
        if !state.is_open() || state.ready.iter().any(|known| Arc::ptr_eq(known, room)) {
            return None;
        }
        state.ready.push_back(room.clone());
        state.unpark()
    }

    /// For the writer: these rooms have more.
    pub(crate) fn push_again(&self, rooms: &mut Vec<Arc<Room>>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            rooms.clear();
            return;
        }
        state.ready.extend(rooms.drain(..));
    }

    /// The connection has nothing to do: what queues have grown to is given back.
    pub(crate) fn rest(&self) {
        let mut state = self.lock();
        state.queue.shrink_to_fit();
        state.ready.shrink_to_fit();
    }

    /// For the writer: tells what was sent of the last batch, and takes the next one into `batch`, which is empty, and into `ready`
    /// the rooms that come after it.
    pub(crate) fn take(
        &self,
        sent: Backlog,
        batch: &mut VecDeque<Item>,
        ready: &mut Vec<Arc<Room>>,
        writer: &Waker,
    ) -> Next {
        let mut state = self.lock();
        state.waiting.messages = state.waiting.messages.saturating_sub(sent.messages);
        state.waiting.bytes = state.waiting.bytes.saturating_sub(sent.bytes);
        state.blocked = false;
        let aborted = state.ending.as_ref().is_some_and(|ending| !ending.drains);
        if !aborted {
            state.take(turn(&self.limits), batch);
            if state.gates == 0 && !state.ready.is_empty() {
                let count = state.ready.len().min(TURN_ROOMS);
                ready.extend(state.ready.drain(..count));
            }
            if self.is_gated() {
                self.is_gated.store(state.gates > 0, Ordering::Relaxed);
            }
        }
        let next = if !batch.is_empty() || !ready.is_empty() {
            state.parked = false;
            Next::Write
        } else if let Some(ending) = &state.ending
            && (aborted || (state.queue.is_empty() && state.ready.is_empty()))
        {
            Next::End((**ending).clone())
        } else {
            state.parked = true;
            if state.queue.capacity() > KEEP {
                state.queue = state.queue.drain(..).collect();
            }
            Next::Park
        };
        state.know(writer);
        // Those that wait find room, or that there will be none.
        let freed = state.waiters > 0 && (sent.messages > 0 || matches!(next, Next::End(_)));
        drop(state);
        if freed {
            self.freed.notify_waiters();
        }
        next
    }

    /// For the writer: the kernel takes no more for now. Returns the end, if it is to overtake
    /// what waits.
    pub(crate) fn blocked(&self, writer: &Waker) -> Option<Ending> {
        let mut state = self.lock();
        state.blocked = true;
        state.parked = false;
        state.know(writer);
        let aborted = state.ending.as_deref().filter(|ending| !ending.drains).cloned();
        drop(state);
        if aborted.is_some() {
            self.freed.notify_waiters();
        }
        aborted
    }
}

pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
