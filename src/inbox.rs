//! Events that wait for the lane, and where the lane rests when nobody has it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::config::InboxLimits;
use crate::lane::Lane;
use crate::outbox::{Backlog, wake};
use crate::protocol::Packet;

/// A queue that grew beyond this many entries is given back when it is empty.
const KEEP: usize = 16;

/// How much further reading goes while a request to this socket waits: its answer may be next.
const WITH_REQUEST: usize = 4;

#[derive(Debug)]
pub(crate) struct Inbox {
    limits: InboxLimits,
    // A std mutex: held for a push or a pop.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Packet>,
    bytes: usize,
    /// How many the lane has taken.
    taken: u64,
    /// The lane, when its last task has ended.
    home: Option<Box<Lane>>,
    /// The connection, while reading pauses.
    reader: Option<Waker>,
}

/// Where an event went.
#[derive(Debug)]
pub(crate) enum Given {
    /// The lane was at home: the connection has it now, and is to handle the event.
    Home(Box<Lane>, Packet),
    /// It waits.
    Queued,
}

/// How full an inbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// There is room.
    Room,
    /// Full, but for an answer that may come.
    Full,
    /// Full even for that.
    Overfull,
}

impl Inbox {
    pub(crate) fn new(limits: InboxLimits) -> Inbox {
        Inbox { limits, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an event to the lane, or has it wait for it.
    pub(crate) fn give(&self, packet: Packet) -> Given {
        let mut state = self.lock();
        if let Some(lane) = state.home.take() {
            return Given::Home(lane, packet);
        }
        state.bytes += packet.size();
        state.queue.push_back(packet);
        Given::Queued
    }

    /// For the task that has the lane: the next event, or the lane goes home.
    pub(crate) fn next(&self, lane: Box<Lane>) -> Option<(Box<Lane>, Packet)> {
        let mut state = self.lock();
        let Some(packet) = state.queue.pop_front() else {
            state.home = Some(lane);
            if state.queue.capacity() > KEEP {
                state.queue = VecDeque::new();
            }
            return None;
        };
        state.bytes -= packet.size();
        state.taken += 1;
        let room = state.queue.len() <= self.limits.messages / 2 && state.bytes <= self.limits.bytes / 2;
        let reader = if room { state.reader.take() } else { None };
        drop(state);
        wake(reader);
        Some((lane, packet))
    }

    /// The connection has nothing to do: what the lane keeps for the next event is given back, if it is at home.
    pub(crate) fn rest(&self) {
        if let Some(lane) = &mut self.lock().home {
            lane.rest();
        }
    }

    /// The socket is gone: nothing is kept.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state);
    }

    /// What waits, and whether reading pauses for it.
    pub(crate) fn backlog(&self) -> (Backlog, bool) {
        let state = self.lock();
        (Backlog { bytes: state.bytes, messages: state.queue.len() }, state.reader.is_some())
    }

    /// How many events the lane has taken from here, where more wait.
    pub(crate) fn taken(&self) -> Option<u64> {
        let state = self.lock();
        (!state.queue.is_empty()).then_some(state.taken)
    }

    pub(crate) fn fill(&self) -> Fill {
        let state = self.lock();
        let holds = |times: usize| {
            state.queue.len() >= self.limits.messages * times || state.bytes >= self.limits.bytes * times
        };
        match () {
            () if holds(WITH_REQUEST) => Fill::Overfull,
            () if holds(1) => Fill::Full,
            () => Fill::Room,
        }
    }

    /// Reading pauses: `reader` is woken when there is room. `false`: there is some already.
    pub(crate) fn pause(&self, reader: &Waker) -> bool {
        let mut state = self.lock();
        let full = state.queue.len() >= self.limits.messages || state.bytes >= self.limits.bytes;
        if full {
            state.reader = Some(reader.clone());
        }
        full
    }
}
