//! What the kernel says about processes and the machine. Linux only: elsewhere nothing is known.

use std::fs::read_to_string;
use std::time::Duration;

use serde::Serialize;

/// One tick of the counters in `/proc`: USER_HZ is 100 on all machines that we run on.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process has used, in user and in system mode.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    parse_cpu_time(&read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // The program's name may contain anything, also brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

/// Processor time that everybody together has used.
pub(crate) fn busy_time() -> Option<Duration> {
    parse_busy_time(&read_to_string("/proc/stat").ok()?)
}

fn parse_busy_time(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what follows is part of user.
    let busy: u64 = ticks.iter().take(8).sum::<u64>() - ticks.get(3)? - ticks.get(4)?;
    Some(Duration::from_millis(busy * 10))
}

/// Resident memory of a process in bytes.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// How many files this process may have open: the limit in force, and how far it can be raised.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    let limits = read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let number = |word: &str| if word == "unlimited" { Ok(u64::MAX) } else { word.parse() };
    let mut words = line.split_whitespace();
    Some((number(words.next()?).ok()?, number(words.next()?).ok()?))
}

/// UDP packets that the machine has thrown away because a receiver was too slow.
pub(crate) fn udp_overruns() -> Option<u64> {
    parse_udp_overruns(&read_to_string("/proc/net/snmp").ok()?)
}

fn parse_udp_overruns(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let names = lines.next()?.split_whitespace();
    let mut named = names.zip(lines.next()?.split_whitespace());
    named.find(|(name, _)| *name == "RcvbufErrors")?.1.parse().ok()
}

/// The machine that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// Processes that ran or wanted to run in the last minute before the start.
    pub(crate) load_before: Option<f64>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let processors = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let name =
            name.map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':']));
        let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: name.trim().to_owned(),
            kernel: format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned(),
            load_before: load.split_whitespace().next().and_then(|word| word.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_found_behind_any_name() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1 1";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_cpu_time("7 (cut"), None);
    }

    #[test]
    fn waiting_is_not_busy() {
        let stat = "cpu  100 10 200 5000 700 1 2 3 40 0\ncpu0 1 2 3 4\n";
        assert_eq!(parse_busy_time(stat), Some(Duration::from_millis(3160)));
    }

    #[test]
    fn overruns_are_found_by_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams RcvbufErrors\nUdp: 12 34\n";
        assert_eq!(parse_udp_overruns(snmp), Some(34));
    }
}
