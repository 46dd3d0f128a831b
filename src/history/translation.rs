//! A room's messages in another dialect than JSON.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::protocol::Memory;

/// What other dialects than JSON have written last is kept up to this many bytes each, for the members that are about as
/// far. Who reads further back has it written again: a ring in each dialect could be many times its size.
const MAX_TRANSLATED: usize = 256 * 1024;

/// And of this many messages: each may have a memory of its own.
const MAX_RECENT: usize = 512;

/// What an entry takes beside its frames.
const OVERHEAD: usize = 128;

/// What was written for members of one dialect. A frame depends on the message and on what the dialect remembered before
/// it: members that are as far with the same memory share it.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) place: usize,
    recent: VecDeque<Translated>,
    bytes: usize,
}

#[derive(Debug)]
struct Translated {
    seq: u64,
    before: Memory,
    frames: Bytes,
    after: Memory,
}

impl Translation {
    pub(super) fn new(place: usize) -> Translation {
        Translation { place, recent: VecDeque::new(), bytes: 0 }
    }

    /// What was written of this message after the same memory, which goes on to that behind it.
    pub(super) fn find(&self, seq: u64, memory: &mut Memory) -> Option<Bytes> {
        let index = self.recent.binary_search_by_key(&seq, |translated| translated.seq).ok()?;
        let known = self.recent.get(index).filter(|known| known.before == *memory)?;
        *memory = known.after.clone();
        Some(known.frames.clone())
    }

    /// Keeps what was written of a newer message.
    pub(super) fn keep(&mut self, seq: u64, before: Memory, frames: Bytes, after: Memory) {
        if self.recent.back().is_some_and(|newest| newest.seq >= seq) {
            return;
        }
        self.bytes += frames.len() + OVERHEAD;
        self.recent.push_back(Translated { seq, before, frames, after });
        while (self.bytes > MAX_TRANSLATED || self.recent.len() > MAX_RECENT)
            && self.recent.len() > 1
            && let Some(oldest) = self.recent.pop_front()
        {
            self.bytes -= oldest.frames.len() + OVERHEAD;
        }
    }
}
