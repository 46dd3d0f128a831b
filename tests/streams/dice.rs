//! Chance that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sets the seed of a run.
pub(crate) const SEED: &str = "STREAMS_SEED";

/// The seed of this run: what is set, or another one each time.
pub(crate) fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{SEED}={text}: {error}")),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64 % 1_000_000_007),
    }
}

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// For one of several that share a seed.
    pub(crate) fn new(seed: u64, who: usize) -> Dice {
        let mut dice = Dice(seed ^ (who as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Around a time: a fifth to nine fifths of it.
    pub(crate) fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.2 + 1.6 * self.below(1000) as f64 / 1000.0)
    }
}
