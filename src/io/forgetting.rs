//! How rooms with history are let go in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Io;

/// How often rooms with history are looked at: a quarter of the shortest time that one keeps something, within these.
const SHORTEST_SWEEP: Duration = Duration::from_millis(20);
const LONGEST_SWEEP: Duration = Duration::from_secs(10);

impl Io {
    /// Forgets what a room remembers.
    pub(crate) fn forget(&self, room: &str) {
        if self.0.hub.rooms().forget(room) {
            self.settle(room);
        }
    }

    /// Lets rooms with history forget in time, from now on. Outside of a runtime it waits until the next room is made.
    pub(super) fn sweep_rooms(&self) {
        if self.0.sweeps_rooms.get().is_some() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.0.sweeps_rooms.get_or_init(|| {
            let io = Arc::downgrade(&self.0);
            runtime.spawn(async move {
                loop {
                    let Some(inner) = io.upgrade() else { return };
                    let histories = inner.hub.rooms().histories.all();
                    let shortest = histories.iter().map(|history| history.shortest()).min().unwrap_or(LONGEST_SWEEP);
                    drop((inner, histories));
                    tokio::time::sleep((shortest / 4).clamp(SHORTEST_SWEEP, LONGEST_SWEEP)).await;
                    let Some(inner) = io.upgrade() else { return };
                    let io = Io(inner);
                    let gone = io.0.hub.rooms().sweep(Instant::now());
                    gone.iter().for_each(|room| io.settle(room));
                }
            });
        });
    }
}
