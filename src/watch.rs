//! What an `Io` knows of itself beside its connections: since when it is there, what its modules say, what was counted.

use std::time::Instant;

use crate::health::Probes;

/// What is watched of an `Io`.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) started: Instant,
    pub(crate) probes: Probes,
}

impl Watched {
    pub(crate) fn new() -> Watched {
        Watched { started: Instant::now(), probes: Probes::default() }
    }
}
