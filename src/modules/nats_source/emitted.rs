//! Which messages of a stream were emitted: JetStream brings one again whose acknowledgement was lost.

use std::collections::BTreeMap;

/// Of so many it is known. A redelivery comes within the `ack_wait`, or after a server's loss of what it had not yet written:
/// in both cases it is of the last few seconds.
const KEEP: usize = 256 * 1024;

/// What was emitted, by its number in the stream and when it was published: a stream that was made anew, or lost its end, uses
/// its numbers again.
#[derive(Debug)]
pub(super) struct Emitted<T> {
    known: BTreeMap<u64, T>,
    keep: usize,
}

impl<T> Default for Emitted<T> {
    fn default() -> Self {
        Emitted { known: BTreeMap::new(), keep: KEEP }
    }
}

impl<T: PartialEq> Emitted<T> {
    pub(super) fn has(&self, sequence: u64, published: &T) -> bool {
        self.known.get(&sequence) == Some(published)
    }

    pub(super) fn insert(&mut self, sequence: u64, published: T) {
        self.known.insert(sequence, published);
        if self.known.len() > self.keep {
            // Forgotten, it would be doubled; taken for emitted, it would be lost.
            self.known.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_was_emitted_and_not_what_was_skipped() {
        let mut emitted = Emitted { keep: 3, ..Emitted::default() };
        for sequence in [1, 2, 4] {
            emitted.insert(sequence, "then");
        }
        assert!(emitted.has(1, &"then") && emitted.has(4, &"then"));
        assert!(!emitted.has(3, &"then"), "it was delivered, and lost on the way");
        assert!(!emitted.has(2, &"later"), "another message of the same number");
        emitted.insert(3, "then");
        assert!(emitted.has(3, &"then") && !emitted.has(1, &"then"), "the oldest is forgotten");
    }
}
