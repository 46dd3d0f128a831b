//! Event names to their listeners. The same table serves an `Io`, for all its sockets, and a
//! socket, for itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use crate::closing::DisconnectReason;
use crate::contract::{EventInfo, Heard, Options};
use crate::handler::{BoxFuture, Call};
use crate::socket::Socket;
use crate::watch::EventCounts;

pub(crate) type Listeners = Arc<[Arc<Listener>]>;

/// A registered handler.
pub(crate) struct Listener {
    pub(crate) id: u64,
    /// `None`: every event.
    event: Option<Arc<Heard>>,
    pub(crate) call: Box<dyn Call>,
    /// For `once`: whether it has been called.
    once: Option<AtomicBool>,
    options: Options,
}

impl Listener {
    fn new(event: Option<Arc<Heard>>, call: Box<dyn Call>, once: bool) -> Listener {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Listener {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            event,
            call,
            once: once.then(AtomicBool::default),
            options: Options::default(),
        }
    }

    /// Whether it is to be called now: always, but for one that is for once and was.
    pub(crate) fn claim(&self) -> bool {
        self.once.as_ref().is_none_or(|called| !called.swap(true, Ordering::Relaxed))
    }

    pub(crate) fn is_once(&self) -> bool {
        self.once.is_some()
    }

    /// How many may run beside the lane.
    pub(crate) fn concurrent(&self) -> Option<usize> {
        self.options.concurrent()
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.options.timeout()
    }

    /// Its event; `None` for every.
    fn event(&self) -> Option<&str> {
        self.event.as_ref().map(|heard| &*heard.name)
    }

    /// What is counted of its event; `None` for one that hears every.
    pub(crate) fn counts(&self) -> Option<&EventCounts> {
        self.event.as_ref().map(|heard| &*heard.counts)
    }

    pub(crate) fn info(&self) -> Option<EventInfo> {
        self.event.as_ref().map(|heard| heard.info(&self.options))
    }

    /// Its options, and those that are told of it.
    fn options(&self) -> impl Iterator<Item = &Options> {
        [&self.options].into_iter().chain(self.event.as_ref().map(|heard| &heard.options))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("id", &self.id).field("event", &self.event()).finish_non_exhaustive()
    }
}

/// A registration: what `off` takes, and where its options are set.
///
/// The options hold for events that are handled from then on.
#[derive(Clone, Debug)]
pub struct ListenerId {
    listener: Weak<Listener>,
    id: u64,
}

impl ListenerId {
    /// Up to `n` events of each socket run at a time: the lane goes on once the handler has
    /// started. At `n` running, it waits. Without this, one socket's events are handled one
    /// after another; 0 means that again.
    pub fn concurrent(self, n: usize) -> ListenerId {
        if let Some(listener) = self.listener.upgrade() {
            listener.options().for_each(|options| options.set_concurrent(n));
        }
        self
    }

    /// How long the handler may run, in place of `handlerTimeout`. At least 1 ms.
    pub fn timeout(self, limit: Duration) -> ListenerId {
        if let Some(listener) = self.listener.upgrade() {
            listener.options().for_each(|options| options.set_timeout(limit));
        }
        self
    }

    /// Tells the type of what a handler answers that makes an [`Answer`](crate::Answer), for [`Io::events`](crate::Io::events). Where
    /// the handler's own type tells it, that holds. A gateway's handlers are registered so.
    ///
    /// ```
    /// # use eventwire::{Answer, Io, Socket};
    /// let io = Io::new();
    /// io.on::<u8>("double", |_: Socket, n| async move { Answer::value(&(n * 2)) }).answers("u8");
    /// assert_eq!(io.events().events[0].ack, Some("u8"));
    /// ```
    pub fn answers(self, ack: impl Into<Option<&'static str>>) -> ListenerId {
        if let Some((listener, ack)) = self.listener.upgrade().zip(ack.into()) {
            listener.event.iter().for_each(|heard| heard.answers(ack));
        }
        self
    }
}

/// Which listeners `off` takes away.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Off<'a> {
    /// All of an event.
    Event(&'a str),
    /// One.
    Listener(u64),
}

impl<'a> From<&'a str> for Off<'a> {
    fn from(event: &'a str) -> Off<'a> {
        Off::Event(event)
    }
}

impl From<ListenerId> for Off<'_> {
    fn from(id: ListenerId) -> Self {
        Off::Listener(id.id)
    }
}

impl From<&ListenerId> for Off<'_> {
    fn from(id: &ListenerId) -> Self {
        Off::Listener(id.id)
    }
}

pub(crate) type OnDisconnect = Arc<dyn Fn(Socket, DisconnectReason) -> BoxFuture<()> + Send + Sync>;

