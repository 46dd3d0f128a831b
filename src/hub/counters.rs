//! What is counted for a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Manner;
use crate::config::Overflow;

/// The counts of one connection: mostly by its own task, so that it costs no shared cache line. They are summed when asked for.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    // These four by the connection's own task alone.
    messages_in: AtomicU64,
    bytes_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_out: AtomicU64,
    /// Gaps that it was told.
    pub(crate) gaps: AtomicU64,
    /// Messages that it is to acknowledge, each once; how often one was sent again; how many it has acknowledged, and refused.
    pub(crate) delivered: AtomicU64,
    pub(crate) again: AtomicU64,
    pub(crate) acked: AtomicU64,
    pub(crate) nacked: AtomicU64,
    /// Those that were given up.
    pub(crate) dead_letters: AtomicU64,
    /// Those that it left in a room, unacknowledged, when it went.
    pub(crate) left: AtomicU64,
    /// Broadcasts that were dropped, by [`Manner`].
    dropped: [AtomicU64; Manner::COUNT],
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Adds to a counter that nobody else adds to: without an atomic addition, which costs as much as a lock.
fn count_alone(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl Counters {
    /// The connection has read a message.
    pub(crate) fn read(&self, bytes: usize) {
        count_alone(&self.messages_in, 1);
        count_alone(&self.bytes_in, bytes as u64);
    }

    /// The connection has written so many.
    pub(crate) fn wrote(&self, messages: usize, bytes: usize) {
        count_alone(&self.messages_out, messages as u64);
        count_alone(&self.bytes_out, bytes as u64);
    }

    /// Broadcasts to this member were dropped.
    pub(crate) fn drop_by(&self, manner: Manner, n: u64) {
        // Mostly none.
        if n > 0 {
            count(&self.dropped[manner.place()], n);
        }
    }

    pub(crate) fn dropped_by(&self, manner: Manner) -> u64 {
        self.dropped[manner.place()].load(Ordering::Relaxed)
    }

    /// All that is counted, in the order in which it stands above.
    pub(crate) fn all(&self) -> impl Iterator<Item = &AtomicU64> {
        self.single().into_iter().chain(&self.dropped)
    }

    /// The same as numbers, the broadcasts that were dropped as one.
    pub(crate) fn totals(&self) -> [u64; 12] {
        let [a, b, c, d, e, f, g, h, i, j, k] = self.single().map(|counter| counter.load(Ordering::Relaxed));
        let dropped = self.dropped.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        [a, b, c, d, e, f, g, h, i, j, k, dropped]
    }

    fn single(&self) -> [&AtomicU64; 11] {
        let Counters { messages_in, bytes_in, messages_out, bytes_out, gaps, .. } = self;
        let Counters { delivered, again, acked, nacked, dead_letters, left, .. } = self;
        [messages_in, bytes_in, messages_out, bytes_out, gaps, delivered, again, acked, nacked, dead_letters, left]
    }
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
