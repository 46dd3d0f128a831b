use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::watch;

use super::NatsSourceError;
use super::counts::{Counts, NatsCounts};
use crate::{Io, Probe};

/// How a source stands with NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsState {
    /// It has not been connected yet.
    Connecting,
    /// It is connected.
    Connected,
    /// It was, and tries again.
    Disconnected {
        /// Since when it is seen to be so.
        since: Instant,
    },
    /// It has ended.
    Closed,
}

/// A source that was installed: a cheap handle. Dropped, the source goes on, until [`close`](NatsSourceHandle::close) or
/// [`Io::shutdown`](crate::Io::shutdown).
#[derive(Clone)]
pub struct NatsSourceHandle(pub(super) Arc<Shared>);

pub(super) struct Shared {
    name: String,
    is_optional: bool,
    pub(super) counts: Counts,
    state: watch::Sender<NatsState>,
    /// NATS has the subscriptions, or the consumer.
    ready: watch::Sender<bool>,
    stop: watch::Sender<bool>,
}

/// The sources of an `Io` that have not ended, for its health.
#[derive(Default)]
struct Sources(Mutex<Vec<Weak<Shared>>>);

/// Has the `Io`'s health know of it.
pub(super) fn tell_health(io: &Io, shared: &Arc<Shared>) {
    let sources = io.extensions().get_or_insert_with(Sources::default);
    sources.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(shared));
    io.health_probe("nats", move || sources.probe());
}

impl Sources {
    fn probe(&self) -> Probe {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut away, mut is_ready) = (Vec::new(), true);
        sources.retain(|source| {
            let Some(source) = source.upgrade() else { return false };
            match source.state() {
                NatsState::Connected => return true,
                NatsState::Connecting => away.push(format!("`{}` has not been connected yet", source.name)),
                NatsState::Disconnected { since } => {
                    away.push(format!("`{}` is disconnected for {} s", source.name, since.elapsed().as_secs()));
                }
                NatsState::Closed => return false,
            }
            is_ready &= source.is_optional;
            true
        });
        match (away.is_empty(), is_ready) {
            (true, _) => Probe::Up,
            (false, true) => Probe::Degraded(away.join(", ")),
            (false, false) => Probe::Down(away.join(", ")),
        }
    }
}

impl NatsSourceHandle {
    /// How it stands with NATS: looked at ten times a second.
    pub fn state(&self) -> NatsState {
        *self.0.state.borrow()
    }

    /// The same, for whoever waits for a change.
    pub fn watch(&self) -> watch::Receiver<NatsState> {
        self.0.state.subscribe()
    }

    /// What it has counted.
    pub fn counts(&self) -> NatsCounts {
        self.0.counts.get()
    }

    /// Waits until NATS has its subscriptions, or its consumer, for the first time: what is published from then on is
    /// emitted. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`](NatsSourceError::Closed) where it ended before.
    pub async fn ready(&self) -> Result<(), NatsSourceError> {
        let (mut ready, mut state) = (self.0.ready.subscribe(), self.0.state.subscribe());
        // The senders live as long as this does.
        tokio::select! {
            biased;
            _ = ready.wait_for(|ready| *ready) => Ok(()),
            _ = state.wait_for(|state| *state == NatsState::Closed) => Err(NatsSourceError::Closed),
        }
    }

    /// Ends it: NATS is told to send no more, what came is emitted, or handed back to JetStream, and acknowledgements are
    /// sent. Waits until that is done, for at most 3 s where NATS is away. Cancel safe: dropped, it ends all the same.
    pub async fn close(&self) {
        self.0.stop();
        let _ = self.0.state.subscribe().wait_for(|state| *state == NatsState::Closed).await;
    }
}

impl fmt::Debug for NatsSourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, counts) = (self.state(), self.counts());
        f.debug_struct("NatsSourceHandle").field("state", &state).field("counts", &counts).finish()
    }
}

impl Shared {
    pub(super) fn new(name: &str, is_optional: bool, counts: Counts) -> Shared {
        Shared {
            name: name.to_owned(),
            is_optional,
            counts,
            state: watch::Sender::new(NatsState::Connecting),
            ready: watch::Sender::new(false),
            stop: watch::Sender::new(false),
        }
    }

    pub(super) fn state(&self) -> NatsState {
        *self.state.borrow()
    }

    pub(super) fn is(&self, state: NatsState) {
        self.state.send_replace(state);
    }

    pub(super) fn is_ready(&self) {
        self.ready.send_replace(true);
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Waits until it is connected.
    pub(super) async fn connected(&self) {
        let _ = self.state.subscribe().wait_for(|state| *state == NatsState::Connected).await;
    }
}
