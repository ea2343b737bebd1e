//! How fast one account may send: a token bucket that all its sessions share.
//!
//! Nothing is dropped and nothing is refused: a connection that has used up its account's tokens
//! is read again only when they have grown back, and flow control does the rest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use longwire_stanza::BareJid;

use crate::config::Limits;
use crate::limits::THROTTLED_ACCOUNTS;

/// The buckets of all accounts with a session.
///
/// A lock rather than a task: taking tokens happens for every read, and takes nanoseconds.
#[derive(Debug)]
pub(crate) struct Throttles {
    rate: u64,
    burst: u64,
    buckets: Mutex<HashMap<BareJid, Weak<Mutex<Bucket>>>>,
}

#[derive(Debug)]
struct Bucket {
    /// Debt shows as a negative number: a read is counted after it happened.
    tokens: i64,
    refilled: Instant,
}

/// One session's hold on its account's bucket.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    rate: u64,
    burst: u64,
    bucket: Arc<Mutex<Bucket>>,
}

impl Throttles {
    /// `None` when rates are not enforced.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        limits.account_rate_enforced.then(|| Self {
            rate: limits.account_rate.get().max(1),
            burst: limits.account_burst.get(),
            buckets: Mutex::default(),
        })
    }

    /// The bucket of an account: the one that its other sessions use, or a full one.
    pub(crate) fn of(&self, account: &BareJid, now: Instant) -> Throttle {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = buckets.get(account).and_then(Weak::upgrade);
        let bucket = known.unwrap_or_else(|| {
            if buckets.len() >= THROTTLED_ACCOUNTS || buckets.len() == buckets.capacity() {
                buckets.retain(|_, bucket| bucket.strong_count() > 0);
            }
            let tokens = i64::try_from(self.burst).unwrap_or(i64::MAX);
            let bucket = Arc::new(Mutex::new(Bucket { tokens, refilled: now }));
            buckets.insert(account.clone(), Arc::downgrade(&bucket));
            bucket
        });
        Throttle { rate: self.rate, burst: self.burst, bucket }
    }
}

impl Throttle {
    /// Counts bytes that were read; how long to wait before reading again.
    pub(crate) fn spend(&self, bytes: usize, now: Instant) -> Option<Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = u128::from(self.rate);
        let elapsed = now.saturating_duration_since(bucket.refilled);
        let grown = rate * elapsed.as_micros() / 1_000_000;
        if grown > 0 {
            let burst = i64::try_from(self.burst).unwrap_or(i64::MAX);
            let grown = i64::try_from(grown).unwrap_or(i64::MAX);
            bucket.tokens = bucket.tokens.saturating_add(grown).min(burst);
            bucket.refilled = now;
        }
        bucket.tokens = bucket.tokens.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        let debt = u128::from(bucket.tokens.min(0).unsigned_abs());
        let wait = u64::try_from(debt * 1_000_000 / rate).unwrap_or(u64::MAX);
        (debt > 0).then(|| Duration::from_micros(wait.max(1_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteSize, Rate};

    fn throttles() -> Throttles {
        let limits = Limits {
            account_rate: Rate::bytes_per_second(1_000),
            account_burst: ByteSize::bytes(500),
            ..Limits::default()
        };
        Throttles::new(&limits).unwrap()
    }

    fn account(text: &str) -> BareJid {
        text.parse().unwrap()
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn the_burst_is_free_and_the_first_byte_above_it_waits() {
        let now = start();
        let throttle = throttles().of(&account("a@x"), now);
        assert_eq!(throttle.spend(499, now), None);
        assert_eq!(throttle.spend(1, now), None);
        assert_eq!(throttle.spend(1, now), Some(Duration::from_millis(1)));
        assert_eq!(throttle.spend(249, now), Some(Duration::from_millis(250)));
    }

    #[test]
    fn in_the_long_run_the_rate_holds() {
        let mut now = start();
        let throttle = throttles().of(&account("a@x"), now);
        let mut sent = 0_u64;
        let end = now + Duration::from_secs(100);
        while now < end {
            sent += 300;
            now += throttle.spend(300, now).unwrap_or_default();
        }
        assert!((100_000..=100_900).contains(&sent), "{sent}");
    }

    #[test]
    fn sessions_of_one_account_share_and_others_do_not() {
        let now = start();
        let throttles = throttles();
        let phone = throttles.of(&account("a@x"), now);
        let desk = throttles.of(&account("a@x"), now);
        let other = throttles.of(&account("b@x"), now);
        assert_eq!(phone.spend(500, now), None);
        assert!(desk.spend(1, now).is_some());
        assert_eq!(other.spend(500, now), None);
    }

    #[test]
    fn waiting_longer_than_the_burst_saves_nothing() {
        let now = start();
        let throttle = throttles().of(&account("a@x"), now);
        let later = now + Duration::from_secs(1_000);
        assert_eq!(throttle.spend(500, later), None);
        assert!(throttle.spend(1, later).is_some());
    }

    #[test]
    fn accounts_without_sessions_are_forgotten() {
        let now = start();
        let throttles = throttles();
        for i in 0..10_000 {
            drop(throttles.of(&account(&format!("u{i}@x")), now));
        }
        assert!(throttles.buckets.lock().unwrap().len() < 1_000);
    }
}
