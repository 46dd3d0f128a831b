//! What is counted, for the application and for the `metrics` facade.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use serde::Serialize;

/// Counts of a [`NatsSource`](super::NatsSource) since it was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NatsCounts {
    /// Messages that were emitted to their rooms.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
    /// Messages with an empty token in their subject, for which there is no room.
    pub empty_token: u64,
    /// Messages whose room's name would be longer than 256 bytes.
    pub too_long: u64,
    /// Emits that failed: the members here have the message, other nodes have not. From JetStream it comes again.
    pub failed: u64,
    /// Messages of core subjects that NATS sent and nobody took, because more waited than
    /// [may](super::NatsSourceBuilder::queue): slow consumer. `None` where that cannot be known: with a client of the
    /// application's own. It is brought up to date four times a second.
    pub dropped: Option<u64>,
    /// How often the connection was lost. What was published meanwhile to core subjects is lost, and nobody knows how much;
    /// JetStream brings it later.
    pub disconnects: u64,
    /// For how long NATS was away in all, in milliseconds, the present time included.
    pub away_ms: u64,
    /// Messages that JetStream brought again although they had been emitted; they were acknowledged, and not emitted twice.
    pub redelivered: u64,
    /// The lag of a JetStream consumer: messages in the stream that it has still to be brought. Brought up to date every second.
    pub pending: u64,
    /// Messages that it was brought and whose acknowledgement NATS has still to get.
    pub ack_pending: u64,
}

/// Why a message has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    EmptyToken,
    TooLong,
}

/// What is counted, once for [`NatsCounts`] and once for the recorder; its handles are got once.
pub(super) struct Counts {
    messages: Count,
    bytes: Count,
    empty_token: Count,
    too_long: Count,
    failed: Count,
    dropped: Count,
    knows_dropped: bool,
    disconnects: Count,
    redelivered: Count,
    pending: AtomicU64,
    pending_gauge: Gauge,
    ack_pending: AtomicUsize,
    connected: Gauge,
    away: Mutex<Away>,
}

struct Count(AtomicU64, Counter);

/// For how long NATS was away before, and since when it is now.
#[derive(Default)]
struct Away {
    before: Duration,
    since: Option<Instant>,
}

impl Count {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
        self.1.increment(n);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// Of a source by its name; `knows_dropped` where the connection has no other user.
    pub(super) fn new(source: &str, knows_dropped: bool) -> Counts {
        describe();
        let source = || source.to_owned();
        let count = |name: &'static str| Count(AtomicU64::new(0), counter!(name, "source" => source()));
        let refused = |reason: &'static str| {
            Count(AtomicU64::new(0), counter!("eventwire_nats_refused_total", "source" => source(), "reason" => reason))
        };
        let connected = gauge!("eventwire_nats_connected", "source" => source());
        connected.set(0.0);
        Counts {
            messages: count("eventwire_nats_messages_total"),
            bytes: count("eventwire_nats_bytes_total"),
            empty_token: refused("empty_token"),
            too_long: refused("too_long"),
            failed: count("eventwire_nats_failed_total"),
            dropped: count("eventwire_nats_slow_consumer_total"),
            knows_dropped,
            disconnects: count("eventwire_nats_disconnects_total"),
            redelivered: count("eventwire_nats_redelivered_total"),
            pending: AtomicU64::new(0),
            pending_gauge: gauge!("eventwire_nats_pending", "source" => source()),
            ack_pending: AtomicUsize::new(0),
            connected,
            away: Mutex::default(),
        }
    }

    pub(super) fn emitted(&self, bytes: usize) {
        self.messages.add(1);
        self.bytes.add(bytes as u64);
    }

    pub(super) fn failed(&self) {
        self.failed.add(1);
    }

    pub(super) fn redelivered(&self) {
        self.redelivered.add(1);
    }

    /// Counts it; `true` where it is the first of its kind.
    pub(super) fn refused(&self, reason: Refused) -> bool {
        let count = match reason {
            Refused::EmptyToken => &self.empty_token,
            Refused::TooLong => &self.too_long,
        };
        count.add(1);
        count.get() == 1
    }

    /// So many were dropped in all, at least. `true` where these are the first.
    pub(super) fn dropped(&self, in_all: u64) -> bool {
        if !self.knows_dropped {
            return false;
        }
        let before = self.dropped.get();
        self.dropped.add(in_all.saturating_sub(before));
        before == 0 && in_all > 0
    }

    pub(super) fn lag(&self, pending: u64, ack_pending: usize) {
        self.pending.store(pending, Ordering::Relaxed);
        self.pending_gauge.set(pending as f64);
        self.ack_pending.store(ack_pending, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connected.set(1.0);
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let since = away.since.take();
        away.before += since.map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// It has ended: it is not away any more.
    pub(super) fn ended(&self) {
        self.connected();
        self.connected.set(0.0);
    }

    /// The connection was lost so many times. `is_away`: it still is.
    pub(super) fn disconnected(&self, times: u64, is_away: bool) {
        self.disconnects.add(times);
        if is_away {
            self.connected.set(0.0);
            let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
            away.since.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn get(&self) -> NatsCounts {
        let away = {
            let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
            away.before + away.since.map_or(Duration::ZERO, |since| since.elapsed())
        };
        NatsCounts {
            messages: self.messages.get(),
            bytes: self.bytes.get(),
            empty_token: self.empty_token.get(),
            too_long: self.too_long.get(),
            failed: self.failed.get(),
            dropped: self.knows_dropped.then(|| self.dropped.get()),
            disconnects: self.disconnects.get(),
            away_ms: away.as_millis() as u64,
            redelivered: self.redelivered.get(),
            pending: self.pending.load(Ordering::Relaxed),
            ack_pending: self.ack_pending.load(Ordering::Relaxed) as u64,
        }
    }
}

fn describe() {
    describe_gauge!("eventwire_nats_connected", "1 while the source is connected to NATS, else 0");
    describe_counter!("eventwire_nats_messages_total", Unit::Count, "Messages of NATS emitted to their rooms");
    describe_counter!("eventwire_nats_bytes_total", Unit::Bytes, "Payloads of NATS emitted to their rooms");
    describe_counter!("eventwire_nats_refused_total", Unit::Count, "Messages of NATS without a room, by reason");
    describe_counter!("eventwire_nats_failed_total", Unit::Count, "Messages of NATS that other nodes did not get");
    describe_counter!("eventwire_nats_slow_consumer_total", Unit::Count, "Messages of NATS dropped: too many waited");
    describe_counter!("eventwire_nats_disconnects_total", Unit::Count, "Connections to NATS that were lost");
    describe_counter!(
        "eventwire_nats_redelivered_total",
        Unit::Count,
        "Messages JetStream brought again, emitted once"
    );
    describe_gauge!("eventwire_nats_pending", Unit::Count, "Messages of the stream still to come to the consumer");
}
