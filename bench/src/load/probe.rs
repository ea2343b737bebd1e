//! Who used the processors while something was measured.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::procfs;

/// Looks at the counters of the server, of this process, and of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// The server's process, when it is on this machine.
    pub(crate) server: Option<u32>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    server: Option<Duration>,
    generator: Option<Duration>,
    all: Option<Duration>,
    udp_overruns: Option<u64>,
}

/// What happened between two samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Cores that the server kept busy; 1.5 is one and a half.
    pub(crate) server_cores: Option<f64>,
    /// Cores that this process kept busy.
    pub(crate) generator_cores: Option<f64>,
    /// Cores that all others on the machine kept busy, the kernel's own work included.
    pub(crate) other_cores: Option<f64>,
    /// UDP packets that the machine threw away because a receiver was too slow.
    pub(crate) udp_overruns: Option<u64>,
}

impl Probe {
    pub(crate) fn sample(self) -> Sample {
        Sample {
            at: Instant::now(),
            server: self.server.and_then(procfs::cpu_time),
            generator: procfs::cpu_time(std::process::id()),
            all: procfs::busy_time(),
            udp_overruns: procfs::udp_overruns(),
        }
    }

    /// The server's resident memory in bytes.
    pub(crate) fn resident(self) -> Option<u64> {
        self.server.and_then(procfs::resident)
    }
}

impl Usage {
    pub(crate) fn between(before: Sample, after: Sample) -> Self {
        let seconds = (after.at - before.at).as_secs_f64();
        let cores = |before: Option<Duration>, after: Option<Duration>| {
            Some(after?.saturating_sub(before?).as_secs_f64() / seconds.max(0.001))
        };
        let server_cores = cores(before.server, after.server);
        let generator_cores = cores(before.generator, after.generator);
        let all = cores(before.all, after.all);
        let ours = generator_cores.unwrap_or_default() + server_cores.unwrap_or_default();
        let overruns = after.udp_overruns.zip(before.udp_overruns);
        Self {
            seconds,
            server_cores,
            generator_cores,
            other_cores: all.map(|all| (all - ours).max(0.0)),
            udp_overruns: overruns.map(|(after, before)| after.saturating_sub(before)),
        }
    }

    /// Microseconds of the server's processor time for each of `count` things.
    pub(crate) fn server_micros_per(&self, count: u64) -> Option<f64> {
        let micros = self.server_cores? * self.seconds * 1e6;
        (count > 0).then(|| micros / count as f64)
    }
}
