//! How an `Io` is kept an eye on: by a task that holds it weakly, and ends with it.

use std::array;
use std::sync::Arc;
use std::time::Instant;

use super::{Io, IoBuilder};
use crate::flow;
use crate::hub::Counters;
use crate::metrics;
use crate::shutdown::Phase;

impl IoBuilder {
    /// What tells this `Io` from others of the process in what is [measured](Io::publish_metrics): the label `io`. Without a
    /// name, which is the default, there is no such label.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        IoBuilder { name: Some(name.into()), ..self }
    }
}

impl Io {
    /// Begins to note totals and to publish metrics. It is within a runtime that sockets connect.
    pub(super) fn watch(&self) {
        self.0.watched.is_watched.get_or_init(|| {
            let mut life = self.life().subscribe();
            let io = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                let mut published = Instant::now();
                loop {
                    // The sender is the `Io`'s: it is gone with that.
                    let ended = life.wait_for(|phase| *phase == Phase::Ended);
                    let is_over = tokio::time::timeout(flow::SAMPLE, ended).await.is_ok();
                    let Some(io) = io.upgrade().map(Io) else { return };
                    io.watched().samples.note(io.sample());
                    if is_over || published.elapsed() >= metrics::PUBLISH {
                        published = Instant::now();
                        io.publish_metrics();
                    }
                    if is_over {
                        return;
                    }
                }
            });
        });
    }

    /// Sums of what is counted for each connection, of those that are gone as well.
    pub(crate) fn counted<const N: usize>(&self, of: impl Fn(&Counters) -> [u64; N]) -> [u64; N] {
        let (mut sums, here) = {
            let sockets = self.lock_sockets();
            (of(self.0.totals.gone()), sockets.values().cloned().collect::<Vec<_>>())
        };
        for socket in here {
            let counts = of(&socket.member().counters);
            sums = array::from_fn(|index| sums[index] + counts[index]);
        }
        sums
    }
}
