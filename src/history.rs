//! Rooms that remember. A room with history is a log: each message gets a number and lies in a bounded ring. A member
//! is a cursor into it, which its connection moves when the peer can take more.

mod acknowledged;
mod folding;
mod handover;
mod log;
#[cfg(all(test, model))]
mod model;
mod ring;
mod snapshot;
#[cfg(test)]
mod tests;
mod translation;

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::log::{Log, Position, Pulled};
use self::snapshot::Fold;
use crate::contract::HistoryInfo;
use crate::protocol;

/// What is kept where nothing else was said.
const DEFAULT_BYTES: usize = 4 * 1024 * 1024;

/// How long a room without members is kept where nothing else was said, and its messages do not age.
const DEFAULT_IDLE: Duration = Duration::from_secs(60 * 60);

/// What a room keeps of its messages. See [`RoomRule::history`](crate::RoomRule::history).
///
/// The newest message is always kept, however large it is.
///
/// ```
/// use std::time::Duration;
/// use eventwire::{History, Io};
///
/// let io = Io::new();
/// io.rooms("build:*").public().history(History::bytes(4 * 1024 * 1024));
/// io.rooms("chat:*").public().history(History::messages(200).ttl(Duration::from_secs(24 * 60 * 60)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a history does nothing until a rule is given it"]
pub struct History {
    bytes: usize,
    count: usize,
    ttl: Option<Duration>,
    idle: Option<Duration>,
    is_live_only: bool,
    fold: Option<Fold>,
}

impl Default for History {
    /// 4 MiB, of any number and age.
    fn default() -> History {
        History::bytes(DEFAULT_BYTES)
    }
}

impl History {
    /// Keeps so many bytes of messages: of their frames as JSON clients get them, 33 bytes and more beside their payload, and 16
    /// bytes for each socket that a message leaves out. Beside that the ring takes 16 bytes a message, and no more than two blocks of 64 KiB.
    pub fn bytes(bytes: usize) -> History {
        History { bytes, count: usize::MAX, ttl: None, idle: None, is_live_only: false, fold: None }
    }

    /// Keeps so many messages, and no more than 4 MiB of them.
    pub fn messages(count: usize) -> History {
        History::default().count(count)
    }

    /// No more than so many messages, at least one.
    pub fn count(self, count: usize) -> History {
        History { count: count.max(1), ..self }
    }

    /// No message for longer than this. Default: they do not age. Precise to a quarter of it, and to 10 s.
    pub fn ttl(self, ttl: Duration) -> History {
        History { ttl: Some(ttl), ..self }
    }

    /// How long a room without members is kept after its last message came or its last member left. Then it is gone, and
    /// who emits to it or joins it begins another life of it. Default: the [`ttl`](History::ttl), where none is set an hour. As precise.
    pub fn idle(self, time: Duration) -> History {
        History { idle: Some(time), ..self }
    }

    /// Who subscribes gets what comes from then on, unless it asks for more by `since` or `last`.
    pub fn live_only(self) -> History {
        History { is_live_only: true, ..self }
    }

    /// Folds each message that is no longer kept into a state, which stands for all of them: whoever begins before the ring
    /// gets it as `event`, with the number of the last message folded and `"snapshot": true`, and then the ring.
    ///
    /// `fold` runs in whoever emits, outside of all locks, one call at a time for each room. If it panics, or falls
    /// behind by as much as the ring holds and 4 MiB or 65,536 messages, the room has no snapshot from then on and tells gaps.
    ///
    /// ```
    /// # use eventwire::{History, Io};
    /// # use serde::Serialize;
    /// #[derive(Clone, Default, Serialize)]
    /// struct Sum { count: u64, sum: i64 }
    ///
    /// let io = Io::new();
    /// io.rooms("sum:*").public().history(History::messages(8).snapshot("state", Sum::default(), |state, message| {
    ///     if let Ok(number) = message.decode::<i64>() {
    ///         state.count += 1;
    ///         state.sum += number;
    ///     }
    /// }));
    /// ```
    ///
    /// # Panics
    /// When the name cannot be an event's.
    pub fn snapshot<S, F>(self, event: &str, initial: S, fold: F) -> History
    where
        S: Serialize + Clone + Send + Sync + 'static,
        F: Fn(&mut S, &Logged) + Send + Sync + 'static,
    {
        if let Err(error) = protocol::check_event(event) {
            panic!("`{event}`: {error}");
        }
        History { fold: Some(Fold::new(event, initial, fold)), ..self }
    }

    pub(crate) fn info(&self) -> HistoryInfo {
        HistoryInfo {
            bytes: self.bytes,
            messages: Some(self.count).filter(|&count| count < usize::MAX),
            ttl: self.ttl,
            live_only: self.is_live_only,
            snapshot: self.fold.as_ref().map(|fold| fold.event.to_string()),
        }
    }

    /// How long a room without members is kept.
    fn kept_idle(&self) -> Duration {
        self.idle.or(self.ttl).unwrap_or(DEFAULT_IDLE)
    }

    /// The shortest time after which something is to be forgotten.
    pub(crate) fn shortest(&self) -> Duration {
        self.ttl.map_or(self.kept_idle(), |ttl| ttl.min(self.kept_idle()))
    }
}

/// A message that a room keeps.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Logged {
    /// Its number in the room, from 1.
    pub seq: u64,
    /// The event's name.
    pub event: String,
    /// Its payload.
    pub data: Box<RawValue>,
}

impl Logged {
    /// Its payload as a `T`.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }
}

/// Where a member begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what comes from now on.
    Live,
    /// As the rule says: with the oldest, or live.
    #[default]
    Usual,
    /// After this number, in this life of the room.
    Since { seq: u64, epoch: Box<str> },
    /// With so many of the newest.
    Last(u64),
}

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// They were gone when the member subscribed.
    Evicted,
    /// The ring has overtaken the member.
    Slow,
    /// The room began anew.
    Epoch,
}

/// The payload of `gap`.
#[derive(Serialize)]
struct Gap<'a> {
    room: &'a str,
    epoch: &'a str,
    from: Option<u64>,
    to: Option<u64>,
    reason: Missing,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::Evicted => "evicted",
            Missing::Slow => "slow",
            Missing::Epoch => "epoch",
        })
    }
}
