//! The end of a whole `Io`, in order and within a grace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::closing::{DisconnectReason, Ending};
use crate::io::Io;
use crate::socket::Socket;

/// Where an `Io` is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Nobody is let in; those here are told and drained.
    Closing,
    /// The grace is nearly over: what still runs is cut short.
    Cut,
    /// It is over.
    Ended,
}

/// How far an `Io` is, and which of its connections are alive.
#[derive(Debug)]
pub(crate) struct Life {
    phase: watch::Sender<Phase>,
    alive: Arc<Alive>,
}

/// Counts connections from the door until nothing of them is left.
#[derive(Debug, Default)]
struct Alive {
    count: AtomicUsize,
    none: Notify,
}

/// One connection that is alive.
#[derive(Debug)]
pub(crate) struct AliveGuard(Arc<Alive>);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

impl Life {
    pub(crate) fn new() -> Life {
        Life { phase: watch::channel(Phase::Running).0, alive: Arc::default() }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Where it is, also for who does not keep it: closed once it is no more.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until it is so far.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives as long as this does.
        let _ = self.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(crate) fn alive(&self) -> AliveGuard {
        self.alive.count.fetch_add(1, Ordering::AcqRel);
        AliveGuard(self.alive.clone())
    }

    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let moves = *now < phase;
            if moves {
                *now = phase;
            }
            moves
        });
    }

    fn count(&self) -> usize {
        self.alive.count.load(Ordering::Acquire)
    }

    /// Whether all connections are gone by then.
    async fn all_gone(&self, by: Instant) -> bool {
        let none = async {
            loop {
                let notified = self.alive.none.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if self.count() == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout_at(by, none).await.is_ok()
    }
}

impl Io {
    /// Ends it in order, within the grace: nobody is let in any more, each peer is told `closing`
    /// with an `after` that spreads their return, what was emitted is sent, connections close with
    /// 1001, and handlers and `on_disconnect` end. What is not done shortly before the grace is over
    /// is cut. Returns how many connections were cut short.
    ///
    /// Called again, the grace that is over first holds. Cancel safe: dropped, it goes on when it is called again.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        // For ever is a year.
        let grace = grace.min(Duration::from_secs(365 * 24 * 3600));
        let end = Instant::now() + grace;
        // What is left for the cut itself, and then for `on_disconnect`.
        let cut = end - (grace / 4).min(Duration::from_millis(200));
        let ended = end - (grace / 16).min(Duration::from_millis(50));
        self.life().advance(Phase::Closing);
        let sockets = self.sockets();
        for socket in &sockets {
            self.tell_to_come_back(socket, sockets.len());
        }
        drop(sockets);
        let mut left = 0;
        if !self.life().all_gone(cut).await {
            left = self.life().count();
            self.life().advance(Phase::Cut);
            self.sockets().iter().for_each(|socket| socket.member().outbox.cut());
            if !self.life().all_gone(ended).await {
                self.life().advance(Phase::Ended);
                self.life().all_gone(end).await;
            }
        }
        self.life().advance(Phase::Ended);
        // An adapter that hangs does not outlive the grace either.
        let _ = tokio::time::timeout_at(end, self.adapter().close()).await;
        left
    }

    /// Waits until [`shutdown`](Io::shutdown) begins: for what runs beside the sockets.
    pub async fn closing(&self) {
        self.life().reached(Phase::Closing).await;
    }

    /// Ends one socket, which may come back to whoever serves next.
    pub(crate) fn tell_to_come_back(&self, socket: &Socket, among: usize) {
        // A millisecond for each, at least one second: the next server gets them one by one.
        let span = among.clamp(1000, 30_000) as u64;
        let after = Duration::from_millis(socket.id().spread(span));
        socket.member().end(Ending::after_drain(DisconnectReason::Shutdown, after));
    }
}
