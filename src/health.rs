//! Whether it works, as load balancers and those who are on call ask.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::panic_text;
use crate::io::Io;
use crate::shutdown::Phase;
use crate::watch::{Fault, Watched};

/// How an [`Io`] is. See [`Io::health`].
///
/// It serialises as `{"ready", "live", "reasons": [{"name", "message"}], "uptimeMs", "sockets", "errors"}`.
///
/// *Ready* and *live* are two questions. One that is not ready should be sent nobody new: those that are connected stay, and lose
/// nothing. One that is not live is to be started again. In the terms of Kubernetes: `readinessProbe` and `livenessProbe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Health {
    /// Whether who connects now is let in, and gets what it came for.
    pub ready: bool,
    /// Whether it works, or will again by itself. `false`: only a new start helps.
    pub live: bool,
    /// What there is to say against it, also where it is ready nevertheless. Empty: all is well.
    pub reasons: Vec<Reason>,
    /// How long it has been there. Serialised in milliseconds.
    #[serde(rename = "uptimeMs", serialize_with = "millis")]
    pub uptime: Duration,
    /// Sockets that are connected.
    pub sockets: usize,
    /// What went wrong so far, by whose fault. It says nothing about being ready: clients do as they like.
    pub errors: ErrorCounts,
}

/// What went wrong since an [`Io`] was made, by whose fault it was. None of it stops the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ErrorCounts {
    /// All of them.
    pub total: u64,
    /// The client's: refused at the door, events that were answered by an `error` that blames what was sent or says no in the application's own
    /// words, and connections closed because of what came.
    pub client: u64,
    /// The network's: connections that were lost or fell silent, and handshakes that broke.
    pub network: u64,
    /// Of peers that took less than was sent to them: disconnected because of that.
    pub slow: u64,
    /// This side's: handlers that failed, panicked or took too long, and requests that were refused for want of places or of who could say who it is.
    pub server: u64,
}

impl ErrorCounts {
    pub(crate) fn by_class(self) -> [(&'static str, u64); 4] {
        [("client", self.client), ("network", self.network), ("slow", self.slow), ("server", self.server)]
    }
}

impl Watched {
    pub(crate) fn error_counts(&self) -> ErrorCounts {
        let [client, network, slow, server] =
            [Fault::Client, Fault::Network, Fault::Slow, Fault::Server].map(|fault| self.faults(fault));
        ErrorCounts { total: client + network + slow + server, client, network, slow, server }
    }
}

/// What there is to say against an [`Io`]'s health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reason {
    /// A word for programs: `shutdown`, `authentication` (required, and no function for it is set), `connections` (as many as
    /// `maxConnections` allows), or the name of a [probe](Io::health_probe).
    pub name: &'static str,
    /// A text for people. It may name hosts and the like: who may read it is for the application to say.
    pub message: String,
}

/// What a [probe](Io::health_probe) finds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// All is well.
    Up,
    /// It works, if not as well as it should: [`Health`] tells of it and stays ready.
    Degraded(String),
    /// It does not work now, and will again by itself: not ready, but live.
    Down(String),
    /// It will not work again before a new start: not ready, and not live.
    Failed(String),
}

type Ask = Arc<dyn Fn() -> Probe + Send + Sync>;

