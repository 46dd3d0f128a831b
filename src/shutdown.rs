//! The end of a whole `Io`, in order and within a grace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
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
    doors: Mutex<Vec<Weak<Door>>>,
}

/// A listener, until it is closed. A shutdown closes it itself: whoever serves it may not be polled meanwhile.
#[derive(Debug)]
pub(crate) struct Door(Mutex<Option<TcpListener>>);

impl Door {
    /// What the listener does, if it is there.
    #[cfg(feature = "server")]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&TcpListener) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(f)
    }

    fn close(&self) {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(listener);
    }
}

/// Counts connections from the door until nothing of them is left, and tasks beside them.
#[derive(Debug, Default)]
struct Alive {
    count: AtomicUsize,
    none: Notify,
}

/// One connection, or a task beside them, that is alive.
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
        Life { phase: watch::channel(Phase::Running).0, alive: Arc::default(), doors: Mutex::default() }
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

    /// A listener that is closed when a shutdown begins, or dropped. Closed at once if it has begun.
    #[cfg(feature = "server")]
    pub(crate) fn door(&self, listener: TcpListener) -> Arc<Door> {
        let door = Arc::new(Door(Mutex::new(Some(listener))));
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|door| door.strong_count() > 0);
        doors.push(Arc::downgrade(&door));
        drop(doors);
        // Looked at when it is in the list: a shutdown that begins behind this finds it there.
        if self.phase() != Phase::Running {
            door.close();
        }
        door
    }

    fn close_doors(&self) {
        let doors = std::mem::take(&mut *self.doors.lock().unwrap_or_else(PoisonError::into_inner));
        doors.iter().filter_map(Weak::upgrade).for_each(|door| door.close());
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
    /// Ends it in order, within the grace:
    ///
    /// 1. Nobody is let in any more: the ports are free, and who is at the door already gets 503.
    /// 2. Each peer is told `closing` with an `after` that spreads their return; what was emitted before is sent, connections
    ///    close with 1001, and handlers and `on_disconnect` end.
    /// 3. Modules let go of what they stream: [`closing`](Io::closing) tells them, at the same time.
    /// 4. All of that, and the tasks of [`spawn`](Io::spawn), is waited for. What is not done shortly before the grace is over is
    ///    cut.
    /// 5. The way to other nodes is closed, and [`listen`](Io::listen) returns.
    ///
    /// Returns how many connections and tasks were cut short. Called again, or before anything has begun, it does what is left to
    /// do; of several at a time, the grace that is over first holds. Whoever listens afterwards lets nobody in and returns.
    /// Cancel safe: dropped, it goes on when it is called again.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        // For ever is a year.
        let grace = grace.min(Duration::from_secs(365 * 24 * 3600));
        let end = Instant::now() + grace;
        // What is left for the cut itself, and then for `on_disconnect`.
        let cut = end - (grace / 4).min(Duration::from_millis(200));
        let ended = end - (grace / 16).min(Duration::from_millis(50));
        self.life().advance(Phase::Closing);
        self.life().close_doors();
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

    /// Runs a task beside the sockets. [`shutdown`](Io::shutdown) waits for it within its grace, and drops it when that is nearly
    /// over; so is it dropped with the last handle of this `Io`, unless it has one itself. To end in order it looks out for
    /// [`closing`](Io::closing).
    ///
    /// ```
    /// # use eventwire::Io;
    /// # async fn f(io: Io) {
    /// let told = io.clone();
    /// io.spawn(async move {
    ///     let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
    ///     loop {
    ///         tokio::select! {
    ///             _ = every.tick() => drop(told.to("clock").emit("tick", ()).await),
    ///             () = told.closing() => break,
    ///         }
    ///     }
    ///     // What is to be done before the server is gone: this is waited for.
    /// });
    /// # }
    /// ```
    ///
    /// The handle gives its output, or `None` if it was dropped; dropped itself, the task goes on.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let alive = self.life().alive();
        let mut phase = self.life().phase.subscribe();
        tokio::spawn(async move {
            let output = tokio::select! {
                output = task => Some(output),
                // An error: there is no such `Io` any more.
                _ = phase.wait_for(|now| *now >= Phase::Cut) => None,
            };
            drop(alive);
            output
        })
    }

    /// Ends one socket, which may come back to whoever serves next.
    pub(crate) fn tell_to_come_back(&self, socket: &Socket, among: usize) {
        // A millisecond for each, at least one second: the next server gets them one by one.
        let span = among.clamp(1000, 30_000) as u64;
        let after = Duration::from_millis(socket.id().spread(span));
        socket.member().end(Ending::after_drain(DisconnectReason::Shutdown, after));
    }
}
