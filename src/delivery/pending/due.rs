//! What is due: it is sent again, or given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Attempt, LATER, Open, bury, overtaken};
use crate::delivery::GivenUp;
use crate::history::Logged;
use crate::hub::{Member, count};
use crate::outbox::Push;
use crate::protocol::Outgoing;
use crate::rooms::Room;

/// When the rest is.
const SOON: Duration = Duration::from_millis(1);

impl Open {
    /// Messages by `id` that are due.
    pub(super) fn kept_due(&mut self, member: &Member, now: Instant) {
        let (mut dead, mut turn) = (Vec::new(), Turn::default());
        self.kept.retain(|_, (kept, attempt)| {
            if attempt.due > now || turn.postpones(attempt, now) {
                return true;
            }
            if attempt.policy.is_last(attempt.tries) {
                dead.push(kept.dead(member.id, attempt.tries, GivenUp::Timeout));
                return false;
            }
            turn.send(member, &kept.frame(member, attempt.tries), attempt, now);
            true
        });
        self.in_flight -= dead.len();
        dead.into_iter().for_each(|letter| bury(member, letter));
    }

    /// Messages of a room that are due. `find` reads them from its ring.
    pub(super) fn room_due(
        &mut self,
        member: &Member,
        room: &Arc<Room>,
        now: Instant,
        mut find: impl FnMut(u64, &str) -> Option<Logged>,
    ) {
        let (mut dead, mut turn) = (Vec::new(), Turn::default());
        let Some(in_room) = self.rooms.get_mut(&room.name) else { return };
        let epoch = &in_room.epoch;
        in_room.seqs.retain(|&seq, attempt| {
            if attempt.due > now || turn.postpones(attempt, now) {
                return true;
            }
            let (message, tries) = (find(seq, epoch), attempt.tries);
            match message {
                None => dead.push(overtaken(member.id, &room.name, seq, 1, tries)),
                Some(message) if attempt.policy.is_last(tries) => {
                    dead.push(super::dead(member.id, &room.name, seq, Some(message), tries, GivenUp::Timeout));
                }
                Some(Logged { event, data, .. }) => {
                    let message = Outgoing::direct(&event, None, data.get().as_bytes());
                    let message = Outgoing { room: Some(&room.name), seq: Some(seq), again: tries, ..message };
                    turn.send(member, &member.encode(&message), attempt, now);
                    return true;
                }
            }
            false
        });
        self.in_flight -= dead.len();
        dead.into_iter().for_each(|letter| bury(member, letter));
    }
}

/// So many are looked at in one go: others wait for the room's lock.
const MAX_AT_ONCE: usize = 32;

/// What was done of what is due.
#[derive(Default)]
struct Turn {
    looked_at: usize,
    /// The peer has not even read what it was sent before.
    is_full: bool,
}

impl Turn {
    /// Whether this one has to wait for the next turn. It costs nothing to find that out.
    fn postpones(&mut self, attempt: &mut Attempt, now: Instant) -> bool {
        let is_last = attempt.policy.is_last(attempt.tries);
        if self.is_full && !is_last {
            attempt.due = now + LATER;
            return true;
        }
        self.looked_at += 1;
        let is_next = self.looked_at > MAX_AT_ONCE;
        if is_next {
            attempt.due = now + SOON;
        }
        is_next
    }

    fn send(&mut self, member: &Member, frame: &[u8], attempt: &mut Attempt, now: Instant) {
        match member.outbox.push(frame) {
            Push::Queued { .. } => {
                // The connection itself is at it: there is nobody to wake.
                count(&member.counters.again, 1);
                attempt.sent_again(now);
            }
            _ => {
                self.is_full = true;
                attempt.due = now + LATER;
            }
        }
    }
}
