//! Every limit in one place, each with its reason.

mod reading;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The oldest broadcast that waits is dropped for the new one.
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
/// `"64KiB"` (or a number of bytes). An unknown key or a bad value is an error that names the key.
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
    /// How long a peer may be silent; any frame counts as life. Default 45 s: one ping may be lost.
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
    /// The buffer that a connection keeps for what it has not put together yet, in bytes. Default 4 KiB. (The
    /// system is read 64 KiB at a time, into a buffer that all connections of a thread share.)
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
            read_buffer: 4 * KIB,
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

/// A key of [`Config`] that is unknown, or whose value is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    key: String,
    reason: String,
}

impl ConfigError {
    fn new(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
        ConfigError { key: key.into(), reason: reason.into() }
    }

    /// The key, such as `outbox.messages`.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.reason)
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
    /// The first key that is not valid.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("maxMessage", self.max_message, 128),
            ("readBuffer", self.read_buffer, 128),
            ("outbox.messages", self.outbox.messages, 1),
            ("outbox.bytes", self.outbox.bytes, 1),
            ("inbox.messages", self.inbox.messages, 1),
            ("inbox.bytes", self.inbox.bytes, 1),
            ("maxPendingAcks", self.max_pending_acks, 1),
            ("maxInFlight", self.max_in_flight, 1),
            ("maxDepth", self.max_depth, 1),
            ("maxConnections", self.max_connections.unwrap_or(1), 1),
            ("maxConnectionsPerAddress", self.max_connections_per_address.unwrap_or(1), 1),
        ];
        for (key, value, least) in counts {
            if value < least {
                return Err(ConfigError::new(key, format!("must be at least {least}")));
            }
        }
        let durations = [
            ("handshakeTimeout", self.handshake_timeout),
            ("pingInterval", self.ping_interval),
            ("silenceTimeout", self.silence_timeout),
            ("writeTimeout", self.write_timeout),
            ("ackTimeout", self.ack_timeout),
            ("handlerTimeout", self.handler_timeout),
        ];
        for (key, value) in durations {
            if value < Duration::from_millis(1) {
                return Err(ConfigError::new(key, "must be at least 1ms"));
            }
        }
        if self.silence_timeout <= self.ping_interval {
            let reason = "must be longer than `pingInterval`, or every quiet peer is cut";
            return Err(ConfigError::new("silenceTimeout", reason));
        }
        if let Some(Rate { rate, burst }) = self.events_per_second {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(ConfigError::new("eventsPerSecond.rate", "must be a number above 0"));
            }
            if !(burst.is_finite() && burst >= 1.0) {
                return Err(ConfigError::new("eventsPerSecond.burst", "must be a number of at least 1"));
            }
        }
        if let AllowedOrigins::List(origins) = &self.allowed_origins
            && let Some(bad) = origins.iter().find(|origin| !is_origin(origin))
        {
            let reason = format!("`{bad}` is no origin, such as `https://example.com:8443`");
            return Err(ConfigError::new("allowedOrigins", reason));
        }
        Ok(())
    }
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*'])
    })
}
