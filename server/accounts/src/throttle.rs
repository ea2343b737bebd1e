//! Slows down guessing of passwords without ever locking an account.
//!
//! Failures are counted per pair of address and account, so a guesser delays himself and not the
//! owner of the account. After ten failures each further attempt has to wait, and each failure
//! doubles the wait; ten quiet minutes forgive everything.

use crate::limits::{LOGIN_FAILURES, THROTTLE_ENTRIES};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long failures are remembered, and the longest wait.
const WINDOW: Duration = Duration::from_secs(600);

/// The wait after the first failure too many.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Digest of an address and an account; of constant size, whatever names a guesser makes up.
type Key = [u8; 16];

/// The failed logins of the last minutes.
///
/// A state machine: it takes the time and never waits itself. At most
/// [`THROTTLE_ENTRIES`] pairs are remembered.
pub struct Throttle {
    entries: BTreeMap<Key, Entry>,
    /// The same entries, longest quiet first.
    quiet: BTreeSet<(Instant, Key)>,
    capacity: usize,
}

struct Entry {
    failures: u32,
    last: Instant,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    /// Nobody has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_capacity(THROTTLE_ENTRIES)
    }

    const fn with_capacity(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), quiet: BTreeSet::new(), capacity }
    }

    /// How long an attempt has to wait; zero means that it may go ahead.
    #[must_use]
    pub fn wait(&self, address: IpAddr, account: &str, now: Instant) -> Duration {
        let Some(entry) = self.entries.get(&key(address, account)) else { return Duration::ZERO };
        let quiet = now.saturating_duration_since(entry.last);
        if quiet >= WINDOW { Duration::ZERO } else { delay(entry.failures).saturating_sub(quiet) }
    }

    /// Counts a failed login.
    pub fn failed(&mut self, address: IpAddr, account: &str, now: Instant) {
        let key = key(address, account);
        let before =
            self.forget(key).filter(|entry| now.saturating_duration_since(entry.last) < WINDOW);
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.quiet.pop_first() else { break };
            self.entries.remove(&oldest);
        }
        let failures = before.map_or(0, |entry| entry.failures).saturating_add(1);
        self.entries.insert(key, Entry { failures, last: now });
        self.quiet.insert((now, key));
    }

    /// Forgives the failures of a pair after a login that worked.
    pub fn succeeded(&mut self, address: IpAddr, account: &str) {
        self.forget(key(address, account));
    }

    fn forget(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.quiet.remove(&(entry.last, key));
        Some(entry)
    }
}

/// The wait that a number of failures earns: 1, 2, 4 ... seconds, at most [`WINDOW`].
fn delay(failures: u32) -> Duration {
    let Some(extra) = failures.checked_sub(LOGIN_FAILURES) else { return Duration::ZERO };
    FIRST_WAIT.saturating_mul(1_u32.checked_shl(extra).unwrap_or(u32::MAX)).min(WINDOW)
}

/// An IPv6 host usually owns a whole /64, so its addresses count as one.
fn key(address: IpAddr, account: &str) -> Key {
    let network = match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    };
    let mut hash = Sha256::new();
    hash.update([u8::from(address.to_canonical().is_ipv6())]);
    hash.update(network.to_be_bytes());
    hash.update(account.as_bytes());
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice@a.example";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the start")]
        Instant::now()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_tenth_failure_makes_the_next_attempt_wait() {
        let (mut throttle, now, home) = (Throttle::new(), start(), address("192.0.2.1"));
        for failures in 0..LOGIN_FAILURES {
            assert_eq!(throttle.wait(home, ALICE, now), Duration::ZERO, "{failures} failures");
            throttle.failed(home, ALICE, now);
        }
        assert_eq!(throttle.wait(home, ALICE, now), seconds(1));
        assert_eq!(throttle.wait(home, ALICE, now + seconds(1)), Duration::ZERO);
        throttle.failed(home, ALICE, now + seconds(1));
        assert_eq!(throttle.wait(home, ALICE, now + seconds(1)), seconds(2));
    }

    #[test]
    fn the_wait_grows_to_ten_minutes_and_not_further() {
        assert_eq!(delay(LOGIN_FAILURES - 1), Duration::ZERO);
        assert_eq!(delay(LOGIN_FAILURES), seconds(1));
        assert_eq!(delay(LOGIN_FAILURES + 1), seconds(2));
        assert_eq!(delay(LOGIN_FAILURES + 9), seconds(512));
        assert_eq!(delay(LOGIN_FAILURES + 10), WINDOW);
        assert_eq!(delay(u32::MAX), WINDOW);
    }

    #[test]
    fn ten_quiet_minutes_forgive_everything() {
        let (mut throttle, now, home) = (Throttle::new(), start(), address("192.0.2.1"));
        for _ in 0..100 {
            throttle.failed(home, ALICE, now);
        }
        assert!(throttle.wait(home, ALICE, now + WINDOW - seconds(1)) > Duration::ZERO);
        assert_eq!(throttle.wait(home, ALICE, now + WINDOW), Duration::ZERO);
        throttle.failed(home, ALICE, now + WINDOW);
        assert_eq!(throttle.wait(home, ALICE, now + WINDOW), Duration::ZERO);
    }

    #[test]
    fn the_owner_is_not_slowed_by_a_guesser_elsewhere() {
        let (mut throttle, now) = (Throttle::new(), start());
        for _ in 0..100 {
            throttle.failed(address("192.0.2.66"), ALICE, now);
        }
        assert_eq!(throttle.wait(address("192.0.2.1"), ALICE, now), Duration::ZERO);
        assert_eq!(throttle.wait(address("192.0.2.66"), "bob@a.example", now), Duration::ZERO);
        assert!(throttle.wait(address("::ffff:192.0.2.66"), ALICE, now) > Duration::ZERO);
    }

    #[test]
    fn one_ipv6_network_counts_as_one_guesser() {
        let (mut throttle, now) = (Throttle::new(), start());
        for host in 0..LOGIN_FAILURES {
            throttle.failed(address(&format!("2001:db8::{host:x}")), ALICE, now);
        }
        assert_eq!(throttle.wait(address("2001:db8::ffff"), ALICE, now), seconds(1));
        assert_eq!(throttle.wait(address("2001:db8:0:1::1"), ALICE, now), Duration::ZERO);
    }

    #[test]
    fn success_forgives() {
        let (mut throttle, now, home) = (Throttle::new(), start(), address("192.0.2.1"));
        for _ in 0..20 {
            throttle.failed(home, ALICE, now);
        }
        throttle.succeeded(home, ALICE);
        assert_eq!(throttle.wait(home, ALICE, now), Duration::ZERO);
        assert!(throttle.entries.is_empty() && throttle.quiet.is_empty());
    }

    #[test]
    fn the_longest_quiet_entry_gives_way_when_the_map_is_full() {
        let (now, home) = (start(), address("192.0.2.1"));
        for (others, remembered) in [(1, true), (2, true), (3, false)] {
            let mut throttle = Throttle::with_capacity(3);
            for _ in 0..LOGIN_FAILURES {
                throttle.failed(home, ALICE, now);
            }
            for other in 0..others {
                throttle.failed(home, &format!("{other}@a.example"), now + seconds(1));
            }
            let waits = throttle.wait(home, ALICE, now) > Duration::ZERO;
            assert_eq!(waits, remembered, "{others} others");
            assert_eq!(throttle.entries.len(), throttle.quiet.len());
            assert!(throttle.entries.len() <= 3);
        }
    }
}
