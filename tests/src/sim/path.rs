//! What one direction between two hosts does to a datagram: a pure model, no clock, no socket.

use std::ops::Range;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// IPv4 and UDP headers, in bytes: what a datagram takes on the wire besides its payload.
pub(crate) const HEADERS_BYTES: usize = 28;

/// The properties of one direction between two hosts.
///
/// A datagram waits in the queue, is serialised at `rate`, meets outages and chance when it
/// leaves the serialiser, and arrives `delay` plus a part of `jitter` later. The default is a
/// perfect line: no delay, no loss, no rate limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// One-way propagation delay.
    pub delay: Duration,
    /// Upper bound of the uniformly drawn extra delay; above the spacing of two datagrams it
    /// reorders them.
    pub jitter: Duration,
    /// Probability in 0..=1 that a datagram is lost.
    pub loss: f64,
    /// Bits per second of the serialiser, headers included; `None` is unlimited.
    pub rate: Option<u64>,
    /// Bytes (headers included) that may wait for the serialiser; drop-tail.
    pub queue_bytes: usize,
    /// Largest UDP payload that passes; a larger datagram is dropped in silence.
    pub mtu_bytes: usize,
    /// Times, counted from the start of the network, in which nothing passes.
    pub outages: Vec<Range<Duration>>,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            rate: None,
            queue_bytes: 256 * 1024,
            mtu_bytes: 1_472,
            outages: Vec::new(),
        }
    }
}

impl Path {
    /// A line without faults and with this one-way delay.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Sets the probability of loss, 0..=1.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Sets the upper bound of the extra delay.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the rate in bits per second and the bytes that may wait for it.
    #[must_use]
    pub fn rate(mut self, bits_per_second: u64, queue_bytes: usize) -> Self {
        self.rate = Some(bits_per_second);
        self.queue_bytes = queue_bytes;
        self
    }

    /// Adds a time in which nothing passes.
    #[must_use]
    pub fn outage(mut self, window: Range<Duration>) -> Self {
        self.outages.push(window);
        self
    }
}

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives at this time.
    Arrives(Duration),
    /// Chance took it.
    Lost,
    /// It left the serialiser during an outage.
    Outage,
    /// The queue had no room.
    QueueFull,
    /// It is larger than the path carries.
    TooLarge,
    /// A [drop window](super::Net::drop_window) or an [inspector](super::Net::inspect) took it.
    Taken,
    /// Nobody has the destination address.
    Unreachable,
    /// A bound of the rig itself was reached.
    Overflow,
}

/// How many datagrams met which fate on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathStats {
    /// Datagrams given to the path.
    pub sent: u64,
    /// Their payload bytes.
    pub sent_bytes: u64,
    /// Datagrams put under way.
    pub passed: u64,
    /// Taken by chance.
    pub lost: u64,
    /// Fell into an outage.
    pub outage: u64,
    /// Found the queue full.
    pub queue_full: u64,
    /// Taken by a drop window or an inspector.
    pub taken: u64,
    /// Dropped for any other reason.
    pub other: u64,
}

impl PathStats {
    pub(crate) fn count(&mut self, bytes: usize, fate: Fate) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
        let counter = match fate {
            Fate::Arrives(_) => &mut self.passed,
            Fate::Lost => &mut self.lost,
            Fate::Outage => &mut self.outage,
            Fate::QueueFull => &mut self.queue_full,
            Fate::Taken => &mut self.taken,
            Fate::TooLarge | Fate::Unreachable | Fate::Overflow => &mut self.other,
        };
        *counter += 1;
    }
}

/// A path with its serialiser and its own stream of chance.
#[derive(Clone, Debug)]
pub struct PathState {
    path: Path,
    chance: Pcg64,
    busy_until: Duration,
}

impl PathState {
    /// A path whose chance is drawn from `seed` alone.
    #[must_use]
    pub fn new(path: Path, seed: u64) -> Self {
        Self { path, chance: Pcg64::seed_from_u64(seed), busy_until: Duration::ZERO }
    }

    /// Changes the properties; what waits in the serialiser keeps its place.
    pub fn set(&mut self, path: Path) {
        self.path = path;
    }

    /// Draws the chance of one datagram without sending it.
    ///
    /// A datagram that something else has taken must still use up its draws: then the fates of
    /// all the others are the same as in a run in which it passed.
    pub fn skip(&mut self) {
        let _ = self.draw();
    }

    /// Decides about a datagram of `bytes` payload bytes that is sent at `now`.
    pub fn push(&mut self, now: Duration, bytes: usize) -> Fate {
        let (coin, extra) = self.draw();
        if bytes > self.path.mtu_bytes {
            return Fate::TooLarge;
        }
        let Some(leaves) = self.serialise(now, bytes + HEADERS_BYTES) else {
            return Fate::QueueFull;
        };
        if self.path.outages.iter().any(|window| window.contains(&leaves)) {
            return Fate::Outage;
        }
        if coin < self.path.loss {
            return Fate::Lost;
        }
        Fate::Arrives(leaves + self.path.delay + self.path.jitter.mul_f64(extra))
    }

