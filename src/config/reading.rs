//! A configuration from text and back: in whatever format serde reads, and with the name of the
//! key in every error.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{AllowedOrigins, Config, ConfigError, Overflow, Rate};

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
        keys.count("maxInFlight", &mut config.max_in_flight)?;
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
            ("maxInFlight", config.max_in_flight.into()),
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
    use crate::{InboxLimits, OutboxLimits};

    const MIB: usize = 1024 * 1024;

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
