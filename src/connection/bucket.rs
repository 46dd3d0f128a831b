//! How many events a second a peer may send.

use tokio::time::Instant;

use crate::config::Rate;

/// A token bucket (`eventsPerSecond`).
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, tokens: rate.burst, at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let new = (now - self.at).as_secs_f64() * self.rate.rate;
        self.tokens = (self.tokens + new).min(self.rate.burst);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}
