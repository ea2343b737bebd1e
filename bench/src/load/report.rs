//! The result: as a table for people, as JSON for programs.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::{Loops, Transport};
use super::idle::Idle;
use super::probe::Usage;
use super::procfs::Machine;

/// Everything that was found out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// `release` or `debug`, of the load generator.
    pub(crate) profile: &'static str,
    /// What the server program says of itself.
    pub(crate) server: String,
    pub(crate) machine: Machine,
    pub(crate) loops: Option<Loops>,
    pub(crate) runs: Vec<Run>,
    pub(crate) notes: Vec<String>,
}

/// One transport.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) transport: Transport,
    pub(crate) closed: Option<Passed>,
    pub(crate) open: Option<Passed>,
    pub(crate) idle: Option<Idle>,
}

impl Run {
    /// Whether the server's process could be looked at.
    fn knows_server(&self) -> bool {
        let passed = [&self.closed, &self.open].into_iter().flatten();
        let is_seen = passed.into_iter().all(|passed| passed.usage.server_cores.is_some());
        let is_weighed = |idle: &Idle| idle.points.iter().all(|(_, bytes)| bytes.is_some());
        is_seen && self.idle.as_ref().is_none_or(is_weighed)
    }
}

/// What became of the messages of one loop.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Passed {
    /// Messages per second that were due; open loop only.
    pub(crate) offered_per_second: Option<f64>,
    /// Messages that arrived in the measured time.
    pub(crate) messages: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) server_cpu_us_per_message: Option<f64>,
    pub(crate) server_resident_bytes: Option<u64>,
    pub(crate) usage: Usage,
    /// Neither arrived nor came back within five seconds after the end.
    pub(crate) lost: u64,
    /// Came back with an error.
    pub(crate) refused: u64,
    /// Arrived after a later one of the same pair, or twice.
    pub(crate) disordered: u64,
}

/// Delays from when a message was due to when the receiver had it, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    /// From microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1e3,
        }
    }
}

impl Report {
    /// Says what a reader has to know to judge the figures.
    pub(crate) fn add_notes(&mut self) {
        let cores = self.machine.cores;
        let is_known = self.runs.iter().all(Run::knows_server);
        let mut notes = vec![if is_known {
            format!(
                "Load generator and server share {cores} cores: a server alone carries more than \
                 this. CPU/message falls with the load, as what has come meanwhile is handled \
                 together."
            )
        } else {
            format!(
                "The server's processor time and memory are not known (--pid); this load generator \
                 has {cores} cores, and may be what is slow."
            )
        }];
        if self.profile != "release" {
            notes.push("This is a debug build: its figures mean nothing.".to_owned());
        }
        for run in &self.runs {
            let name = run.transport.name();
            for (what, passed) in [("closed loop", &run.closed), ("open loop", &run.open)] {
                let Some(passed) = passed else { continue };
                notes.extend(passed.notes().into_iter().map(|it| format!("{name}, {what}: {it}")));
            }
        }
        self.notes = notes;
    }

    /// The tables.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let Machine { cores, processor, kernel, load_before } = &self.machine;
        let load = load_before.map_or("-".to_owned(), |load| format!("{load:.2}"));
        let (version, profile) = (self.version, self.profile);
        let _ = writeln!(text, "longwire-bench {version} ({profile}), server: {}", self.server);
        let _ = writeln!(text, "{cores} cores, {processor}, {kernel}, load before: {load}\n");
        if let Some(loops) = &self.loops {
            self.write_loops(&mut text, loops);
        }
        self.write_idle(&mut text);
        for note in &self.notes {
            let _ = writeln!(text, "* {note}");
        }
        text
    }

    fn write_loops(&self, text: &mut String, loops: &Loops) {
        let Loops { pairs, window, bytes, seconds, .. } = loops;
        let closed = self.runs.iter().filter_map(|run| Some((run.transport, run.closed.as_ref()?)));
        let _ = writeln!(
            text,
            "Closed loop: {pairs} pairs, {window} messages of {bytes} bytes on their way in each, \
             {seconds} s"
        );
        table(text, &PASSED, closed.map(|(transport, passed)| passed.row(transport)).collect());
        let open: Vec<_> = self
            .runs
            .iter()
            .filter_map(|run| {
                let passed = run.open.as_ref()?;
                let mut row = passed.row(run.transport);
                row.insert(1, grouped(passed.offered_per_second.unwrap_or_default()));
                Some(row)
            })
            .collect();
        if !open.is_empty() {
            let _ = writeln!(
                text,
                "Open loop: {pairs} pairs, messages of {bytes} bytes when they are due, {seconds} s"
            );
            let mut head = PASSED.to_vec();
            head.insert(1, "due/s");
            table(text, &head, open);
        }
    }

    fn write_idle(&self, text: &mut String) {
        let idle: Vec<_> =
            self.runs.iter().filter_map(|run| Some((run.transport, run.idle.as_ref()?))).collect();
        if idle.is_empty() {
            return;
        }
        let _ = writeln!(text, "Idle connections (available, empty roster) and logins");
        let head = [
            "",
            "connections: server RSS",
            "per connection",
            "logins/s",
            "p50",
            "p99",
            "CPU/login",
        ];
        let rows = idle.into_iter().map(|(transport, idle)| {
            let points = idle.points.iter().map(|(connections, bytes)| {
                format!("{}: {}", grouped(*connections as f64), mebibytes(*bytes))
            });
            vec![
                transport.name().to_owned(),
                points.collect::<Vec<_>>().join(", "),
                or_dash(idle.bytes_per_connection, |bytes| format!("{:.1} KiB", bytes / 1024.0)),
                grouped(idle.logins_per_second),
                millis(idle.login_p50_ms),
                millis(idle.login_p99_ms),
                or_dash(idle.server_cpu_us_per_login, |us| format!("{} us", grouped(us))),
            ]
        });
        table(text, &head, rows.collect());
    }
}