    /// Two numbers in 0..1; the same number of draws for every datagram.
    fn draw(&mut self) -> (f64, f64) {
        let mut unit = || (self.chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (unit(), unit())
    }

    /// The time at which the last bit leaves, or `None` when the queue is full.
    fn serialise(&mut self, now: Duration, wire_bytes: usize) -> Option<Duration> {
        let Some(rate) = self.path.rate else { return Some(now) };
        let backlog = self.busy_until.saturating_sub(now);
        let waiting_bits = backlog.as_nanos() * u128::from(rate) / 1_000_000_000;
        let wanted_bits = waiting_bits + wire_bytes as u128 * 8;
        if wanted_bits > self.path.queue_bytes as u128 * 8 {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + wire_time(wire_bytes, rate);
        Some(self.busy_until)
    }
}

/// How long `wire_bytes` occupy a serialiser of `rate` bits per second.
fn wire_time(wire_bytes: usize, rate: u64) -> Duration {
    let nanos = (wire_bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_perfect_line_delivers_at_once() {
        let mut path = PathState::new(Path::default(), 1);
        assert_eq!(path.push(7 * MS, 1_200), Fate::Arrives(7 * MS));
    }

    #[test]
    fn the_serialiser_spaces_datagrams_by_their_wire_time() {
        // 972 + 28 bytes = 8,000 bits: 8 ms at 1 Mbit/s.
        let mut path = PathState::new(Path::new(50 * MS).rate(1_000_000, 100_000), 1);
        for i in 1..=20 {
            assert_eq!(path.push(Duration::ZERO, 972), Fate::Arrives(i * 8 * MS + 50 * MS));
        }
        // It idles, then starts again from now.
        assert_eq!(path.push(1_000 * MS, 972), Fate::Arrives(1_058 * MS));
    }

    #[test]
    fn the_queue_holds_its_bytes_and_not_one_more() {
        for (queue_bytes, expected) in [(2_999, 2), (3_000, 3), (3_001, 3)] {
            let mut path = PathState::new(Path::default().rate(1_000_000, queue_bytes), 1);
            let passed = (0..10)
                .filter(|_| matches!(path.push(Duration::ZERO, 972), Fate::Arrives(_)))
                .count();
            assert_eq!(passed, expected, "queue of {queue_bytes} bytes");
        }
    }

    #[test]
    fn the_queue_empties_at_the_rate_of_the_line() {
        let mut path = PathState::new(Path::default().rate(1_000_000, 1_000), 1);
        assert_eq!(path.push(Duration::ZERO, 972), Fate::Arrives(8 * MS));
        assert_eq!(path.push(7 * MS, 972), Fate::QueueFull);
        assert_eq!(path.push(8 * MS, 972), Fate::Arrives(16 * MS));
    }

    #[test]
    fn an_outage_takes_what_leaves_in_it() {
        let mut path = PathState::new(Path::default().outage(10 * MS..20 * MS), 1);
        assert_eq!(path.push(9 * MS, 100), Fate::Arrives(9 * MS));
        assert_eq!(path.push(10 * MS, 100), Fate::Outage);
        assert_eq!(path.push(19 * MS, 100), Fate::Outage);
        assert_eq!(path.push(20 * MS, 100), Fate::Arrives(20 * MS));
    }

    #[test]
    fn the_mtu_is_the_largest_payload_that_passes() {
        let mut path = PathState::new(Path { mtu_bytes: 1_300, ..Path::default() }, 1);
        for (bytes, passes) in [(1_299, true), (1_300, true), (1_301, false)] {
            assert_eq!(matches!(path.push(MS, bytes), Fate::Arrives(_)), passes, "{bytes}");
        }
    }

    #[test]
    fn loss_has_the_asked_frequency() {
        // Binomial, n = 20,000, p = 0.02: mean 400, sd 19.8; five sigmas allowed.
        for seed in 1..=5 {
            let mut path = PathState::new(Path::default().loss(0.02), seed);
            let lost = (0..20_000).filter(|_| path.push(MS, 100) == Fate::Lost).count();
            assert!((301..=499).contains(&lost), "seed {seed}: {lost} lost");
        }
    }

    #[test]
    fn jitter_stays_inside_its_bound_and_uses_it() {
        let mut path = PathState::new(Path::new(100 * MS).jitter(30 * MS), 3);
        let arrivals: Vec<Duration> = (0..1_000)
            .map(|_| match path.push(Duration::ZERO, 100) {
                Fate::Arrives(at) => at,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(arrivals.iter().all(|at| (100 * MS..130 * MS).contains(at)));
        assert!(
            arrivals.iter().any(|at| *at < 101 * MS) && arrivals.iter().any(|at| *at > 129 * MS)
        );
    }

    #[test]
    fn a_skipped_datagram_leaves_the_fates_of_the_others_alone() {
        let path = Path::new(10 * MS).loss(0.3).jitter(5 * MS);
        let mut whole = PathState::new(path.clone(), 9);
        let mut holed = PathState::new(path, 9);
        for i in 0..200 {
            let fate = whole.push(i * MS, 100);
            if i % 7 == 0 {
                holed.skip();
            } else {
                assert_eq!(holed.push(i * MS, 100), fate, "datagram {i}");
            }
        }
    }
}
