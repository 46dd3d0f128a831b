//! What the page shows, told every second to a room of the bridge's own, which remembers two minutes of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use eventwire::nats_source::{NatsCounts, NatsSourceHandle, NatsState};
use eventwire::{Backlog, Flow, Health, History, Io, SourceSetup, Stats, Subject, SubjectKind};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

pub(crate) const STATUS: &str = "bridge:status";

const TICK: Duration = Duration::from_secs(1);
const TOLD: usize = 120;

/// So many rooms, and so many of the slowest viewers.
const ROOMS: usize = 50;
const VIEWERS: usize = 10;

/// A source of messages, as it was set up.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) is_required: bool,
    pub(crate) handle: NatsSourceHandle,
}

impl Source {
    /// The `n`th of those that a setup makes: core NATS first, if it has any subject of that.
    pub(crate) fn new(setup: &SourceSetup, handle: NatsSourceHandle, n: usize) -> Source {
        let is_core = |subject: &&Subject| subject.kind == SubjectKind::Core;
        let core: Vec<&Subject> = setup.subjects.iter().filter(is_core).collect();
        let streams: Vec<&Subject> = setup.subjects.iter().filter(|subject| !is_core(subject)).collect();
        let (name, subjects) = match (n.checked_sub(usize::from(!core.is_empty())), core) {
            (None, core) => (setup.name.clone(), core),
            (Some(n), _) => (format!("{}:{}", setup.name, streams[n].name), vec![streams[n]]),
        };
        let is_required = subjects.iter().any(|subject| subject.required);
        Source { name, subjects: subjects.iter().map(|one| one.subject.clone()).collect(), is_required, handle }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    health: Health,
    /// By the second, in the last one.
    rates: Rates,
    flow: Flow,
    stats: Stats,
    /// Those with most messages, and how many there are.
    rooms: Vec<Room>,
    rooms_in_all: usize,
    viewers: Vec<Viewer>,
    sources: Vec<SourceStatus>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rates {
    messages: f64,
    bytes: f64,
    from_nats: f64,
    errors: f64,
}

#[derive(Serialize)]
struct Room {
    name: String,
    members: usize,
    rate: f64,
    /// Messages so far.
    total: u64,
}

#[derive(Serialize)]
struct Viewer {
    id: String,
    address: Option<String>,
    rooms: usize,
    backlog: Backlog,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceStatus {
    name: String,
    subjects: Vec<String>,
    is_required: bool,
    state: &'static str,
    /// For how long it has been away, this time.
    away_ms: Option<u64>,
    counts: NatsCounts,
}

/// Totals as they were a second ago.
#[derive(Default)]
struct Before {
    stats: Stats,
    errors: u64,
    from_nats: u64,
    rooms: HashMap<String, u64>,
    at: Option<Instant>,
}

/// Begins to tell.
pub(crate) fn tell(io: &Io, sources: Vec<Source>, prometheus: PrometheusHandle) {
    io.rooms(STATUS).public().history(History::messages(TOLD));
    let telling = io.clone();
    io.spawn(async move {
        let io = telling;
        let mut before = Before::default();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // The last of it has been told.
                () = io.closing() => return,
            }
            // What was observed is folded into the distributions that are rendered.
            prometheus.run_upkeep();
            let status = before.look(&io, &sources);
            let _ = io.to(STATUS).emit("status", &status).await;
        }
    });
}

impl Before {
    fn look(&mut self, io: &Io, sources: &[Source]) -> Status {
        let now = Instant::now();
        let seconds = self.at.replace(now).map_or(0.0, |before| now.duration_since(before).as_secs_f64());
        let rate =
            |now: u64, before: u64| if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 };

        let (stats, health) = (io.stats(), io.health());
        let from_nats = sources.iter().map(|source| source.handle.counts().messages).sum();
        let rates = Rates {
            messages: rate(stats.messages_out, self.stats.messages_out),
            bytes: rate(stats.bytes_out, self.stats.bytes_out),
            from_nats: rate(from_nats, self.from_nats),
            errors: rate(health.errors.total, self.errors),
        };
        (self.stats, self.errors, self.from_nats) = (stats, health.errors.total, from_nats);

        let mut totals = HashMap::new();
        let mut rooms = Vec::new();
        // All of them remember: they are there whether they are watched by name or by pattern.
        for name in io.logs_list().into_iter().filter(|name| name != STATUS && io.room_len(name) > 0) {
            let total = io.room(&name).last_seq();
            // One that is seen for the first time has its past behind it.
            let rate = rate(total, self.rooms.get(&name).copied().unwrap_or(total));
            totals.insert(name.clone(), total);
            rooms.push(Room { members: io.room_len(&name), rate, total, name });
        }
        self.rooms = totals;
        rooms.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.name.cmp(&b.name)));
        let rooms_in_all = rooms.len();
        rooms.truncate(ROOMS);

        let viewer = |socket: &eventwire::Socket| Viewer {
            id: socket.id().to_string(),
            address: socket.handshake().peer().map(|peer| peer.to_string()),
            rooms: socket.rooms().iter().filter(|room| *room != STATUS).count() + socket.patterns().len(),
            backlog: socket.backlog(),
        };
        let mut viewers: Vec<Viewer> = io.sockets().iter().map(viewer).collect();
        viewers.sort_by_key(|viewer| std::cmp::Reverse((viewer.backlog.bytes, viewer.rooms)));
        viewers.truncate(VIEWERS);

        let sources = sources.iter().map(SourceStatus::of).collect();
        Status { health, rates, flow: io.flow(), stats, rooms, rooms_in_all, viewers, sources }
    }
}

impl SourceStatus {
    fn of(source: &Source) -> SourceStatus {
        let (state, away_ms) = match source.handle.state() {
            NatsState::Connected => ("connected", None),
            NatsState::Disconnected { since } => ("away", Some(since.elapsed().as_millis() as u64)),
            NatsState::Closed => ("closed", None),
            _ => ("connecting", None),
        };
        SourceStatus {
            name: source.name.clone(),
            subjects: source.subjects.clone(),
            is_required: source.is_required,
            state,
            away_ms,
            counts: source.handle.counts(),
        }
    }
}
