//! Counts under words that are known before: however many peers there are and whatever they send, a table grows by nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::code;

/// What a count says of how well it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it is how things go.
    Nobodys,
    /// The client's.
    Client,
    /// The network's between.
    Network,
    /// A peer's that took less than was sent to it.
    Slow,
    /// This side's.
    Server,
}

type Words = &'static [(&'static str, Fault)];

/// Counts under the words of a table; what has another word is counted under the last one.
#[derive(Debug)]
pub(crate) struct Tally {
    words: Words,
    counts: Box<[AtomicU64]>,
}

impl Tally {
    pub(crate) fn new(words: Words) -> Tally {
        Tally { words, counts: words.iter().map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one. Seldom, so that it may look for the word.
    pub(crate) fn add(&self, word: &str) {
        let known = self.words.iter().position(|(known, _)| *known == word);
        if let Some(count) = known.map_or(self.counts.last(), |index| self.counts.get(index)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each word and how many there were.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.iter().zip(&self.counts).map(|((word, _), count)| (*word, count.load(Ordering::Relaxed)))
    }

    /// How many there were of a fault.
    pub(crate) fn of(&self, fault: Fault) -> u64 {
        let all = self.words.iter().zip(&self.counts).filter(|((_, of), _)| *of == fault);
        all.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    }
}

/// Why a request was not let in. The last one is what an application's own check says with no status of ours.
pub(crate) const DOOR: Words = &[
    ("bad_request", Fault::Client),
    ("method_not_allowed", Fault::Client),
    ("upgrade_required", Fault::Client),
    ("no_upgrade", Fault::Server),
    (code::TOO_LARGE, Fault::Client),
    ("origin", Fault::Client),
    ("unauthorized", Fault::Client),
    (code::FORBIDDEN, Fault::Client),
    // The handshake broke, or took too long.
    ("handshake", Fault::Network),
    ("shutdown", Fault::Nobodys),
    ("connections", Fault::Server),
    ("address", Fault::Client),
    // Who it is could not be found out.
    ("authentication", Fault::Server),
    ("unavailable", Fault::Server),
];

/// Why sockets are gone.
pub(crate) const CLOSES: Words = &[
    ("client", Fault::Nobodys),
    ("lost", Fault::Network),
    ("server", Fault::Nobodys),
    ("shutdown", Fault::Nobodys),
    ("refused", Fault::Client),
    ("slow", Fault::Slow),
    ("stalled", Fault::Slow),
    ("silent", Fault::Network),
    ("invalid_frames", Fault::Client),
    ("flood", Fault::Client),
    ("busy", Fault::Client),
    ("too_large", Fault::Client),
    ("binary", Fault::Client),
    ("not_utf8", Fault::Client),
    ("protocol", Fault::Client),
    ("failed", Fault::Server),
];

/// The codes of `error` that answer what a client sent.
pub(crate) const CODES: Words = &[
    (code::INVALID_PAYLOAD, Fault::Client),
    (code::INVALID_ENVELOPE, Fault::Client),
    (code::UNKNOWN_EVENT, Fault::Client),
    (code::FORBIDDEN, Fault::Client),
    (code::NOT_FOUND, Fault::Client),
    (code::TOO_LARGE, Fault::Client),
    (code::RATE_LIMITED, Fault::Client),
    (code::LIMIT, Fault::Client),
    (code::DISCONNECTED, Fault::Server),
    (code::BUSY, Fault::Server),
    (code::TIMEOUT, Fault::Server),
    (code::HANDLER_FAILED, Fault::Server),
    (code::INTERNAL, Fault::Server),
    // The application's own: how it says no.
    ("other", Fault::Client),
];
