//! Every limit in one place, each with its reason.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What happens to a broadcast for a member whose outbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Connections at once from one IP address. Default unlimited.
    pub max_connections_per_address: Option<usize>,
    /// Messages that are no envelope and are answered so; the next one closes with 1008. Default 16.
    pub max_invalid_frames: usize,
    /// What a connection reads at once, in bytes; it keeps a buffer of this size. Default 4 KiB:
    /// larger ones cost memory and the zeroing of it before each read, and were not faster.
    pub read_buffer: usize,
    /// The queue to a peer.
    pub outbox: OutboxLimits,
    /// The queue to the handlers.
    pub inbox: InboxLimits,
    /// Requests to one peer that wait for its answer. Default 1,024.
    pub max_pending_acks: usize,
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

/// A key of [`Config`] that is unknown, or whose value cannot be.
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
    /// Checks that the values can be and fit together. Whatever takes a `Config` does this.
    ///
    /// # Errors
    /// The first key that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("maxMessage", self.max_message, 128),
            ("readBuffer", self.read_buffer, 128),
            ("outbox.messages", self.outbox.messages, 1),
            ("outbox.bytes", self.outbox.bytes, 1),
            ("inbox.messages", self.inbox.messages, 1),
            ("inbox.bytes", self.inbox.bytes, 1),
            ("maxPendingAcks", self.max_pending_acks, 1),
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

impl TryFrom<BTreeMap<String, Value>> for Config {
    type Error = ConfigError;

    fn try_from(map: BTreeMap<String, Value>) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let mut keys = Keys::new("", map)?;
        keys.size("maxMessage", &mut config.max_message)?;
        keys.duration("handshakeTimeout", &mut config.handshake_timeout)?;
        keys.duration("pingInterval", &mut config.ping_interval)?;
        keys.duration("silenceTimeout", &mut config.silence_timeout)?;
        keys.duration("writeTimeout", &mut config.write_timeout)?;
        keys.optional_count("maxConnections", &mut config.max_connections)?;
        keys.optional_count("maxConnectionsPerAddress", &mut config.max_connections_per_address)?;
        keys.count("maxInvalidFrames", &mut config.max_invalid_frames)?;
        keys.size("readBuffer", &mut config.read_buffer)?;
        if let Some(mut outbox) = keys.section("outbox")? {
            outbox.count("messages", &mut config.outbox.messages)?;
            outbox.size("bytes", &mut config.outbox.bytes)?;
            outbox.overflow("overflow", &mut config.outbox.overflow)?;
            outbox.finish()?;
        }
        if let Some(mut inbox) = keys.section("inbox")? {
            inbox.count("messages", &mut config.inbox.messages)?;
            inbox.size("bytes", &mut config.inbox.bytes)?;
            inbox.finish()?;
        }
        keys.count("maxPendingAcks", &mut config.max_pending_acks)?;
        keys.duration("ackTimeout", &mut config.ack_timeout)?;
        keys.duration("handlerTimeout", &mut config.handler_timeout)?;
        keys.count("maxSubscriptions", &mut config.max_subscriptions)?;
        if let Some(mut section) = keys.section("eventsPerSecond")? {
            let rate = section.number("rate")?;
            let burst = section.number("burst")?;
            section.finish()?;
            let rate = rate.ok_or_else(|| ConfigError::new("eventsPerSecond.rate", "is missing"))?;
            config.events_per_second = Some(Rate { rate, burst: burst.unwrap_or(rate.max(1.0)) });
        }
        keys.count("maxDepth", &mut config.max_depth)?;
        keys.origins("allowedOrigins", &mut config.allowed_origins)?;
        keys.duration("drainTimeout", &mut config.drain_timeout)?;
        keys.finish()?;
        config.validate()?;
        Ok(config)
    }
}

