//! What members of a log are to acknowledge.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use super::log::logged;
use super::{Log, Logged};
use crate::hub::Member;
use crate::rooms::Room;

impl Log {
    /// The member is to acknowledge these, as far as that was asked for.
    pub(super) fn expect(&self, member: &Member, room: Option<&Arc<Room>>, seqs: RangeInclusive<u64>) {
        let Some(room) = room else { return };
        let now = Instant::now();
        let place = (room, &self.epoch);
        if let Some(once) = self.once {
            return member.deliveries.begin(member, place, seqs, once, now);
        }
        let from = self.some_once.partition_point(|(seq, _)| seq < seqs.start());
        for (seq, once) in self.some_once.range(from..).take_while(|(seq, _)| seq <= seqs.end()) {
            member.deliveries.begin(member, place, *seq..=*seq, *once, now);
        }
    }

    /// A message that is kept, in this life of the room.
    pub(crate) fn message(&mut self, seq: u64, epoch: &str) -> Option<Logged> {
        let is_kept = *self.epoch == *epoch && (self.ring.first()..=self.ring.last()).contains(&seq);
        if is_kept { logged(seq, &self.ring.frame(seq)) } else { None }
    }
}
