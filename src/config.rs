//! Every limit in one place, each with its reason.

mod forms;
mod keys;
mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::forms::{Flag, Form, OneOf, OneOrMore, OrNull, Text, Wrong};
pub(crate) use self::keys::{Key, Keys, describe, read};
pub(crate) use self::reading::walk;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What happens to a broadcast for a member whose outbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Overflow {
    /// The member is disconnected with 1008 and `closing` `slow`: it may come back and ask for
    /// what it missed, and nothing is lost silently. The default.
    #[default]
    Disconnect,
    /// The oldest broadcast that waits is dropped for the new one: never one that was emitted with `Disconnect`, nor what was emitted
    /// to the socket alone.
    DropOldest,
    /// The new broadcast is dropped.
    DropNewest,
}

/// The bounds of a socket's outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxLimits {
    /// Messages that wait for one peer. Default 1,024.
    pub messages: usize,
    /// Bytes that wait for one peer. Default 4 MiB. A single larger message is let into an empty outbox.
    pub bytes: usize,
    /// What a broadcast does when it is full. A direct `emit` waits.
    pub overflow: Overflow,
}

/// The bounds of a socket's inbox: events that wait for their handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboxLimits {
    /// Events that wait. Default 256. Then reading pauses.
    pub messages: usize,
    /// Bytes that wait. Default 1 MiB. Then reading pauses.
    pub bytes: usize,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rate {
    /// Events per second in the long run.
    pub rate: f64,
    /// Events at once.
    pub burst: f64,
}

impl Rate {
    /// `rate` events per second in the long run, `burst` at once.
    pub fn new(rate: f64, burst: f64) -> Rate {
        Rate { rate, burst }
    }
}

/// Which pages may connect, judged by the `Origin` that a browser sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Those served from the same host and port, and clients that send no `Origin` (programs). The default.
    #[default]
    Same,
    /// Exactly these, such as `https://app.example.com`; clients that send none are let in.
    List(Vec<String>),
    /// All.
    Any,
}

