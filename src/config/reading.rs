//! The keys of a [`Config`]: each with its bounds and what it is for, once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::forms::{Count, Number, OneOf, OrNull, Origins, Size, Time};
use super::keys::{self, Key, Keys};
use super::{Config, ConfigError, Overflow, Rate};

impl TryFrom<BTreeMap<String, Value>> for Config {
    type Error = ConfigError;

    fn try_from(map: BTreeMap<String, Value>) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        keys::read(map, |keys| walk(keys, &mut config))?;
        Ok(config)
    }
}

impl From<Config> for BTreeMap<String, Value> {
    fn from(mut config: Config) -> BTreeMap<String, Value> {
        let map = keys::write(|keys| walk(keys, &mut config));
        // TOML has no `null`.
        map.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

const OVERFLOW: &[(&str, Overflow)] =
    &[("disconnect", Overflow::Disconnect), ("dropOldest", Overflow::DropOldest), ("dropNewest", Overflow::DropNewest)];

/// All keys.
pub(crate) fn walk(keys: &mut impl Keys, config: &mut Config) {
    let c = config;
    let about = "The largest message in; beyond it the connection closes with 1009.";
    keys.key(("maxMessage", about), Size(128), &mut c.max_message);
    let about = "From the first byte to the end of the upgrade, authentication included.";
    keys.key(("handshakeTimeout", about), Time(1), &mut c.handshake_timeout);
    keys.key(("pingInterval", "How often the server pings."), Time(1), &mut c.ping_interval);
    let silence = Key::new(
        "silenceTimeout",
        "How long a peer may be silent. Any frame counts as life; longer than `pingInterval`.",
    );
    keys.key(silence.also("readTimeout"), Time(1), &mut c.silence_timeout);
    let about = "A peer that takes less than 1 KiB in this time while data waits is closed.";
    keys.key(("writeTimeout", about), Time(1), &mut c.write_timeout);
    keys.key(("maxConnections", "Connections at once. null: unlimited."), OrNull(Count(1)), &mut c.max_connections);
    let about = "Connections at once from one IP address. null: unlimited.";
    keys.key(("maxConnectionsPerAddress", about), OrNull(Count(1)), &mut c.max_connections_per_address);
    let about = "Messages that are no envelope and are answered so; the next one closes with 1008.";
    keys.key(("maxInvalidFrames", about), Count(0), &mut c.max_invalid_frames);
    let about = "What is read from the system at once, into a buffer that all connections of a thread share.";
    keys.key(("readBuffer", about), Size(128), &mut c.read_buffer);
    keys.section(("outbox", "The queue to a peer."), |keys| {
        keys.key(("messages", "Messages that wait for one peer."), Count(1), &mut c.outbox.messages);
        keys.key(("bytes", "Bytes that wait for one peer."), Size(1), &mut c.outbox.bytes);
        let about = "What becomes of a broadcast for a peer whose outbox is full.";
        keys.key(("overflow", about), OneOf(OVERFLOW), &mut c.outbox.overflow);
    });
    keys.section(("inbox", "The queue to the handlers. When it is full, reading pauses."), |keys| {
        keys.key(("messages", "Events that wait."), Count(1), &mut c.inbox.messages);
        keys.key(("bytes", "Bytes that wait."), Size(1), &mut c.inbox.bytes);
    });
    let about = "Requests to one peer that wait for its answer.";
    keys.key(("maxPendingAcks", about), Count(1), &mut c.max_pending_acks);
    let about = "Messages delivered at least once that one peer has not acknowledged; further ones wait.";
    keys.key(("maxInFlight", about), Count(1), &mut c.max_in_flight);
    let about = "How long the server waits for a peer's acknowledgement: of a request, and of a message that is delivered \
                 at least once (there it is 5 s by default).";
    keys.key(("ackTimeout", about), Time(1), &mut c.ack_timeout);
    let about = "How long a handler may run; then it is cancelled and the request answered `timeout`.";
    keys.key(("handlerTimeout", about), Time(1), &mut c.handler_timeout);
    keys.key(("maxSubscriptions", "Rooms to which one client may subscribe."), Count(0), &mut c.max_subscriptions);
    let about = "Events that one client may send. null: unlimited.";
    let blank = Rate { rate: 0.0, burst: 0.0 };
    keys.maybe(("eventsPerSecond", about), &mut c.events_per_second, blank, |keys, Rate { rate, burst }| {
        let about = "Events per second in the long run.";
        keys.key(Key::new("rate", about).needed(), Number(0.0), rate);
        let about = "Events at once. By default as many as come in a second, and at least one.";
        keys.key(Key::new("burst", about).derived(), Number(1.0), burst);
        if !keys.has("burst") {
            *burst = rate.max(1.0);
        }
    });
    keys.key(("maxDepth", "Nesting of a message's JSON."), Count(1), &mut c.max_depth);
    let about = "Which pages may connect. null: those of the same host and port; \"*\": all.";
    keys.key(("allowedOrigins", about), Origins, &mut c.allowed_origins);
    let about = "How long handlers may go on after their socket is gone; then they are cancelled.";
    keys.key(("drainTimeout", about), Time(0), &mut c.drain_timeout);
    let reason = "must be longer than `pingInterval`, or every quiet peer is cut";
    keys.rule("silenceTimeout", c.silence_timeout > c.ping_interval, reason);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AllowedOrigins, InboxLimits, OutboxLimits};

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
            (
                r#"{"read_timeout": "60s", "silence_timeout": "60s"}"#,
                "`read_timeout` (`silenceTimeout`): is given twice",
            ),
            (r#"{"read_timeout": "5s"}"#, "`read_timeout` (`silenceTimeout`): must be longer"),
            (r#"{"outbox": {"Bytes": 1}}"#, "`outbox.Bytes`: is no key of the configuration; `bytes` is one"),
            (
                r#"{"eventsPerSecond": {"rate": 5, "burst": 0.5}}"#,
                "`eventsPerSecond.burst`: must be a number of at least 1",
            ),
            (r#"{"allowedOrigins": ["https://a.example", "b"]}"#, "`allowedOrigins`: \"b\" is no origin"),
        ] {
            let error = error(json);
            assert!(error.contains(key), "{json}: {error}");
        }
    }
    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let error = error(r#"{"pingInterval": "soon", "outbox": {"bytes": 0, "size": 1}, "colour": "red"}"#);
        assert_eq!(
            error,
            "`pingInterval`: must be a duration such as \"25s\" or a number of milliseconds, not \"soon\"; \
             `outbox.bytes`: must be at least 1 bytes, not 0; `outbox.size`: is no key of the configuration; \
             `colour`: is no key of the configuration"
        );
        let mut config = Config::default();
        config.outbox.messages = 0;
        config.events_per_second = Some(Rate { rate: f64::NAN, burst: 0.0 });
        config.ack_timeout = Duration::from_micros(10);
        let error = config.validate().unwrap_err();
        let keys: Vec<&str> = error.problems().map(|(key, _)| key).collect();
        assert_eq!(keys, ["outbox.messages", "ackTimeout", "eventsPerSecond.rate", "eventsPerSecond.burst"]);
        assert_eq!(error.key(), "outbox.messages");
    }
}
