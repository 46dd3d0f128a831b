//! How long what was answered may wait for what is about to be answered.

/// While events are handled one after another, so many rounds of the runtime may pass before what was answered so far is written:
/// handlers that wait a little answer one by one, and a system call for each costs more than all else that is done for it.
const MOST: u8 = 8;

#[derive(Default)]
pub(super) struct Rounds {
    /// For how many writing has been put off.
    put_off: u8,
    /// How many events the lane had taken when that was last asked, and for how many rounds it has taken none.
    taken: u64,
    still: u8,
}

impl Rounds {
    /// Whether writing is put off for one more. `taken`: how many events the lane has taken so far, where more wait.
    pub(super) fn put_off(&mut self, taken: Option<u64>) -> bool {
        if let Some(taken) = taken {
            let moves = taken != std::mem::replace(&mut self.taken, taken);
            self.still = if moves { 0 } else { self.still.saturating_add(1) };
        }
        // In one round the connection may be the first, in the next the lane. Where that stands still, nothing is put off.
        let puts_off = taken.is_some() && self.still < 2 && self.put_off < MOST;
        self.put_off = if puts_off { self.put_off + 1 } else { 0 };
        puts_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_stands_still_puts_off_nothing_and_one_that_moves_not_for_ever() {
        let mut rounds = Rounds::default();
        let moving: Vec<bool> = (1..=20).map(|taken| rounds.put_off(Some(taken))).collect();
        assert_eq!(moving.iter().filter(|put_off| !**put_off).count(), 2, "after {MOST} each: {moving:?}");
        assert!(rounds.put_off(Some(20)), "it may be the lane's turn next");
        for _ in 0..300 {
            assert!(!rounds.put_off(Some(20)));
        }
        assert!(!rounds.put_off(None), "nothing waits");
        assert!(rounds.put_off(Some(21)));
    }
}
