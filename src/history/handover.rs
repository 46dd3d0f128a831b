//! Between a room's log and the outboxes of its members: who locks what, and in which order.
//!
//! A member's cursor is either *parked* in the log, or its room is in the *ready* list of the member's outbox, or its
//! connection is pulling. An append moves parked ones to ready, under the room's lock; a pull that finds nothing more parks
//! the cursor, under the same lock. So no message comes between the two without waking the member.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::log::Placed;
use super::{Log, Logged, Position, Pulled};
use crate::hub::Member;
use crate::outbox::wake;
use crate::rooms::Room;

/// So often whoever emits folds what others have evicted meanwhile; the rest is for the next one.
const FOLDS: usize = 16;

impl Room {
    /// Gives a member what comes next for it, as [`Log::pull`](super::Log::pull) does. Returns whether there is more.
    pub(crate) fn pull(
        self: &Arc<Self>,
        member: &Arc<Member>,
        most: usize,
        is_last: bool,
        mut give: impl FnMut(Bytes, usize),
    ) -> bool {
        let mut state = self.lock();
        let (pulled, waiters) = loop {
            if member.outbox.is_gated() {
                // The cursor may have been placed since the writer was told that this room is ready.
                return true;
            }
            let Some(log) = &mut state.log else { return false };
            match log.pull(self, member, most, is_last, &mut give) {
                Pulled::NeedsSnapshot => {
                    let Some((epoch, mut lent)) = log.lend(member) else { break (Pulled::All, Vec::new()) };
                    drop(state);
                    let written = lent.write();
                    let mut wakers = Vec::new();
                    state = self.lock();
                    let dropped = state.log.as_mut().map(|log| {
                        log.give_back((epoch, lent), written, |member| wakers.extend(member.outbox.push_ready(self)))
                    });
                    if !wakers.is_empty() || matches!(dropped, Some(Some(_))) {
                        drop(state);
                        drop(dropped);
                        wakers.into_iter().for_each(Waker::wake);
                        state = self.lock();
                    }
                }
                pulled => break (pulled, log.take_moved()),
            }
        };
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
        pulled == Pulled::More
    }

    /// Folds what is no longer kept, unless somebody is at it, who then goes on with this too: so far as to be no captive of
    /// others who emit as fast as it folds.
    pub(crate) fn fold(self: &Arc<Self>) {
        for _ in 0..FOLDS {
            let now = Instant::now();
            let Some(mut work) = self.lock().log.as_mut().and_then(|log| log.work(now)) else { return };
            work.fold();
            let mut wakers = Vec::new();
            let dropped = self
                .lock()
                .log
                .as_mut()
                .map(|log| log.worked(work, |member| wakers.extend(member.outbox.push_ready(self))));
            drop(dropped);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Calls `f` with what it remembers.
    pub(crate) fn with_log<R>(&self, f: impl FnOnce(&mut Log) -> R) -> Option<R> {
        self.lock().log.as_deref_mut().map(f)
    }

    /// Begins another life of the room.
    pub(crate) fn clear(self: &Arc<Self>) {
        let mut wakers = Vec::new();
        let cleared = self
            .lock()
            .log
            .as_mut()
            .map(|log| log.clear(Instant::now(), |member| wakers.extend(member.outbox.push_ready(self))));
        if let Some(cleared) = cleared {
            wakers.extend(cleared.waiters);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until no member is more than so many bytes behind. Cancel safe.
    pub(crate) async fn caught_up(&self, most: usize) {
        std::future::poll_fn(|cx| {
            let lags = self.lock().log.as_mut().is_some_and(|log| log.lags(most, Some(cx.waker())));
            if lags { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// The messages of these numbers that it keeps.
    pub(crate) fn read(&self, from: u64, to: u64) -> Vec<Logged> {
        let frames = self.lock().log.as_mut().map(|log| log.read(from, to)).unwrap_or_default();
        frames.iter().filter_map(|(seq, frame)| super::log::logged(*seq, frame)).collect()
    }

    /// A member was placed in the log: calls it if there is something for it. The room is not locked by now.
    pub(crate) fn begin(self: &Arc<Self>, member: &Member, placed: Placed) -> Position {
        if placed.has_more {
            wake(member.outbox.push_ready_once(self));
        }
        placed.moved.into_iter().for_each(Waker::wake);
        placed.position
    }
}
