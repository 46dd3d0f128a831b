//! The counts as [`metrics`](https://docs.rs/metrics): each with its name, its unit and what it means, in one place.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{SharedString, Unit};

use crate::config::Overflow;
use crate::health::Probe;
use crate::hub::{Counters, Manner};
use crate::io::Io;
use crate::outbox::Backlog;
use crate::watch::EventCounts;

/// How often they are published without being asked for.
pub(crate) const PUBLISH: Duration = Duration::from_secs(5);

impl Io {
    /// Tells the [`metrics`](https://docs.rs/metrics) recorder of the application all counts as they are now. With the first connection begins a task that does so
    /// every 5 s, and once more when a [shutdown](Io::shutdown) is over; call it before the recorder is read, and what is read is as new as that. Without
    /// a recorder it tells nobody.
    ///
    /// On the way of a message nothing is told: connections count for themselves, and this sums them up. It takes time in proportion to the connections, and
    /// to the members of rooms that lag.
    ///
    /// Where there are several `Io`s in a process, [name](crate::IoBuilder::name) them: the name is the label `io` of all that is told. Without a name there is
    /// no such label. Two that live at a time never share one: the second gets `2`, or `NAME-2`, and so on.
    ///
    /// Counters (what ends with `_total`) rise for as long as the `Io` lives; gauges are as of now.
    ///
    /// | name | labels | unit, meaning |
    /// | --- | --- | --- |
    /// | `websocket_clients_total` | | sockets that have ever connected |
    /// | `websocket_clients_active` | | sockets that are connected |
    /// | `websocket_messages_sent_total` | | messages given to the system to send, one for each member of a room |
    /// | `websocket_errors_total` | | [errors](crate::ErrorCounts) of all classes |
    /// | `eventwire_errors_total` | `class` | the same by [class](crate::ErrorCounts): `client`, `network`, `slow`, `server` |
    /// | `eventwire_events_total` | `event` | events that came for handlers, by name; those that nobody listens to by name are `other` |
    /// | `eventwire_event_errors_total` | `event` | errors, panics and timeouts of their handlers, and payloads that these do not take |
    /// | `eventwire_handler_seconds` | `event` | histogram: how long handlers took |
    /// | `eventwire_handler_panics_total` | | handlers that panicked |
    /// | `eventwire_messages_received_total` | | messages that came, the protocol's own among them |
    /// | `eventwire_received_bytes_total` | | their bytes |
    /// | `eventwire_sent_bytes_total` | | bytes of messages sent, with frame headers |
    /// | `eventwire_encoded_total` | | how often a broadcast was encoded |
    /// | `eventwire_outbox_messages`, `eventwire_outbox_bytes` | | what waits for all peers |
    /// | `eventwire_outbox_deepest_messages`, `eventwire_outbox_deepest_bytes` | | what waits for the slowest |
    /// | `eventwire_inbox_messages`, `eventwire_inbox_bytes` | | what waits for handlers |
    /// | `eventwire_inbox_deepest_messages` | | the most that wait of one socket |
    /// | `eventwire_reading_paused` | | sockets that are not read because their inbox is full |
    /// | `eventwire_dropped_total` | `policy` | broadcasts that a member missed: `disconnect`, `drop_oldest`, `drop_newest`, `volatile` |
    /// | `eventwire_delivered_total`, `eventwire_delivered_again_total` | | messages that are to be [acknowledged](crate::AtLeastOnce), each once; how often one was sent again |
    /// | `eventwire_acked_total`, `eventwire_nacked_total` | | those that were acknowledged; how often one was refused |
    /// | `eventwire_dead_letters_total`, `eventwire_left_total` | | those that were given up; those that sockets left in rooms when they went |
    /// | `eventwire_gaps_total` | | gaps that members of rooms with history were told |
    /// | `eventwire_lag_messages`, `eventwire_lag_bytes` | | how far the slowest member of a room with history is behind |
    /// | `eventwire_rooms`, `eventwire_patterns`, `eventwire_members` | | rooms and patterns that have members; memberships |
    /// | `eventwire_logs`, `eventwire_logged_messages`, `eventwire_logged_bytes` | | rooms with history; what they keep |
    /// | `eventwire_refusals_total` | `reason` | requests that the door did not let in |
    /// | `eventwire_closes_total` | `reason` | sockets that are gone |
    /// | `eventwire_refused_events_total` | `code` | what clients sent that was answered by `error`; codes of the application's own are `other` |
    /// | `eventwire_probe_up` | `probe` | 1: this [probe](Io::health_probe) finds nothing or little to say, 0: it is down |
    /// | `eventwire_ready`, `eventwire_live` | | 1: yes, as [`health`](Io::health) says, 0: no |
    /// | `eventwire_uptime_seconds` | | how long it has been there |
    ///
    /// No label has unbounded values: `event` has the names that are registered, up to 1,024. The first 32 events of a name are measured one by one, after
    /// that every 32nd, which stands for 32; one whose handler has to wait is always measured, then from when it first waits. A time is known to within 6 %.
    ///
    /// ```
    /// let io = eventwire::Io::builder().name("chat").build()?;
    /// // Where `/metrics` is served:
    /// io.publish_metrics();
    /// // … and then what the recorder writes, such as `PrometheusHandle::render()`.
    /// # Ok::<(), eventwire::ConfigError>(())
    /// ```
    pub fn publish_metrics(&self) {
        let teller = Teller { io: self.watched().label.value() };
        self.tell_traffic(&teller);
        self.tell_events(&teller);
        self.tell_queues(&teller);
        self.tell_ends(&teller);
        self.tell_health(&teller);
    }

