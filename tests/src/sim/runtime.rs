//! quinn's runtime on tokio's paused clock, and the frame in which a scenario runs.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TimeSource};
use tokio::time::Sleep;

/// Runs a scenario in virtual time on one thread.
///
/// Time stands still while anything can run and jumps to the next timer when nothing can.
///
/// # Panics
/// When the scenario takes more than `limit` of virtual time: it hangs.
pub fn run<F: Future>(limit: Duration, scenario: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs no resources");
    let outcome = runtime.block_on(async { tokio::time::timeout(limit, scenario).await });
    outcome.unwrap_or_else(|_| panic!("the scenario did not end within {limit:?} of virtual time"))
}

/// Runs a check for each seed and names the seed of a failure.
///
/// `LONGWIRE_SEED=17` runs that seed alone; `LONGWIRE_SEEDS=5000` sets how many are run.
///
/// # Panics
/// As the check does, after the seed is printed.
pub fn each_seed(seeds: Range<u64>, mut check: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("LONGWIRE_SEED"), number("LONGWIRE_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => seeds.start..seeds.start + count,
        (None, None) => seeds,
    };
    for seed in seeds {
        if seed > 0 && seed.is_multiple_of(100) {
            println!("up to seed {seed}");
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("failed with seed {seed}; again: LONGWIRE_SEED={seed} cargo test");
            resume_unwind(panic);
        }
    }
}

/// quinn's view of the paused clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimRuntime;

impl Runtime for SimRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(tokio::time::sleep_until(at.into()))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a simulated host has no real sockets"))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Future::poll(self.0.as_mut(), context)
    }
}

/// The wall clock of a simulation: 2030-01-01 plus the virtual time since the network began.
#[derive(Clone, Copy, Debug)]
pub struct SimTime {
    start: tokio::time::Instant,
}

impl SimTime {
    pub(crate) fn since(start: tokio::time::Instant) -> Self {
        Self { start }
    }

    /// Microseconds since 1970 on this clock.
    #[must_use]
    pub fn unix_micros(&self) -> u64 {
        u64::try_from(self.unix().as_micros()).unwrap_or(u64::MAX)
    }

    fn unix(&self) -> Duration {
        Duration::from_secs(1_893_456_000) + self.start.elapsed()
    }
}

impl TimeSource for SimTime {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.unix()
    }
}
