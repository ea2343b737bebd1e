//! A program that one talks to through pipes, line by line.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::output::Output;

/// How long a program may take to end.
const END: Duration = Duration::from_secs(60);

/// A running program; killed when it is dropped.
#[derive(Debug)]
pub struct Talker {
    child: Child,
    input: Option<ChildStdin>,
    output: Output,
}

impl Talker {
    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let program = command.get_program().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let output = child.stdout.take().context("standard output")?;
        let input = child.stdin.take();
        Ok(Self { child, input, output: Output::read(output, None) })
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the program reads no more.
    pub fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the input was ended")?;
        writeln!(input, "{line}").context("the program reads no more")
    }

    /// Waits for a line that contains `wanted`; it and all before it are used up.
    ///
    /// # Errors
    /// When the output ends first, or nothing comes for a long time; the text has all lines.
    pub fn until(&self, wanted: &str) -> anyhow::Result<String> {
        self.output.until(wanted)
    }

    /// Ends the input and waits for the program to end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn finish(&mut self) -> anyhow::Result<ExitStatus> {
        self.input = None;
        if !self.output.ended_within(END) {
            bail!("the program does not end:\n{}", self.output.text());
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a program said:\n{}", self.output.text());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
