//! What an `Io` and its peers say to each other, as far as it was registered.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use crate::event::{EmitEvent, EventType};
use crate::handler::Types;
use crate::io::Io;
use crate::patterns::Pattern;
use crate::protocol;
use crate::watch::{EventCounts, EventTable};

/// So many events that only sockets listen to are remembered: a name that is made anew for each socket must not fill the memory.
const MAX_OF_SOCKETS: usize = 4096;

/// What was registered at an [`Io`]: which events, and the rules of rooms. See [`Io::events`].
///
/// It serialises as `{"events": [{"name", "direction", "payload", "ack", "concurrent", "timeoutMs"}], "rooms": [{"pattern",
/// "subscribe", "history"}]}`, in camel case.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Contract {
    /// By name.
    pub events: Vec<EventInfo>,
    /// By pattern, the longest match first.
    pub rooms: Vec<RoomInfo>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EventInfo {
    /// Its name on the wire.
    pub name: String,
    /// Who sends it.
    pub direction: Direction,
    /// The Rust type of its payload.
    pub payload: &'static str,
    /// The Rust type of the answer; `None` where the handler makes it by hand, as an [`Answer`](crate::Answer).
    pub ack: Option<&'static str>,
    /// How many of one socket are handled at a time beside its lane; 0: one after another.
    pub concurrent: usize,
    /// How long its handler may run; `None`: as the configuration says.
    #[serde(rename = "timeoutMs", serialize_with = "millis")]
    pub timeout: Option<Duration>,
}

/// Who sends an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Direction {
    /// Clients do; there is a handler.
    FromClient,
    /// The server does; it was declared by [`Io::emits`].
    ToClient,
}

/// What was said of the rooms of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RoomInfo {
    /// A room's name, or the beginning of one and `*`.
    pub pattern: String,
    /// Who may subscribe; `None` where nothing is said of that, and a shorter pattern may.
    pub subscribe: Option<Subscribe>,
    /// What they remember; `None` where nothing is said of that.
    pub history: Option<HistoryInfo>,
}

/// Who may subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Subscribe {
    /// Every client.
    Public,
    /// Whom a function lets in.
    If,
}

/// What rooms remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistoryInfo {
    /// At most so many bytes of messages.
    pub bytes: usize,
    /// At most so many messages, where that is bounded.
    pub messages: Option<usize>,
    /// For so long, where they age.
    #[serde(rename = "ttlMs", serialize_with = "millis")]
    pub ttl: Option<Duration>,
    /// Whether who subscribes begins with what comes from then on.
    pub live_only: bool,
    /// The event of the snapshot, if there is one.
    pub snapshot: Option<String>,
}

fn millis<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis() as u64).serialize(serializer)
}

/// An event that is listened to, and what was said of it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) name: Box<str>,
    payload: &'static str,
    ack: Option<&'static str>,
    /// Where the handler's type does not tell it.
    told: OnceLock<&'static str>,
    /// As they were last set, by whichever of the listeners that share this.
    pub(crate) options: Options,
    /// Those of all listeners to events of this name.
    pub(crate) counts: Arc<EventCounts>,
}

impl Heard {
    /// # Panics
    /// When the name cannot be an event's.
    pub(crate) fn new(name: &str, (payload, ack): Types, events: &EventTable) -> Heard {
        if let Err(error) = protocol::check_event(name) {
            panic!("cannot listen to {name:?}: {error}");
        }
        if ["connection", "connect", "disconnect", "disconnecting"].contains(&name) {
            // Elsewhere they are told so.
            tracing::warn!(
                event = name,
                "this is an event that clients send; sockets come and go by `on_connect` and `on_disconnect`"
            );
        }
        let counts = events.register(name);
        Heard { name: name.into(), payload, ack, told: OnceLock::new(), options: Options::default(), counts }
    }

    /// Tells what is answered, where that was not known.
    pub(crate) fn answers(&self, ack: &'static str) {
        let _is_told_already = self.told.set(ack);
    }

    pub(crate) fn info(&self, options: &Options) -> EventInfo {
        EventInfo {
            name: self.name.to_string(),
            direction: Direction::FromClient,
            payload: self.payload,
            ack: self.ack.or(self.told.get().copied()),
            concurrent: options.concurrent().unwrap_or(0),
            timeout: options.timeout(),
        }
    }
}

/// How a listener is called. It holds for events that are handled from then on.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// How many may run at a time beside the lane; 0: in the lane, one after another.
    concurrent: AtomicUsize,
    /// How long it may run, in milliseconds; 0: as the configuration says.
    timeout: AtomicU64,
}

impl Options {
    /// Registered again, it begins with none.
    fn reset(&self) {
        self.concurrent.store(0, Ordering::Relaxed);
        self.timeout.store(0, Ordering::Relaxed);
    }

    pub(crate) fn concurrent(&self) -> Option<usize> {
        Some(self.concurrent.load(Ordering::Relaxed)).filter(|&n| n > 0)
    }

    pub(crate) fn set_concurrent(&self, n: usize) {
        // What a semaphore counts has an end; so many never run.
        self.concurrent.store(n.min(u16::MAX.into()), Ordering::Relaxed);
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        Some(self.timeout.load(Ordering::Relaxed)).filter(|&ms| ms > 0).map(Duration::from_millis)
    }

