//! The lines that a process writes, and waiting for one of them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;

use crate::limits;

/// How long a line that should come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of one output; clones are the same output.
#[derive(Clone, Debug)]
pub(super) struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Lines that nobody has waited past yet.
    fresh: VecDeque<String>,
    /// The latest of those that somebody has.
    past: VecDeque<String>,
    ended: bool,
}

impl Output {
    /// Reads until the end, in a thread of its own; `copy` gets everything.
    pub(super) fn read(from: impl Read + Send + 'static, mut copy: Option<File>) -> Self {
        let output = Self { shared: Arc::default() };
        let shared = Arc::clone(&output.shared);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if let Some(copy) = &mut copy {
                    // The copy is for people; the test does not need it.
                    let _ = copy.write_all(&line);
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                shared.change(|state| {
                    state.fresh.push_back(text);
                    if state.fresh.len() > limits::OUTPUT_LINES {
                        state.fresh.pop_front();
                    }
                });
            }
            shared.change(|state| state.ended = true);
        });
        output
    }

    /// Waits for a line that contains `wanted`; it and all before it are used up.
    ///
    /// # Errors
    /// When the output ends first, or nothing comes for a long time; the text has all lines.
    pub(super) fn until(&self, wanted: &str) -> anyhow::Result<String> {
        let mut state = self.shared.lock();
        loop {
            while let Some(line) = state.fresh.pop_front() {
                let found = line.contains(wanted).then(|| line.clone());
                state.pass(line);
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            if state.ended {
                bail!("the output ended before {wanted:?}:\n{}", state.text());
            }
            let waited = self.shared.changed.wait_timeout(state, PATIENCE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.fresh.is_empty() {
                bail!("no {wanted:?} in the output:\n{}", state.text());
            }
        }
    }

    /// Waits for the end; false when it does not come in time.
    pub(super) fn ended_within(&self, patience: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, patience, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The latest lines.
    pub(super) fn text(&self) -> String {
        self.shared.lock().text()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl State {
    fn pass(&mut self, line: String) {
        self.past.push_back(line);
        if self.past.len() > limits::OUTPUT_LINES {
            self.past.pop_front();
        }
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.past.iter().chain(&self.fresh).map(String::as_str).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_order_and_once() {
        let output = Output::read(&b"one\ntwo\nthree\ntwo again\nfour"[..], None);
        assert_eq!(output.until("two").unwrap(), "two");
        assert_eq!(output.until("two").unwrap(), "two again");
        let error = output.until("one").unwrap_err().to_string();
        assert!(error.contains("one\ntwo\nthree\ntwo again\nfour"), "{error}");
        assert!(output.ended_within(Duration::ZERO));
    }

    #[test]
    fn old_lines_are_forgotten() {
        let bound = limits::OUTPUT_LINES;
        for (lines, kept) in [(bound - 1, bound - 1), (bound, bound), (bound + 1, bound)] {
            let text: String = (0..lines).map(|line| format!("{line}\n")).collect();
            let output = Output::read(std::io::Cursor::new(text), None);
            assert!(output.ended_within(PATIENCE));
            assert_eq!(output.text().lines().count(), kept);
        }
    }
}