impl From<Config> for BTreeMap<String, Value> {
    fn from(config: Config) -> BTreeMap<String, Value> {
        let millis = |duration: Duration| Value::from(format!("{}ms", duration.as_millis()));
        let mut map = BTreeMap::from([
            ("maxMessage", config.max_message.into()),
            ("handshakeTimeout", millis(config.handshake_timeout)),
            ("pingInterval", millis(config.ping_interval)),
            ("silenceTimeout", millis(config.silence_timeout)),
            ("writeTimeout", millis(config.write_timeout)),
            ("maxInvalidFrames", config.max_invalid_frames.into()),
            ("readBuffer", config.read_buffer.into()),
            (
                "outbox",
                serde_json::json!({
                    "messages": config.outbox.messages,
                    "bytes": config.outbox.bytes,
                    "overflow": match config.outbox.overflow {
                        Overflow::Disconnect => "disconnect",
                        Overflow::DropOldest => "dropOldest",
                        Overflow::DropNewest => "dropNewest",
                    },
                }),
            ),
            ("inbox", serde_json::json!({"messages": config.inbox.messages, "bytes": config.inbox.bytes})),
            ("maxPendingAcks", config.max_pending_acks.into()),
            ("ackTimeout", millis(config.ack_timeout)),
            ("handlerTimeout", millis(config.handler_timeout)),
            ("maxSubscriptions", config.max_subscriptions.into()),
            ("maxDepth", config.max_depth.into()),
            ("drainTimeout", millis(config.drain_timeout)),
        ]);
        if let Some(count) = config.max_connections {
            map.insert("maxConnections", count.into());
        }
        if let Some(count) = config.max_connections_per_address {
            map.insert("maxConnectionsPerAddress", count.into());
        }
        if let Some(Rate { rate, burst }) = config.events_per_second {
            map.insert("eventsPerSecond", serde_json::json!({"rate": rate, "burst": burst}));
        }
        match config.allowed_origins {
            AllowedOrigins::Same => {}
            AllowedOrigins::List(origins) => drop(map.insert("allowedOrigins", origins.into())),
            AllowedOrigins::Any => drop(map.insert("allowedOrigins", "*".into())),
        }
        map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The keys of one section that have not been read yet, in camelCase.
struct Keys {
    section: String,
    values: BTreeMap<String, Value>,
}

impl Keys {
    fn new(section: &str, map: impl IntoIterator<Item = (String, Value)>) -> Result<Keys, ConfigError> {
        let mut keys = Keys { section: section.to_owned(), values: BTreeMap::new() };
        for (key, value) in map {
            if keys.values.insert(camel_case(&key), value).is_some() {
                return Err(keys.error(&camel_case(&key), "is given twice"));
            }
        }
        Ok(keys)
    }

    fn error(&self, key: &str, reason: impl Into<String>) -> ConfigError {
        match self.section.as_str() {
            "" => ConfigError::new(key, reason),
            section => ConfigError::new(format!("{section}.{key}"), reason),
        }
    }

    fn read<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.values.remove(key) else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.error(key, format!("must be {expected}, not {value}"))),
        }
    }

    fn set<T>(
        &mut self,
        key: &str,
        target: &mut T,
        parse: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<(), ConfigError> {
        if let Some(value) = self.read(key, parse, expected)? {
            *target = value;
        }
        Ok(())
    }

    fn count(&mut self, key: &str, target: &mut usize) -> Result<(), ConfigError> {
        self.set(key, target, count, "a whole number")
    }

    fn optional_count(&mut self, key: &str, target: &mut Option<usize>) -> Result<(), ConfigError> {
        let parse = |value: &Value| if value.is_null() { Some(None) } else { count(value).map(Some) };
        self.set(key, target, parse, "a whole number or null")
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.read(key, Value::as_f64, "a number")
    }

    fn size(&mut self, key: &str, target: &mut usize) -> Result<(), ConfigError> {
        self.set(key, target, size, "a size such as \"64KiB\" or a number of bytes")
    }

    fn duration(&mut self, key: &str, target: &mut Duration) -> Result<(), ConfigError> {
        self.set(key, target, duration, "a duration such as \"25s\" or a number of milliseconds")
    }

    fn overflow(&mut self, key: &str, target: &mut Overflow) -> Result<(), ConfigError> {
        let parse = |value: &Value| match camel_case(value.as_str()?).as_str() {
            "disconnect" => Some(Overflow::Disconnect),
            "dropOldest" => Some(Overflow::DropOldest),
            "dropNewest" => Some(Overflow::DropNewest),
            _ => None,
        };
        self.set(key, target, parse, "\"disconnect\", \"dropOldest\" or \"dropNewest\"")
    }

    fn origins(&mut self, key: &str, target: &mut AllowedOrigins) -> Result<(), ConfigError> {
        let parse = |value: &Value| match value {
            Value::Null => Some(AllowedOrigins::Same),
            Value::String(any) if any == "*" => Some(AllowedOrigins::Any),
            Value::Array(list) => {
                let list: Option<Vec<String>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
                list.map(AllowedOrigins::List)
            }
            _ => None,
        };
        self.set(key, target, parse, "a list of origins or \"*\"")
    }

    fn section(&mut self, key: &str) -> Result<Option<Keys>, ConfigError> {
        let map = self.read(key, |value| value.as_object().cloned(), "an object")?;
        map.map(|map| Keys::new(key, map)).transpose()
    }

    /// What is left over is unknown.
    fn finish(self) -> Result<(), ConfigError> {
        match self.values.keys().next() {
            Some(key) => Err(self.error(key, "is no key of the configuration")),
            None => Ok(()),
        }
    }
}

