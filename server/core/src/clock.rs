//! Time, injected: nothing in the router reads a clock of its own.

use std::time::{Duration, Instant};

/// Where the router gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The monotonic time, for intervals.
    fn now(&self) -> Instant;

    /// The wall clock in microseconds since 1970-01-01T00:00:00Z, for time stamps only: it may
    /// jump, so nothing is ordered by it.
    fn wall(&self) -> u64;
}

/// The runtime's clock: virtual while the runtime's time is paused.
///
/// The wall clock starts at a given moment and runs with the runtime's clock.
#[derive(Clone, Debug)]
pub struct TokioClock {
    started: tokio::time::Instant,
    wall: u64,
}

impl TokioClock {
    /// A clock whose wall time is `wall` (microseconds since 1970) now.
    pub fn new(wall: u64) -> Self {
        Self { started: tokio::time::Instant::now(), wall }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> u64 {
        let elapsed: Duration = self.started.elapsed();
        self.wall.saturating_add(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }
}
