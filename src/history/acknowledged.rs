//! What members of a log are to acknowledge.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use super::log::logged;
use super::{Log, Logged};
use crate::delivery::AtLeastOnce;
use crate::hub::Member;
use crate::rooms::Room;

/// Of the messages `from` to `before`, how many a member that has missed them was to acknowledge, and the first of these.
pub(super) fn missed(
    all: Option<AtLeastOnce>,
    some: &VecDeque<(u64, AtLeastOnce)>,
    from: u64,
    before: u64,
) -> Option<(u64, u64)> {
    if all.is_some() {
        return Some((from, before - from));
    }
    let index = some.partition_point(|(seq, _)| *seq < from);
    let mut missed = some.range(index..).take_while(|(seq, _)| *seq < before).map(|(seq, _)| *seq);
    let first = missed.next()?;
    Some((first, 1 + missed.count() as u64))
}

impl Log {
    /// The member is to acknowledge these, as far as that was asked for.
    pub(super) fn expect(&self, member: &Member, room: Option<&Arc<Room>>, seqs: RangeInclusive<u64>) {
        let Some(room) = room else { return };
        let now = Instant::now();
        let place = (room, &self.epoch);
        if let Some(once) = self.once {
            let last = *seqs.end();
            return member.deliveries.begin(member, place, seqs, last, once, now);
        }
        let from = self.some_once.partition_point(|(seq, _)| seq < seqs.start());
        for (seq, once) in self.some_once.range(from..).take_while(|(seq, _)| seq <= seqs.end()) {
            // Others are sent that need not be acknowledged, and may be.
            member.deliveries.begin(member, place, *seq..=*seq, u64::MAX, *once, now);
        }
    }

    /// A message that is kept, in this life of the room.
    pub(crate) fn message(&mut self, seq: u64, epoch: &str) -> Option<Logged> {
        let is_kept = *self.epoch == *epoch && (self.ring.first()..=self.ring.last()).contains(&seq);
        if is_kept { logged(seq, &self.ring.frame(seq)) } else { None }
    }
}