/// The listeners of an `Io` or of a socket.
#[derive(Default)]
pub(crate) struct Router {
    /// `None` until something is registered: a socket without handlers of its own costs nothing.
    // A lock for writers; whoever handles events holds a snapshot, renewed when `generation` moves.
    table: RwLock<Option<Arc<Table>>>,
    generation: AtomicU64,
}

#[derive(Clone, Default)]
pub(crate) struct Table {
    /// In the order of registration.
    registered: Vec<Arc<Listener>>,
    /// For each name that somebody listens to: its listeners, and those to every event, in that order.
    // Clients cannot add to them.
    events: HashMap<Box<str>, Listeners, foldhash::fast::RandomState>,
    any: Option<Listeners>,
    pub(crate) connect: Vec<Arc<Listener>>,
    pub(crate) disconnect: Vec<OnDisconnect>,
}

impl Table {
    pub(crate) fn listeners(&self, event: &str) -> Option<&Listeners> {
        self.events.get(event).or(self.any.as_ref())
    }

    /// In the order of registration.
    pub(crate) fn registered(&self) -> &[Arc<Listener>] {
        &self.registered
    }

    fn select(&self, event: Option<&str>) -> Option<Listeners> {
        let hears = |listener: &&Arc<Listener>| listener.event.is_none() || listener.event() == event;
        let listeners: Vec<_> = self.registered.iter().filter(hears).cloned().collect();
        (!listeners.is_empty()).then(|| listeners.into())
    }

    /// Renews what is derived for an event, or for all.
    fn renew(&mut self, event: Option<&str>) {
        let names = match event {
            Some(event) => vec![event.into()],
            None => self.events.keys().cloned().collect(),
        };
        for name in names {
            let listens = self.registered.iter().any(|listener| listener.event() == Some(&*name));
            match self.select(Some(&name)).filter(|_| listens) {
                Some(listeners) => self.events.insert(name, listeners),
                None => self.events.remove(&name),
            };
        }
        if event.is_none() {
            self.any = self.select(None);
        }
    }
}

impl Router {
    fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(Arc::make_mut(table.get_or_insert_default()));
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    pub(crate) fn on(&self, event: Arc<Heard>, call: Box<dyn Call>, once: bool) -> ListenerId {
        self.register(Some(event), call, once)
    }

    pub(crate) fn on_any(&self, call: Box<dyn Call>) -> ListenerId {
        self.register(None, call, false)
    }

    fn register(&self, event: Option<Arc<Heard>>, call: Box<dyn Call>, once: bool) -> ListenerId {
        let listener = Arc::new(Listener::new(event, call, once));
        let id = ListenerId { listener: Arc::downgrade(&listener), id: listener.id };
        self.change(|table| {
            table.registered.push(listener.clone());
            table.renew(listener.event());
        });
        id
    }

    pub(crate) fn on_connect(&self, call: Box<dyn Call>) {
        self.change(|table| table.connect.push(Arc::new(Listener::new(None, call, false))));
    }

    pub(crate) fn on_disconnect(&self, handler: OnDisconnect) {
        self.change(|table| table.disconnect.push(handler));
    }

    /// Returns how many listeners were taken away.
    pub(crate) fn off(&self, off: &Off<'_>) -> usize {
        let hits = |listener: &Arc<Listener>| match *off {
            Off::Event(event) => listener.event() == Some(event),
            Off::Listener(id) => listener.id == id,
        };
        if !self.table().is_some_and(|table| table.registered.iter().any(hits)) {
            return 0;
        }
        let gone = self.change(|table| {
            let gone: Vec<_> = table.registered.extract_if(.., |listener| hits(listener)).collect();
            for listener in &gone {
                table.renew(listener.event());
            }
            gone
        });
        // They are dropped here, where no lock is held: what they captured is user code.
        gone.len()
    }

    /// The socket is gone: its listeners go, and what they hold with them.
    pub(crate) fn clear(&self) {
        let table = self.table.write().unwrap_or_else(PoisonError::into_inner).take();
        self.generation.fetch_add(1, Ordering::Release);
        // Here, where no lock is held: it is user code.
        drop(table);
    }

    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners = self.table().map_or(0, |table| table.registered.len());
        f.debug_struct("Router").field("listeners", &listeners).finish_non_exhaustive()
    }
}

/// What one lane knows of a router.
#[derive(Default)]
pub(crate) struct Snapshot {
    generation: u64,
    table: Option<Arc<Table>>,
}

impl Snapshot {
    /// The table as it is now; the lock is taken only when something has changed.
    pub(crate) fn of(&mut self, router: &Router) -> Option<&Arc<Table>> {
        let generation = router.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.table = router.table();
        }
        self.table.as_ref()
    }
}
