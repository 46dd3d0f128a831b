//! How far members are behind, and who waits for that.

use std::mem;
use std::task::Waker;

use super::Log;
use crate::hub::SocketId;
use crate::outbox::Backlog;

/// No more than these are woken when slow members have caught up.
const MAX_WAITERS: usize = 1024;

impl Log {
    /// Whether some member is more than so many bytes behind, or than half of what the ring holds: from there on it might
    /// be overtaken. If so, `waker` is called when that may have changed.
    pub(crate) fn lags(&mut self, most: usize, waker: Option<&Waker>) -> bool {
        let (ring, end) = (&self.ring, self.ring.last() + 1);
        let most = most.min(self.keep.bytes / 2) as u64;
        let most_messages = (self.keep.count / 2).max(1) as u64;
        let is_far = |next: u64| ring.end() - ring.position(next) > most || end.saturating_sub(next) > most_messages;
        if !is_far(self.slowest) {
            return false;
        }
        let moving = self.cursors.values().filter(|cursor| !cursor.is_held);
        self.slowest = moving.map(|cursor| cursor.next).min().unwrap_or(end);
        let lags = is_far(self.slowest);
        if let Some(waker) = waker
            && lags
            && !self.waiters.iter().any(|known| known.will_wake(waker))
        {
            if self.waiters.len() == MAX_WAITERS {
                // Most of them gave up; one that did not looks again.
                let oldest = self.waiters.remove(0);
                self.moved.push(oldest);
            }
            self.waiters.push(waker.clone());
        }
        lags
    }

    /// How far a member is behind, or the slowest: bytes that it can still get, and messages, those that it missed among them.
    pub(crate) fn lag(&self, of: Option<SocketId>) -> Backlog {
        let next = match of {
            Some(id) => self.cursors.get(&id).map(|cursor| cursor.next),
            // Mostly all have everything: then none is looked at.
            None if self.parked.len() == self.cursors.len() => None,
            None => self.cursors.values().map(|cursor| cursor.next).min(),
        };
        let Some(next) = next else { return Backlog::default() };
        let bytes = self.ring.end() - self.ring.position(next);
        Backlog { bytes: bytes as usize, messages: (self.ring.last() + 1).saturating_sub(next) as usize }
    }

    /// Those that waited for the slowest member, which has moved.
    pub(in crate::history) fn take_moved(&mut self) -> Vec<Waker> {
        mem::take(&mut self.moved)
    }
}