    fn tell_traffic(&self, teller: &Teller<'_>) {
        let stats = self.stats();
        let count = |name, help, value| teller.counter(name, Unit::Count, help, value);
        let gauge = |name, help, value: usize| teller.gauge(name, Unit::Count, help, value as f64);
        count("websocket_clients_total", "Sockets that have ever connected.", stats.connected);
        gauge("websocket_clients_active", "Sockets that are connected.", stats.sockets);
        count("websocket_messages_sent_total", "Messages given to the system to send.", stats.messages_out);
        count("eventwire_messages_received_total", "Messages that came.", stats.messages_in);
        let bytes = |name, help, value| teller.counter(name, Unit::Bytes, help, value);
        bytes("eventwire_received_bytes_total", "Bytes of messages that came.", stats.bytes_in);
        bytes("eventwire_sent_bytes_total", "Bytes of messages sent, with frame headers.", stats.bytes_out);
        count("eventwire_encoded_total", "How often a broadcast was encoded.", stats.encoded);
        count("eventwire_delivered_total", "Messages to be acknowledged, each once for a socket.", stats.delivered);
        count("eventwire_delivered_again_total", "How often one of them was sent again.", stats.again);
        count("eventwire_acked_total", "Those that were acknowledged.", stats.acked);
        count("eventwire_nacked_total", "How often one was refused.", stats.nacked);
        count("eventwire_dead_letters_total", "Those that were given up.", stats.dead_letters);
        count("eventwire_left_total", "Those that sockets left in rooms when they went.", stats.left);
        count("eventwire_gaps_total", "Gaps that members of rooms with history were told.", stats.gaps);
        count("eventwire_handler_panics_total", "Handlers that panicked.", stats.panics);
        gauge("eventwire_rooms", "Rooms that have members.", stats.rooms);
        gauge("eventwire_patterns", "Patterns that have members.", stats.patterns);
        gauge("eventwire_members", "Memberships of sockets in rooms.", stats.members);
        gauge("eventwire_logs", "Rooms with history.", stats.logs);
        gauge("eventwire_logged_messages", "Messages that rooms with history keep.", stats.logged_messages);
        let logged = stats.logged_bytes as f64;
        teller.gauge("eventwire_logged_bytes", Unit::Bytes, "Bytes that rooms with history keep.", logged);
    }

