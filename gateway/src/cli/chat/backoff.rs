//! How long to wait before the next attempt to connect.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Waits from one second, doubling up to thirty, spread so that the clients of a server that
/// restarts do not come back all at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait; `random` is any number, and spreads it over 75 % to 125 %.
    pub(super) fn wait(&mut self, random: u32) -> Duration {
        let middle = self.next;
        self.next = (middle * 2).min(LONGEST);
        let spread = middle.as_millis() as u64 / 2;
        let share = spread * u64::from(random) / u64::from(u32::MAX);
        middle * 3 / 4 + Duration::from_millis(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(random: u32) -> Vec<u128> {
        let mut backoff = Backoff::new();
        (0..7).map(|_| backoff.wait(random).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_thirty_seconds() {
        assert_eq!(waits(0), [750, 1500, 3000, 6000, 12000, 22500, 22500]);
        assert_eq!(waits(u32::MAX), [1250, 2500, 5000, 10000, 20000, 37500, 37500]);
    }
}
