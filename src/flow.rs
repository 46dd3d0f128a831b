//! How much goes through, by the second.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::hub::Counters;
use crate::io::Io;

/// Over how long rates are told.
const WINDOW: Duration = Duration::from_secs(10);

/// How often the totals are noted for that.
pub(crate) const SAMPLE: Duration = Duration::from_secs(1);

/// What goes through an [`Io`] by the second, of this node alone: a mean over the last 10 s. See [`Io::flow`].
///
/// It serialises in camel case, the window as `windowMs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Flow {
    /// Messages that came, a second.
    pub messages_in: f64,
    /// Their bytes, a second.
    pub bytes_in: f64,
    /// Messages given to the system to send, a second: one for each member of a room.
    pub messages_out: f64,
    /// Their bytes with frame headers, a second.
    pub bytes_out: f64,
    /// Errors as [`ErrorCounts::total`](crate::ErrorCounts::total) counts them, a second.
    pub errors: f64,
    /// Errors for each message that came or was sent; 0 where there was none.
    pub error_rate: f64,
    /// Over how long this was measured: 10 s to 11 s, or as long as the `Io` is there. Serialised in milliseconds.
    #[serde(rename = "windowMs", serialize_with = "millis")]
    pub window: Duration,
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    (time.as_millis() as u64).serialize(serializer)
}

/// Totals as they were at some time: messages and bytes in, messages and bytes out, errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) totals: [u64; 5],
}

/// Those of the last while.
#[derive(Debug)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

impl Samples {
    pub(crate) fn new(started: Instant) -> Samples {
        // All began with nothing: so it is right when it is first asked for.
        Samples(Mutex::new([Sample { at: started, totals: [0; 5] }].into()))
    }

    /// Notes a sample, and returns the one to compare it with: the newest that is as old as the window, else the oldest.
    pub(crate) fn note(&self, now: Sample) -> Sample {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |sample: &Sample| now.at.saturating_duration_since(sample.at);
        while samples.get(1).is_some_and(|next| age(next) >= WINDOW) {
            samples.pop_front();
        }
        let base = samples.front().copied().unwrap_or(now);
        // However often it is asked for, few are kept.
        if samples.back().is_none_or(|last| age(last) >= SAMPLE / 2) {
            samples.push_back(now);
        }
        base
    }
}

impl Flow {
    fn between(base: Sample, now: Sample) -> Flow {
        let window = now.at.saturating_duration_since(base.at);
        // Where a connection ends while totals are summed, they may be short of it for a moment.
        let grown = |index: usize| now.totals[index].saturating_sub(base.totals[index]) as f64;
        let seconds = window.as_secs_f64();
        let rate = |index| if seconds > 0.0 { grown(index) / seconds } else { 0.0 };
        let messages = grown(0) + grown(2);
        Flow {
            messages_in: rate(0),
            bytes_in: rate(1),
            messages_out: rate(2),
            bytes_out: rate(3),
            errors: rate(4),
            error_rate: if messages > 0.0 { grown(4) / messages } else { 0.0 },
            window,
        }
    }
}

impl Io {
    /// What goes through it by the second, as a mean over the last 10 s, or since it was made where that is less. It is right
    /// when it is asked for the first time, too: the totals are noted every second from the first connection on, and compared then.
    ///
    /// ```
    /// let io = eventwire::Io::new();
    /// assert_eq!(io.flow().messages_out, 0.0);
    /// ```
    pub fn flow(&self) -> Flow {
        let now = self.sample();
        Flow::between(self.watched().samples.note(now), now)
    }

    /// The totals now. They are summed over all connections.
    pub(crate) fn sample(&self) -> Sample {
        let [messages_in, bytes_in, messages_out, bytes_out, ..] = self.counted(Counters::totals);
        let errors = self.watched().error_counts().total;
        Sample { at: Instant::now(), totals: [messages_in, bytes_in, messages_out, bytes_out, errors] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, millis: u64, messages: u64) -> Sample {
        Sample {
            at: start + Duration::from_millis(millis),
            totals: [messages, 10 * messages, 2 * messages, 0, messages / 2],
        }
    }

    fn flow(samples: &Samples, now: Sample) -> Flow {
        Flow::between(samples.note(now), now)
    }

    #[test]
    fn rates_are_right_at_first_often_and_seldom() {
        let start = Instant::now();
        // Asked for the first time, after a while.
        let flow_at = flow(&Samples::new(start), at(start, 4000, 400));
        assert_eq!((flow_at.messages_in, flow_at.bytes_in, flow_at.messages_out), (100.0, 1000.0, 200.0));
        assert_eq!((flow_at.errors, flow_at.window), (50.0, Duration::from_secs(4)));
        assert!((flow_at.error_rate - 200.0 / 1200.0).abs() < 1e-9);
        // Right after the start, nothing is divided by nothing.
        assert_eq!(flow(&Samples::new(start), at(start, 0, 0)), Flow::default());

        // 100 a second, then nothing: it fades within the window, whether it is asked for once or a thousand times.
        for step in [5, 250, 1000] {
            let samples = Samples::new(start);
            let messages = |millis: u64| millis.min(20_000) / 10;
            let mut last = Flow::default();
            for millis in (step..=60_000).step_by(step as usize) {
                last = flow(&samples, at(start, millis, messages(millis)));
                if (11_000..=20_000).contains(&millis) {
                    assert!((last.messages_in - 100.0).abs() < 1.0, "{millis}: {last:?}");
                    let window = last.window.as_millis();
                    assert!((10_000..=11_000).contains(&window), "{millis}: {window}");
                }
                if millis >= 31_000 {
                    assert_eq!(last.messages_in, 0.0, "{millis}: {last:?}");
                }
            }
            assert_eq!(last.errors, 0.0);
            assert!(samples.0.lock().unwrap().len() <= 24);
        }

        // Once an hour: then it is the mean of that hour, and says so.
        let samples = Samples::new(start);
        flow(&samples, at(start, 10, 0));
        let rare = flow(&samples, at(start, 3_600_000, 36_000));
        assert!((rare.messages_in - 10.0).abs() < 0.01 && rare.window > Duration::from_secs(3500), "{rare:?}");
    }
}