    fn tell_events(&self, teller: &Teller<'_>) {
        let events = self.watched().events.all();
        let counts =
            |count: fn(&EventCounts) -> u64| events.iter().map(move |(name, event)| (name.clone(), count(event)));
        let help = "Events that came for handlers.";
        teller.counters("eventwire_events_total", help, "event", counts(EventCounts::handled));
        let help = "Errors, panics and timeouts of handlers, and payloads that they do not take.";
        teller.counters("eventwire_event_errors_total", help, "event", counts(EventCounts::errors));
        let name = "eventwire_handler_seconds";
        metrics::describe_histogram!(name, Unit::Seconds, "How long handlers took.");
        for (event, counts) in events {
            let mut handle = None;
            counts.take_times(|seconds, times| {
                handle
                    .get_or_insert_with(|| {
                        metrics::histogram!(name, teller.labels(Some(("event", event.clone().into()))))
                    })
                    .record_many(seconds, times);
            });
        }
    }

    fn tell_queues(&self, teller: &Teller<'_>) {
        let (mut outbox, mut inbox) = (Depth::default(), Depth::default());
        let mut paused = 0;
        for socket in self.sockets() {
            outbox.add(socket.member().outbox.backlog());
            let (waiting, is_paused) = socket.inbox().backlog();
            inbox.add(waiting);
            paused += usize::from(is_paused);
        }
        let lag = self.hub().rooms().lag();
        let messages = |name, help, value: usize| teller.gauge(name, Unit::Count, help, value as f64);
        messages("eventwire_outbox_messages", "Messages that wait for peers.", outbox.sum.messages);
        messages(
            "eventwire_outbox_deepest_messages",
            "Messages that wait for the slowest peer.",
            outbox.deepest.messages,
        );
        messages("eventwire_inbox_messages", "Events that wait for handlers.", inbox.sum.messages);
        messages(
            "eventwire_inbox_deepest_messages",
            "The most events of one socket that wait.",
            inbox.deepest.messages,
        );
        messages("eventwire_reading_paused", "Sockets that are not read because their inbox is full.", paused);
        messages(
            "eventwire_lag_messages",
            "By how many messages the slowest member of a room with history is behind.",
            lag.messages,
        );
        let bytes = |name, help, value: usize| teller.gauge(name, Unit::Bytes, help, value as f64);
        bytes("eventwire_outbox_bytes", "Bytes that wait for peers.", outbox.sum.bytes);
        bytes("eventwire_outbox_deepest_bytes", "Bytes that wait for the slowest peer.", outbox.deepest.bytes);
        bytes("eventwire_inbox_bytes", "Bytes of events that wait for handlers.", inbox.sum.bytes);
        bytes(
            "eventwire_lag_bytes",
            "By how many bytes the slowest member of a room with history is behind.",
            lag.bytes,
        );
        let policies = [
            ("disconnect", Manner::Overflow(Overflow::Disconnect)),
            ("drop_oldest", Manner::Overflow(Overflow::DropOldest)),
            ("drop_newest", Manner::Overflow(Overflow::DropNewest)),
            ("volatile", Manner::Volatile),
        ];
        let dropped = self.counted(|counters: &Counters| policies.map(|(_, manner)| counters.dropped_by(manner)));
        let dropped = policies.iter().map(|(policy, _)| *policy).zip(dropped);
        teller.counters("eventwire_dropped_total", "Broadcasts that a member missed.", "policy", dropped);
    }

    fn tell_ends(&self, teller: &Teller<'_>) {
        let watched = self.watched();
        let errors = watched.error_counts();
        teller.counter("websocket_errors_total", Unit::Count, "Errors of all classes.", errors.total);
        teller.counters("eventwire_errors_total", "Errors by whose fault they are.", "class", errors.by_class());
        let help = "Requests that the door did not let in.";
        teller.counters("eventwire_refusals_total", help, "reason", watched.refusals.counts());
        teller.counters("eventwire_closes_total", "Sockets that are gone.", "reason", watched.closes.counts());
        let help = "What clients sent that was answered by an error.";
        teller.counters("eventwire_refused_events_total", help, "code", watched.errors.counts());
    }