const PASSED: [&str; 10] = [
    "",
    "messages/s",
    "CPU/message",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "max",
    "server RSS",
    "cores: server + generator + others",
];

impl Passed {
    fn row(&self, transport: Transport) -> Vec<String> {
        let Latency { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self.latency;
        let usage = &self.usage;
        let cores = [usage.server_cores, usage.generator_cores, usage.other_cores];
        let cores = cores.map(|cores| or_dash(cores, |cores| format!("{cores:.2}")));
        let mut row = vec![
            transport.name().to_owned(),
            grouped(self.messages_per_second),
            or_dash(self.server_cpu_us_per_message, |us| format!("{us:.1} us")),
        ];
        row.extend([p50_ms, p90_ms, p99_ms, p999_ms, max_ms].map(millis));
        row.push(mebibytes(self.server_resident_bytes));
        row.push(cores.join(" + "));
        row
    }

    /// What is not as it should be.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{} {what}", grouped(count as f64)));
            }
        };
        say(self.lost, "messages were LOST");
        say(self.disordered, "messages arrived OUT OF ORDER or twice");
        say(self.refused, "messages came back with an error: the receiver's queue was full");
        say(
            self.usage.udp_overruns.unwrap_or_default(),
            "UDP packets were thrown away because a receiver on this machine was too slow",
        );
        // Without the server's own figure it is one of the others.
        if self.usage.server_cores.is_some()
            && let Some(other) = self.usage.other_cores.filter(|cores| *cores > 0.2)
        {
            notes.push(format!("others used {other:.2} cores meanwhile: measure again in peace"));
        }
        if let Some(offered) = self.offered_per_second
            && self.messages_per_second < offered * 0.98
        {
            notes.push("not all that was due arrived in time: this is more than it carries".into());
        }
        notes
    }
}

/// Writes a table: the first column to the left, the others to the right.
fn table(text: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let all: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    for row in &all {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text.push('\n');
}

fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

fn millis(ms: f64) -> String {
    format!("{ms:.2} ms")
}

fn mebibytes(bytes: Option<u64>) -> String {
    or_dash(bytes, |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0))
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1e6, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let mut text = String::new();
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        table(&mut text, &["", "msg/s"], vec![row("tls", "7"), row("starttls", "12,345")]);
        assert_eq!(text, "             msg/s\n  tls            7\n  starttls  12,345\n\n");
    }

    #[test]
    fn what_went_wrong_is_said() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record(1_500).unwrap();
        let usage = Usage {
            seconds: 1.0,
            server_cores: Some(0.5),
            generator_cores: Some(0.5),
            other_cores: Some(0.1),
            udp_overruns: Some(0),
        };
        let mut passed = Passed {
            offered_per_second: Some(100.0),
            messages: 100,
            messages_per_second: 100.0,
            latency: Latency::of(&latency),
            server_cpu_us_per_message: usage.server_micros_per(100),
            server_resident_bytes: None,
            usage,
            lost: 0,
            refused: 0,
            disordered: 0,
        };
        assert_eq!(passed.notes(), Vec::<String>::new());
        assert_eq!(passed.server_cpu_us_per_message, Some(5_000.0));
        passed.lost = 3;
        passed.messages_per_second = 90.0;
        passed.usage.other_cores = Some(0.9);
        let notes = passed.notes().join("\n");
        for part in ["3 messages were LOST", "0.90 cores", "more than it carries"] {
            assert!(notes.contains(part), "{notes}");
        }
    }
}