    pub(crate) fn set_timeout(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        self.timeout.store(millis, Ordering::Relaxed);
    }
}

/// What is known beside the listeners of the `Io` itself.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What sockets listen to: many with the same handlers, so that each has an entry once. A lock for the first of them.
    of_sockets: RwLock<HashMap<Box<str>, Vec<Arc<Heard>>>>,
    emitted: Mutex<Vec<EventType>>,
}

impl Known {
    /// The entry of what a socket listens to.
    ///
    /// # Panics
    /// When the name cannot be an event's.
    pub(crate) fn of_socket(&self, name: &str, types: Types, events: &EventTable) -> Arc<Heard> {
        let is_it = |heard: &&Arc<Heard>| (heard.payload, heard.ack) == types;
        {
            let known = self.of_sockets.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(heard) = known.get(name).and_then(|known| known.iter().find(is_it)) {
                heard.options.reset();
                return heard.clone();
            }
        }
        let heard = Arc::new(Heard::new(name, types, events));
        let mut known = self.of_sockets.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_OF_SOCKETS || known.contains_key(name) {
            let same_name = known.entry(name.into()).or_default();
            match same_name.iter().find(is_it) {
                Some(heard) => return heard.clone(),
                None => same_name.push(heard.clone()),
            }
        }
        heard
    }

    fn emits(&self, events: Vec<EventType>) {
        let mut emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if !emitted.contains(&event) {
                emitted.push(event);
            }
        }
    }

    fn infos(&self) -> Vec<EventInfo> {
        let emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_sockets = self.of_sockets.read().unwrap_or_else(PoisonError::into_inner);
        let heard = of_sockets.values().flatten().map(|heard| heard.info(&heard.options));
        heard.chain(emitted.into_iter().map(EventInfo::emitted)).collect()
    }
}

impl EventInfo {
    fn emitted(EventType { name, payload, ack }: EventType) -> EventInfo {
        let direction = Direction::ToClient;
        EventInfo { name: name.to_owned(), direction, payload, ack: Some(ack), concurrent: 0, timeout: None }
    }
}

/// Allow and history of each pattern, the longest first.
fn rooms(io: &Io) -> Vec<RoomInfo> {
    let mut rooms: Vec<RoomInfo> = Vec::new();
    let entry = |pattern: &Pattern, rooms: &mut Vec<RoomInfo>| {
        let pattern = pattern.to_string();
        rooms.iter().position(|room| room.pattern == pattern).unwrap_or_else(|| {
            rooms.push(RoomInfo { pattern, subscribe: None, history: None });
            rooms.len() - 1
        })
    };
    for (pattern, allow) in io.rules().entries() {
        let index = entry(&pattern, &mut rooms);
        rooms[index].subscribe = Some(allow.subscribe());
    }
    for (pattern, history) in io.hub().rooms().histories.entries() {
        let index = entry(&pattern, &mut rooms);
        rooms[index].history = Some(history.info());
    }
    // As they are found: a literal before a pattern of the same length.
    let rank = |room: &RoomInfo| (Reverse(room.pattern.trim_end_matches('*').len()), room.pattern.ends_with('*'));
    rooms.sort_by(|a, b| (rank(a), &a.pattern).cmp(&(rank(b), &b.pattern)));
    rooms
}

impl Io {
    /// Every event and every room's rule that was registered so far, by closure or [gateway](Io::gateway): what clients may send, what is answered, what they
    /// are sent as far as it was [declared](Io::emits), and where they may subscribe.
    ///
    /// Events that sockets listen to for themselves are among them once a first one did, up to 4,096 names; those of the `Io` until they
    /// are taken [`off`](Io::off), or have been called that are for [`once`](Io::once). `on_any` and `on_raw` name no event, and the protocol's own go without saying.
    ///
    /// ```
    /// use eventwire::{Direction, Io, Socket};
    ///
    /// let io = Io::new();
    /// io.on::<String>("shout", |_socket: Socket, text| async move { text.len() });
    /// io.rooms("news").public();
    ///
    /// let contract = io.events();
    /// let shout = &contract.events[0];
    /// assert_eq!((shout.name.as_str(), shout.direction), ("shout", Direction::FromClient));
    /// assert_eq!((shout.payload, shout.ack), ("alloc::string::String", Some("usize")));
    /// assert_eq!(contract.rooms[0].pattern, "news");
    /// println!("{}", serde_json::to_string_pretty(&contract)?);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn events(&self) -> Contract {
        let table = self.router().table();
        let of_io = table.iter().flat_map(|table| table.registered()).filter_map(|listener| listener.info());
        let mut events: Vec<EventInfo> = of_io.chain(self.known().infos()).collect();
        let key = |event: &EventInfo| (event.direction, event.payload, event.ack, event.concurrent, event.timeout);
        events.sort_by(|a, b| (&a.name, key(a)).cmp(&(&b.name, key(b))));
        events.dedup();
        Contract { events, rooms: rooms(self) }
    }

    /// Declares what the server emits, for [`events`](Io::events): an [`Event`](crate::Event), or an enum of
    /// [`Events`](crate::Events). Emitting does not need it.
    pub fn emits<E: EmitEvent>(&self) -> &Self {
        self.known().emits(E::emitted());
        self
    }
}
