//! The running server process.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::output::Output;

/// What the server says of each listener once it can be reached.
const LISTENING: &str = "listening transport=";

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Output,
    started_in: Duration,
}

impl Server {
    /// Starts the process and waits until it listens everywhere.
    pub(super) fn start(
        mut command: Command,
        log: &Path,
        listeners: usize,
    ) -> anyhow::Result<Self> {
        let copy = File::options().create(true).append(true).open(log)?;
        #[expect(clippy::disallowed_methods, reason = "another process starts in real time")]
        let began = Instant::now();
        // The log must have the lines that are waited for.
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().context("cannot run longwire")?;
        let stderr = child.stderr.take().context("the standard error of longwire")?;
        let output = Output::read(stderr, Some(copy));
        let mut server = Self { child, output, started_in: Duration::ZERO };
        for _ in 0..listeners {
            server.output.until(LISTENING)?;
        }
        server.started_in = began.elapsed();
        Ok(server)
    }

    /// The time from the start of the process until it listened.
    #[must_use]
    pub const fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Kills the process without any chance to clean up, as `kill -9` does.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill longwire")?;
        self.child.wait().context("cannot wait for longwire")?;
        Ok(())
    }

    /// Asks the process to end in good order, as `kill` does.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn terminate(&self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot end longwire")
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// When it does not end in this time; the text has the end of its log.
    pub fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        if !self.output.ended_within(patience) {
            bail!("longwire did not end within {patience:?}:\n{}", self.log_end());
        }
        self.child.wait().context("cannot wait for longwire")
    }

    /// Bytes of memory that the process has in use.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("VmRSS in /proc")?.parse()?;
        Ok(kib * 1024)
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn log_end(&self) -> String {
        self.output.text()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", self.log_end());
        }
        let _ = self.kill();
    }
}