fn camel_case(key: &str) -> String {
    let mut upper = false;
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        match c {
            '_' if !out.is_empty() => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// `"1.5MiB"` as the number and its unit.
fn quantity(text: &str) -> Option<(f64, &str)> {
    let unit = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..unit].parse().ok()?;
    Some((number, text[unit..].trim()))
}

fn size(value: &Value) -> Option<usize> {
    let Value::String(text) = value else { return count(value) };
    let (number, unit) = quantity(text.trim())?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "kib" | "k" => 1024.0,
        "mb" => 1e6,
        "mib" | "m" => 1024.0 * 1024.0,
        "gb" => 1e9,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * factor;
    (bytes <= u32::MAX as f64 * 1024.0).then_some(bytes as usize)
}

fn duration(value: &Value) -> Option<Duration> {
    let Value::String(text) = value else { return value.as_u64().map(Duration::from_millis) };
    let (number, unit) = quantity(text.trim())?;
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        serde_json::from_str::<Config>(json).unwrap_err().to_string()
    }

    #[test]
    fn reads_json_in_both_cases_with_human_units() {
        let config: Config = serde_json::from_str(
            r#"{"max_message": "2MiB", "pingInterval": "1.5s", "silence_timeout": 4000, "maxConnections": 7,
                "outbox": {"messages": 5, "overflow": "drop_oldest"}, "inbox": {"bytes": 10},
                "eventsPerSecond": {"rate": 50}, "allowedOrigins": ["https://a.example"]}"#,
        )
        .unwrap();
        assert_eq!(config.max_message, 2 * MIB);
        assert_eq!(config.ping_interval, Duration::from_millis(1500));
        assert_eq!(config.silence_timeout, Duration::from_secs(4));
        assert_eq!(config.max_connections, Some(7));
        assert_eq!(config.outbox, OutboxLimits { messages: 5, bytes: 4 * MIB, overflow: Overflow::DropOldest });
        assert_eq!(config.inbox, InboxLimits { messages: 256, bytes: 10 });
        assert_eq!(config.events_per_second, Some(Rate::new(50.0, 50.0)));
        assert_eq!(config.allowed_origins, AllowedOrigins::List(vec!["https://a.example".into()]));
        let again: Config = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    }

    #[test]
    fn reads_toml() {
        let config: Config = toml::from_str(
            "ping_interval = \"20s\"\nmaxDepth = 9\n[outbox]\nbytes = \"1MiB\"\n[eventsPerSecond]\nrate = 5\nburst = 9\n",
        )
        .unwrap();
        assert_eq!((config.ping_interval, config.max_depth), (Duration::from_secs(20), 9));
        assert_eq!((config.outbox.bytes, config.events_per_second), (MIB, Some(Rate::new(5.0, 9.0))));
        let error = toml::from_str::<Config>("[outbox]\nbytes = true\n").unwrap_err().to_string();
        assert!(error.contains("`outbox.bytes`"), "{error}");
    }

    #[test]
    fn a_bad_or_unknown_key_is_named() {
        for (json, key) in [
            (r#"{"pingIntervall": "1s"}"#, "`pingIntervall`"),
            (r#"{"outbox": {"size": 1}}"#, "`outbox.size`"),
            (r#"{"outbox": {"overflow": "explode"}}"#, "`outbox.overflow`"),
            (r#"{"outbox": 5}"#, "`outbox`"),
            (r#"{"max_message": "big"}"#, "`maxMessage`"),
            (r#"{"maxMessage": -1}"#, "`maxMessage`"),
            (r#"{"maxMessage": 1}"#, "`maxMessage`"),
            (r#"{"handshakeTimeout": "10 parsecs"}"#, "`handshakeTimeout`"),
            (r#"{"writeTimeout": 0}"#, "`writeTimeout`"),
            (r#"{"maxPendingAcks": 1.5}"#, "`maxPendingAcks`"),
            (r#"{"silenceTimeout": "5s"}"#, "`silenceTimeout`"),
            (r#"{"eventsPerSecond": {"burst": 3}}"#, "`eventsPerSecond.rate`"),
            (r#"{"eventsPerSecond": {"rate": 0}}"#, "`eventsPerSecond.rate`"),
            (r#"{"allowedOrigins": ["example.com"]}"#, "`allowedOrigins`"),
            (r#"{"ping_interval": "1s", "pingInterval": "2s"}"#, "`pingInterval`"),
        ] {
            let error = error(json);
            assert!(error.contains(key), "{json}: {error}");
        }
    }
}
