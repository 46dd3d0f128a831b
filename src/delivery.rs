//! At-least-once: messages that are kept until the client has acknowledged them, sent again where it does not, and given up in
//! the end, which is told.
//!
//! A message by `id`, as in rooms without history, is kept here; one of a room with history lies in the room's ring, and only its
//! number is kept. All that waits for one peer is in its [`Deliveries`], which its connection looks after: it settles what
//! is acknowledged, and has a clock for what is not.

mod confirm;
mod letters;
mod pending;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::confirm::confirm;
pub(crate) use self::letters::Readers;
pub(crate) use self::pending::{Deliveries, Handed, Kept};
use crate::hub::SocketId;

/// Messages are kept until the client has acknowledged them: in place of at-most-once, which is the default, for the
/// [rooms of a pattern](crate::RoomRule::at_least_once), for [one broadcast](crate::Broadcast::at_least_once), or for
/// [one emit](crate::Socket::at_least_once).
///
/// What is not acknowledged in time, or refused by `nack`, is sent again, marked by `"again": n`, and in the end given up: it
/// is counted in [`Stats`](crate::Stats), and [`Io::on_dead_letter`](crate::Io::on_dead_letter) gets it. A socket is sent no more than
/// [`maxInFlight`](crate::Config::max_in_flight) that are not acknowledged; the rest waits for it alone, and slows nobody else.
///
/// A client acknowledges by the number in the room, `{"event":"ack","room":"orders","seq":7}`, which holds for all up to it, or, where
/// a message has an `id`, by that: `{"event":"ack","id":7}`. [The wire](crate::protocol) has the rest.
///
/// ```
/// use std::time::Duration;
/// use eventwire::{AtLeastOnce, History, Io};
///
/// let io = Io::new();
/// let rule = io.rooms("orders").public().history(History::messages(1000));
/// rule.at_least_once(AtLeastOnce::default().ack_timeout(Duration::from_secs(2)).tries(3));
/// io.on_dead_letter(|letter| async move {
///     eprintln!("{} never took message {:?} of {:?}: {}", letter.socket, letter.seq, letter.room, letter.reason);
/// });
/// ```
///
/// # After a reconnect
///
/// In a room with history a client that comes back asks for what is `since` the last that it acknowledged: whatever it was sent
/// after that comes again, without a mark, since the server does not know the new socket as the old one. A message by `id` is for
/// one socket: with that it ends, as a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "it does nothing until a rule or an emit is given it"]
pub struct AtLeastOnce {
    // In milliseconds: it is a part of each broadcast, and of those few are of this kind.
    ack_timeout: u32,
    tries: u32,
    backoff: u32,
}

impl Default for AtLeastOnce {
    /// Acknowledged within 5 s, 5 tries, 100 ms before a refused one comes again.
    fn default() -> AtLeastOnce {
        AtLeastOnce { ack_timeout: 5000, tries: 5, backoff: 100 }
    }
}

impl AtLeastOnce {
    /// How long a client has to acknowledge a message; then it is sent again. Default 5 s, at least 10 ms, precise to one. The time begins when the message is put before
    /// the connection; a peer whose queue is full is sent nothing again before it has read.
    pub fn ack_timeout(self, time: Duration) -> AtLeastOnce {
        AtLeastOnce { ack_timeout: millis(time).max(10), ..self }
    }

    /// How often a message is sent in all, the first time included. Default 5, at least 1.
    pub fn tries(self, tries: u32) -> AtLeastOnce {
        AtLeastOnce { tries: tries.max(1), ..self }
    }

    /// How long after a `nack` a message is sent again; twice as long after each further one, and never longer than the ack timeout or, where that is
    /// more, this. Default 100 ms.
    pub fn backoff(self, time: Duration) -> AtLeastOnce {
        AtLeastOnce { backoff: millis(time), ..self }
    }

    /// How long a client has to acknowledge.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.ack_timeout.into())
    }

    fn is_last(&self, tries: u32) -> bool {
        tries >= self.tries
    }

    /// How long a refused message waits that has been sent so often.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << tries.saturating_sub(1).min(16));
        Duration::from_millis(doubled.min(self.ack_timeout.max(self.backoff)).into())
    }
}

/// For ever is 49 days.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// A message that was given up for one socket. See [`Io::on_dead_letter`](crate::Io::on_dead_letter).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeadLetter {
    /// Who did not take it.
    pub socket: SocketId,
    /// The room through which it went; `None` where it was for the socket alone, or for everyone.
    pub room: Option<String>,
    /// Its number in a room with history; of several, the first.
    pub seq: Option<u64>,
    /// How many messages they are: more than one only where the ring has [overtaken](GivenUp::Overtaken) the socket.
    pub count: u64,
    /// The event's name, and
    pub event: Option<String>,
    /// the payload, where they are still kept.
    pub data: Option<Box<RawValue>>,
    /// How often it was sent.
    pub tries: u32,
    /// Why it was given up.
    pub reason: GivenUp,
}

/// Why a message was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum GivenUp {
    /// It was sent as often as may be, and not acknowledged.
    Timeout,
    /// It was sent as often as may be, and refused at last, with this reason.
    Refused(String),
    /// The room keeps it no longer.
    Overtaken,
    /// The socket is gone. Only for messages by `id`: those of a room with history wait there for who comes back.
    Disconnected,
    /// Too many waited for the socket's acknowledgements already: as many, or as many bytes, as an
    /// [outbox](crate::OutboxLimits) holds.
    Full,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenUp::Timeout => f.write_str("it was not acknowledged"),
            GivenUp::Refused(reason) if reason.is_empty() => f.write_str("it was refused"),
            GivenUp::Refused(reason) => write!(f, "it was refused: {reason}"),
            GivenUp::Overtaken => f.write_str("the room keeps it no longer"),
            GivenUp::Disconnected => f.write_str("the socket is gone"),
            GivenUp::Full => f.write_str("too many wait to be acknowledged"),
        }
    }
}
