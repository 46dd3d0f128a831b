//! What was given up, until somebody is told.

use super::Deliveries;
use crate::delivery::{DeadLetter, GivenUp};
use crate::history::Logged;
use crate::hub::{Member, SocketId, count};
use crate::sync::{MutexGuard, PoisonError};

/// So many dead letters wait at a time to be told; more are counted.
const MAX_DEAD: usize = 4096;

/// Dead letters on their way to who reads them.
#[derive(Debug, Default)]
pub(super) struct Letters {
    waiting: Vec<DeadLetter>,
    /// A task is at it.
    is_told: bool,
}

impl Deliveries {
    fn lock_letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are letters that nobody is telling of. If so, whoever asks does until [`next_letters`](Deliveries::next_letters) has none.
    pub(crate) fn begin_telling(&self) -> bool {
        let mut letters = self.lock_letters();
        let begins = !letters.is_told && !letters.waiting.is_empty();
        letters.is_told |= begins;
        begins
    }

    pub(crate) fn next_letters(&self) -> Vec<DeadLetter> {
        let mut letters = self.lock_letters();
        letters.is_told = !letters.waiting.is_empty();
        std::mem::take(&mut letters.waiting)
    }
}

pub(super) fn bury(member: &Member, letter: DeadLetter) {
    count(&member.counters.dead_letters, letter.count);
    let mut letters = member.deliveries.lock_letters();
    if letters.waiting.len() < MAX_DEAD {
        letters.waiting.push(letter);
    }
}

pub(super) fn overtaken(socket: SocketId, room: &str, seq: u64, messages: u64, tries: u32) -> DeadLetter {
    DeadLetter { count: messages, ..dead(socket, room, seq, None, tries, GivenUp::Overtaken) }
}

pub(super) fn dead(
    socket: SocketId,
    room: &str,
    seq: u64,
    message: Option<Logged>,
    tries: u32,
    reason: GivenUp,
) -> DeadLetter {
    let (event, data) = message.map(|message| (message.event, message.data)).unzip();
    DeadLetter { socket, room: Some(room.to_owned()), seq: Some(seq), count: 1, event, data, tries, reason }
}
