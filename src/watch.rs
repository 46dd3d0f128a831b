//! What an `Io` knows of itself beside its connections: since when it is there, what its modules say, what was counted
//! and what comes of that in a while.

mod events;
mod handling;
mod tally;

use std::sync::OnceLock;
use std::time::Instant;

pub(crate) use self::events::{EventCounts, EventTable};
pub(crate) use self::handling::Handling;
use self::tally::{CLOSES, CODES, DOOR};
pub(crate) use self::tally::{Fault, Tally};
use crate::flow::Samples;
use crate::health::Probes;
use crate::metrics::Label;

/// What is watched of an `Io`.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) started: Instant,
    pub(crate) probes: Probes,
    pub(crate) events: EventTable,
    /// Who was not let in, and why.
    pub(crate) refusals: Tally,
    /// Who is gone, and why.
    pub(crate) closes: Tally,
    /// What clients were answered by `error`, by its code.
    pub(crate) errors: Tally,
    pub(crate) samples: Samples,
    /// What tells it from other `Io`s of the process.
    pub(crate) label: Label,
    /// Started with the first connection.
    pub(crate) is_watched: OnceLock<()>,
}

impl Watched {
    pub(crate) fn new(name: Option<String>) -> Watched {
        let started = Instant::now();
        Watched {
            started,
            probes: Probes::default(),
            events: EventTable::new(["subscribe", "unsubscribe"]),
            refusals: Tally::new(DOOR),
            closes: Tally::new(CLOSES),
            errors: Tally::new(CODES),
            samples: Samples::new(started),
            label: Label::new(name),
            is_watched: OnceLock::new(),
        }
    }

    /// How many of a fault there were.
    pub(crate) fn faults(&self, fault: Fault) -> u64 {
        [&self.refusals, &self.closes, &self.errors].into_iter().map(|tally| tally.of(fault)).sum()
    }
}