/// All limits of an [`Io`](crate::Io), with their defaults.
///
/// It reads from JSON, TOML or whatever else serde reads: keys in camelCase or snake_case,
/// durations as `"25s"`, `"250ms"`, `"2m"` (or a number of milliseconds), sizes as `"4MiB"`,
/// `"64KiB"` (or a number of bytes). Unknown keys and bad values are an error that names them all.
/// [`Setup`](crate::Setup) reads them with those of a listener and a source.
///
/// ```
/// use std::time::Duration;
/// use eventwire::Config;
///
/// let config: Config = serde_json::from_str(r#"{"pingInterval": "10s", "outbox": {"bytes": "1MiB"}}"#)?;
/// assert_eq!(config.ping_interval, Duration::from_secs(10));
/// assert_eq!(config.outbox.bytes, 1024 * 1024);
///
/// let error = serde_json::from_str::<Config>(r#"{"ping_interval": "soon"}"#).unwrap_err();
/// assert!(error.to_string().contains("pingInterval"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "BTreeMap<String, Value>", into = "BTreeMap<String, Value>")]
#[non_exhaustive]
pub struct Config {
    /// The largest message in, in bytes; beyond it the connection closes with 1009. Default 1 MiB.
    pub max_message: usize,
    /// From the first byte to the end of the upgrade, `authenticate` included. Default 10 s.
    pub handshake_timeout: Duration,
    /// How often the server pings, so that both sides and all that stands between notice a dead
    /// connection. Default 25 s: below the 30 s after which common proxies cut.
    pub ping_interval: Duration,
    /// How long a peer may be silent; any frame counts as life. Default 45 s: one ping may be lost. `readTimeout` is read as
    /// the same.
    pub silence_timeout: Duration,
    /// A peer that takes less than 1 KiB in this time while data waits is closed. Default 10 s.
    pub write_timeout: Duration,
    /// Connections at once. Default unlimited.
    pub max_connections: Option<usize>,
    /// Connections at once from one IP address, where that is known (see
    /// [`Handshake::peer`](crate::Handshake::peer)). Default unlimited.
    pub max_connections_per_address: Option<usize>,
    /// Messages that are no envelope and are answered so; the next one closes with 1008. Default 16.
    pub max_invalid_frames: usize,
    /// What is read from the system at once, in bytes. Default 64 KiB. All connections of a thread share the buffer: an idle one has none.
    pub read_buffer: usize,
    /// The queue to a peer.
    pub outbox: OutboxLimits,
    /// The queue to the handlers.
    pub inbox: InboxLimits,
    /// Requests to one peer that wait for its answer. Default 1,024.
    pub max_pending_acks: usize,
    /// Messages to one peer that are to be [acknowledged](crate::AtLeastOnce) and are not: more wait. Default 256.
    pub max_in_flight: usize,
    /// How long a request to a peer waits for its answer. Default 10 s.
    pub ack_timeout: Duration,
    /// How long a handler may run; then it is cancelled and the request answered `timeout`. Default 30 s.
    pub handler_timeout: Duration,
    /// Rooms to which one client may subscribe. Default 1,024. Rooms that the server joins do not count.
    pub max_subscriptions: usize,
    /// Events that one client may send. Default unlimited; beyond it they are answered `rate_limited`.
    pub events_per_second: Option<Rate>,
    /// Nesting of a message's JSON. Default 128: what serde_json itself reads.
    pub max_depth: usize,
    /// Which pages may connect.
    pub allowed_origins: AllowedOrigins,
    /// How long handlers may go on after their socket is gone; then they are cancelled. Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_message: MIB,
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            silence_timeout: Duration::from_secs(45),
            write_timeout: Duration::from_secs(10),
            max_connections: None,
            max_connections_per_address: None,
            max_invalid_frames: 16,
            read_buffer: 64 * KIB,
            outbox: OutboxLimits { messages: 1024, bytes: 4 * MIB, overflow: Overflow::Disconnect },
            inbox: InboxLimits { messages: 256, bytes: MIB },
            max_pending_acks: 1024,
            max_in_flight: 256,
            ack_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(30),
            max_subscriptions: 1024,
            events_per_second: None,
            max_depth: 128,
            allowed_origins: AllowedOrigins::Same,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// A configuration that is not valid: every key that is unknown, missing, or has a value that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    first: Problem,
    others: Vec<Problem>,
}

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    key: String,
    /// As the document has it, if there is one.
    written: String,
    reason: String,
}

impl ConfigError {
    /// No document at all.
    pub(crate) fn whole(reason: impl Into<String>) -> ConfigError {
        let first = Problem { key: String::new(), written: String::new(), reason: reason.into() };
        ConfigError { first, others: Vec::new() }
    }

    /// An error if there is a problem.
    fn all(problems: Vec<Problem>) -> Result<(), ConfigError> {
        let mut problems = problems.into_iter();
        match problems.next() {
            None => Ok(()),
            Some(first) => Err(ConfigError { first, others: problems.collect() }),
        }
    }

    /// The first key, such as `outbox.messages` or `ports.inputs[1].subject`, in camelCase. Empty where there is no
    /// document to speak of.
    pub fn key(&self) -> &str {
        &self.first.key
    }

    /// All keys that are not valid, in camelCase, each with the reason.
    pub fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        [&self.first].into_iter().chain(&self.others).map(|problem| (problem.key.as_str(), problem.reason.as_str()))
    }
}

/// Each key as the document has it, with its reason, and `; ` between them.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { key, written, reason }) in [&self.first].into_iter().chain(&self.others).enumerate() {
            let between = if n == 0 { "" } else { "; " };
            match (key.as_str(), written) {
                ("", _) => write!(f, "{between}{reason}")?,
                (key, written) if key == written => write!(f, "{between}`{key}`: {reason}")?,
                (key, written) => write!(f, "{between}`{written}` (`{key}`): {reason}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for crate::Error {
    fn from(error: ConfigError) -> crate::Error {
        crate::Error::new("invalid_config", error.to_string())
    }
}

impl Config {
    /// Checks that the values are valid and fit together. Whatever takes a `Config` does this.
    ///
    /// # Errors
    /// All keys that are not valid.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // What is valid can be written and read again.
        Config::try_from(BTreeMap::from(self.clone())).map(drop)
    }
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*'])
    })
}