    fn tell_health(&self, teller: &Teller<'_>) {
        let (health, found) = self.examine();
        let yes = |name, help, is: bool| teller.gauge(name, Unit::Count, help, f64::from(u8::from(is)));
        yes("eventwire_ready", "Whether new clients should come here.", health.ready);
        yes("eventwire_live", "Whether it works, or will by itself.", health.live);
        let name = "eventwire_probe_up";
        metrics::describe_gauge!(name, Unit::Count, "Whether what it depends on is there.");
        for (probe, found) in found {
            let is_up = matches!(found, Probe::Up | Probe::Degraded(_));
            metrics::gauge!(name, teller.labels(Some(("probe", probe.into())))).set(f64::from(u8::from(is_up)));
        }
        let help = "How long it has been there.";
        teller.gauge("eventwire_uptime_seconds", Unit::Seconds, help, health.uptime.as_secs_f64());
    }
}

/// What waits in many queues.
#[derive(Default)]
struct Depth {
    sum: Backlog,
    deepest: Backlog,
}

impl Depth {
    fn add(&mut self, waiting: Backlog) {
        self.sum.add(waiting);
        self.deepest = self.deepest.or_worse(waiting);
    }
}

/// Tells the recorder. Each time anew, and of the descriptions as well: it may have been installed only now.
struct Teller<'a> {
    io: Option<&'a str>,
}

impl Teller<'_> {
    fn labels(&self, own: Option<(&'static str, SharedString)>) -> Vec<metrics::Label> {
        let io = self.io.map(|io| metrics::Label::new("io", io.to_owned()));
        io.into_iter().chain(own.map(|(label, value)| metrics::Label::new(label, value))).collect()
    }

    fn counter(&self, name: &'static str, unit: Unit, help: &'static str, value: u64) {
        metrics::describe_counter!(name, unit, help);
        metrics::counter!(name, self.labels(None)).absolute(value);
    }

    fn counters<V: Into<SharedString>>(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl IntoIterator<Item = (V, u64)>,
    ) {
        metrics::describe_counter!(name, Unit::Count, help);
        for (of, value) in values {
            metrics::counter!(name, self.labels(Some((label, of.into())))).absolute(value);
        }
    }

    fn gauge(&self, name: &'static str, unit: Unit, help: &'static str, value: f64) {
        metrics::describe_gauge!(name, unit, help);
        metrics::gauge!(name, self.labels(None)).set(value);
    }
}

/// The labels that are in use. A static, as the recorder is one.
static TAKEN: Mutex<BTreeSet<Option<String>>> = Mutex::new(BTreeSet::new());

/// What tells an `Io` from others of the process: its name, if no other one has it.
#[derive(Debug)]
pub(crate) struct Label {
    name: Option<String>,
    /// Taken when something is first told.
    taken: OnceLock<Option<String>>,
}

impl Label {
    pub(crate) fn new(name: Option<String>) -> Label {
        Label { name, taken: OnceLock::new() }
    }

    fn value(&self) -> Option<&str> {
        let take = || {
            let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
            let numbered = |n: usize| match (&self.name, n) {
                (name, 1) => name.clone(),
                (Some(name), n) => Some(format!("{name}-{n}")),
                (None, n) => Some(n.to_string()),
            };
            (1..).map(numbered).find(|label| taken.insert(label.clone())).flatten()
        };
        self.taken.get_or_init(take).as_deref()
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        if let Some(label) = self.taken.get() {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_one_label_at_a_time() {
        let label = |name: &str| Label::new(Some(name.to_owned()));
        let (first, second, third, other) = (label("a"), label("a"), label("a"), label("b"));
        assert_eq!(first.value(), Some("a"));
        assert_eq!(second.value(), Some("a-2"));
        assert_eq!((first.value(), other.value()), (Some("a"), Some("b")));
        drop(first);
        assert_eq!(third.value(), Some("a"), "it is free again");
        assert_eq!(second.value(), Some("a-2"), "and nobody's changes");
    }
}
