//! What is counted of each event that somebody listens to, and how long its handlers take.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

/// So many names are counted each for itself: a name that is made anew for each socket must not make a label of its own. The rest, and
/// what nobody listens to by name, is counted together.
const MAX_NAMES: usize = 1024;

/// Under this name.
const OTHER: &str = "other";

/// So many events are measured one by one; of the rest one of so many is, and stands for all of them: a look at the
/// clock costs as much as a fiftieth of an event.
const STRIDE: u8 = 32;

/// The counts of one event's name.
#[derive(Debug, Default)]
pub(crate) struct EventCounts {
    handled: AtomicU64,
    errors: AtomicU64,
    /// Made when a first handler was measured.
    times: OnceLock<Box<Times>>,
}

impl EventCounts {
    /// Counts one. Returns for how many its handlers' time is to stand: 0, it is not measured.
    pub(crate) fn handle(&self) -> u8 {
        let stride = u64::from(STRIDE);
        match self.handled.fetch_add(1, Ordering::Relaxed) {
            n if n < stride => 1,
            n if n % stride == stride - 1 => STRIDE,
            _ => 0,
        }
    }

    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// One of its handlers failed, or refused the payload.
    pub(crate) fn fail(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// A handler took so long, and so many others with it as far as is known.
    pub(crate) fn took(&self, time: Duration, times: u64) {
        self.times.get_or_init(Box::default).add(time, times);
    }

    /// Takes out the times since this was last asked, in seconds, and how often each.
    pub(crate) fn take_times(&self, mut give: impl FnMut(f64, usize)) {
        if let Some(times) = self.times.get() {
            times.take(&mut give);
        }
    }
}

/// Each doubling of time is told apart in so many steps, as a power of two: a time is known to within 6 %.
const STEPS: u32 = 3;

/// Nanoseconds, as powers of two, between which times are told apart: half a microsecond and two minutes.
const SHORTEST: u32 = 9;
const LONGEST: u32 = 37;

const BUCKETS: usize = ((LONGEST - SHORTEST) << STEPS) as usize;

/// How often handlers took how long, until it is told.
#[derive(Debug)]
struct Times([AtomicU64; BUCKETS]);

impl Default for Times {
    fn default() -> Times {
        Times(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Times {
    fn add(&self, time: Duration, times: u64) {
        if let Some(bucket) = self.0.get(bucket(time)) {
            bucket.fetch_add(times, Ordering::Relaxed);
        }
    }

    fn take(&self, give: &mut impl FnMut(f64, usize)) {
        for (index, bucket) in self.0.iter().enumerate() {
            // Most are empty: looked at without being written.
            if bucket.load(Ordering::Relaxed) > 0 {
                give(middle(index), bucket.swap(0, Ordering::Relaxed) as usize);
            }
        }
    }
}

/// The bucket of a time.
fn bucket(time: Duration) -> usize {
    let nanos = (time.as_nanos() as u64).clamp(1 << SHORTEST, (1 << LONGEST) - 1);
    let power = nanos.ilog2();
    let step = (nanos >> (power - STEPS)) & ((1 << STEPS) - 1);
    (((power - SHORTEST) << STEPS) as u64 + step) as usize
}

/// The middle of a bucket, in seconds.
fn middle(bucket: usize) -> f64 {
    let (power, step) = (SHORTEST + (bucket as u32 >> STEPS), bucket & ((1 << STEPS) - 1));
    let width = 2f64.powi((power - STEPS) as i32);
    (2f64.powi(power as i32) + width * (step as f64 + 0.5)) / 1e9
}

/// The counts of all events, by name.
#[derive(Debug)]
pub(crate) struct EventTable {
    /// A lock for writers; whoever handles events has the counts with the listener.
    names: RwLock<HashMap<Box<str>, Arc<EventCounts>>>,
    other: Arc<EventCounts>,
}

impl EventTable {
    /// With these names from the beginning.
    pub(crate) fn new(names: [&str; 2]) -> EventTable {
        let names = names.map(|name| (name.into(), Arc::default()));
        EventTable { names: RwLock::new(names.into()), other: Arc::default() }
    }

    /// The counts for a name that is listened to from now on.
    pub(crate) fn register(&self, name: &str) -> Arc<EventCounts> {
        if let Some(known) = self.known(name) {
            return known;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MAX_NAMES || name == OTHER {
            return self.other.clone();
        }
        names.entry(name.into()).or_default().clone()
    }

    fn known(&self, name: &str) -> Option<Arc<EventCounts>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The counts that an event of this name has its part in.
    pub(crate) fn of(&self, name: &str) -> Arc<EventCounts> {
        self.known(name).unwrap_or_else(|| self.other.clone())
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(String, Arc<EventCounts>)> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let named = names.iter().map(|(name, counts)| (name.to_string(), counts.clone()));
        named.chain([(OTHER.to_owned(), self.other.clone())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_known_to_within_six_percent() {
        let mut nanos = 600u64;
        while nanos < 100_000_000_000 {
            let told = middle(bucket(Duration::from_nanos(nanos))) * 1e9;
            assert!((told / nanos as f64 - 1.0).abs() < 0.0625, "{nanos} ns: {told}");
            nanos += nanos / 37 + 1;
        }
        // What is outside is told as the next that is inside.
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn those_measured_stand_for_all_that_were_handled() {
        let counts = EventCounts::default();
        let mut stands_for = 0;
        for handled in 1..=1000 {
            stands_for += u64::from(counts.handle());
            assert!(stands_for <= handled && handled - stands_for < u64::from(STRIDE), "{stands_for} of {handled}");
            if handled <= u64::from(STRIDE) {
                assert_eq!(stands_for, handled, "the first ones are measured one by one");
            }
        }
    }

    #[test]
    fn names_are_bounded() {
        let table = EventTable::new(["subscribe", "unsubscribe"]);
        for n in 0..2 * MAX_NAMES {
            table.register(&format!("made:{n}")).handle();
        }
        let all = table.all();
        assert_eq!(all.len(), MAX_NAMES + 1);
        let handled: u64 = all.iter().map(|(_, counts)| counts.handled()).sum();
        assert_eq!((handled, table.of(OTHER).handled()), (2048, MAX_NAMES as u64 + 2));
        assert!(Arc::ptr_eq(&table.of("nobody listens to this"), &table.of(OTHER)));
    }
}
