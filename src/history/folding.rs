//! What the log of a room with a snapshot has to do with it: user code, so the state is lent to whoever works on it, and the
//! room is not locked meanwhile.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::log::{Log, logged};
use super::snapshot::{Lent, Snapshot};
use crate::hub::Member;

/// So many messages are folded at a time.
const AT_ONCE: u64 = 256;

/// Messages to be folded, with the state that they go into.
pub(super) struct Work {
    epoch: Arc<str>,
    lent: Lent,
    frames: Vec<(u64, Bytes)>,
}

impl Work {
    /// Does it. User code: not under a lock.
    pub(super) fn fold(&mut self) {
        self.lent.begin();
        for (seq, frame) in &self.frames {
            if let Some(message) = logged(*seq, frame) {
                self.lent.fold(&message);
            }
        }
    }
}

impl Log {
    /// What is to be folded now, unless somebody is at it.
    pub(super) fn work(&mut self, now: Instant) -> Option<Work> {
        self.snapshot.as_ref()?;
        let first = self.ring.first();
        let due = (first..first + AT_ONCE).take_while(|seq| self.is_due(*seq, now)).count() as u64;
        if due == 0 {
            return None;
        }
        let lent = self.snapshot.as_mut()?.lend()?;
        let frames = (first..first + due).map(|seq| (seq, self.ring.frame(seq))).collect();
        Some(Work { epoch: self.epoch.clone(), lent, frames })
    }

    /// Puts the state back and takes the folded messages out. Returns what is to be dropped without a lock.
    pub(super) fn worked(&mut self, work: Work, mut wake: impl FnMut(&Member)) -> Option<Lent> {
        if work.epoch != self.epoch {
            return Some(work.lent);
        }
        for (seq, _) in &work.frames {
            if self.ring.first() == *seq {
                self.pop();
            }
        }
        let dropped = self.snapshot.as_mut().and_then(|snapshot| snapshot.give_back(work.lent, None));
        // Some may have parked because the snapshot was not at hand.
        self.wake_parked(&mut wake);
        dropped
    }

    /// Takes the state out, to write the snapshot. `None`: somebody else has it, and will wake this member.
    pub(super) fn lend(&mut self, member: &Arc<Member>) -> Option<(Arc<str>, Lent)> {
        match self.snapshot.as_mut().and_then(Snapshot::lend) {
            Some(lent) => Some((self.epoch.clone(), lent)),
            None => {
                self.park(member);
                None
            }
        }
    }

    pub(super) fn give_back(
        &mut self,
        (epoch, lent): (Arc<str>, Lent),
        written: Option<Bytes>,
        mut wake: impl FnMut(&Member),
    ) -> Option<Lent> {
        if epoch != self.epoch {
            return Some(lent);
        }
        let dropped = self.snapshot.as_mut().and_then(|snapshot| snapshot.give_back(lent, written));
        self.wake_parked(&mut wake);
        dropped
    }
}