/// What modules tell of themselves.
#[derive(Default)]
pub(crate) struct Probes(RwLock<Vec<(&'static str, Ask)>>);

impl Probes {
    fn set(&self, name: &'static str, ask: Ask) {
        let mut probes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = match probes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => Some(std::mem::replace(known, ask)),
            None => {
                probes.push((name, ask));
                None
            }
        };
        drop(probes);
        // Here, where no lock is held: what it captured is user code.
        drop(before);
    }

    /// What each of them finds now, in the order in which they were set. No lock is held meanwhile.
    pub(crate) fn ask(&self) -> impl Iterator<Item = (&'static str, Probe)> {
        let probes = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        probes.into_iter().map(|(name, ask)| {
            let found = catch_unwind(AssertUnwindSafe(|| ask())).unwrap_or_else(|panic| panicked(name, &*panic));
            (name, found)
        })
    }
}

/// Its text stays in the log: it was not written for those who ask.
fn panicked(name: &str, panic: &(dyn Any + Send)) -> Probe {
    tracing::error!(probe = name, panic = panic_text(panic), "a health probe panicked");
    Probe::Down("the probe panicked".to_owned())
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(probes.iter().map(|(name, _)| name)).finish()
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    (time.as_millis() as u64).serialize(serializer)
}

impl Io {
    /// How it is, of this node alone: from its own state, and from what each [probe](Io::health_probe) finds, which are asked now.
    ///
    /// Not *ready*: once [`shutdown`](Io::shutdown) has begun; while [authentication is required](Io::require_authentication) and there
    /// is no function for it; at `maxConnections`; while a probe is down. Not *live*: when the shutdown is over, or a
    /// probe says that only a new start helps.
    ///
    /// ```
    /// use eventwire::{Io, Probe};
    ///
    /// let io = Io::new();
    /// assert!(io.health().ready);
    /// io.health_probe("database", || Probe::Down("no answer since 12:03".into()));
    ///
    /// let health = io.health();
    /// assert!(!health.ready && health.live);
    /// assert_eq!(health.reasons[0].name, "database");
    /// // As the body of an answer, with 503 where it is not ready.
    /// let body = serde_json::to_string(&health)?;
    /// # assert!(body.contains(r#""reasons":[{"name":"database","message":"no answer since 12:03"}]"#));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn health(&self) -> Health {
        self.examine().0
    }

    /// The same, and what each probe found.
    pub(crate) fn examine(&self) -> (Health, Vec<(&'static str, Probe)>) {
        let mut health = Health {
            ready: true,
            live: true,
            reasons: Vec::new(),
            uptime: self.watched().started.elapsed(),
            sockets: self.hub().len(),
            errors: self.watched().error_counts(),
        };
        match self.life().phase() {
            Phase::Running => {}
            Phase::Closing | Phase::Cut => health.object("shutdown", Probe::Down("the server shuts down".to_owned())),
            Phase::Ended => health.object("shutdown", Probe::Failed("the server has shut down".to_owned())),
        }
        if let Err(refusal) = self.authenticator() {
            health.object("authentication", Probe::Down(refusal.message().to_owned()));
        }
        if self.gate().is_full(self.config()) {
            health.object("connections", Probe::Down("as many as `maxConnections` allows".to_owned()));
        }
        let found: Vec<_> = self.watched().probes.ask().collect();
        found.iter().for_each(|(name, found)| health.object(name, found.clone()));
        (health, found)
    }

    /// Has [`health`](Io::health) ask for something that this `Io` depends on, such as a broker or a database. The last probe set under a
    /// name holds.
    ///
    /// It is asked on each call of `health()`, and every few seconds for the [metrics](Io::publish_metrics), on the thread of whoever asks: it should look at
    /// what is known, and wait for nothing. One that panics is down. A probe that captures its `Io` keeps it for ever.
    ///
    /// [`Down`](Probe::Down) makes the whole not ready, so that who comes next is sent to another node, while those that are connected stay. Where all nodes
    /// depend on the same thing that leaves none to go to: then [`Degraded`](Probe::Degraded) is what to tell, if there is something to be had without it.
    pub fn health_probe(&self, name: &'static str, probe: impl Fn() -> Probe + Send + Sync + 'static) {
        self.watched().probes.set(name, Arc::new(probe));
    }
}

impl Health {
    /// Takes in what was found.
    fn object(&mut self, name: &'static str, found: Probe) {
        let (ready, live, message) = match found {
            Probe::Up => return,
            Probe::Degraded(message) => (true, true, message),
            Probe::Down(message) => (false, true, message),
            Probe::Failed(message) => (false, false, message),
        };
        self.ready &= ready;
        self.live &= live;
        self.reasons.push(Reason { name, message });
    }
}
