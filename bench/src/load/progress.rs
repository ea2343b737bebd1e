//! What is being done: a bar on a terminal, a line per step elsewhere. All on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar of one step.
pub(crate) struct Step {
    bar: ProgressBar,
}

impl Step {
    /// Begins a step of `length` parts.
    pub(crate) fn new(what: &str, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        if bar.is_hidden() {
            eprintln!("{what}");
        } else if let Ok(style) = ProgressStyle::with_template("{prefix:32} {wide_bar} {msg:>20}") {
            bar.set_style(style);
            bar.set_prefix(what.to_owned());
        }
        Self { bar }
    }

    /// Begins a step that takes this long.
    pub(crate) fn timed(what: &str, length: Duration) -> Self {
        Self::new(what, millis(length))
    }

    /// So many parts are done.
    pub(crate) fn set(&self, done: u64, note: String) {
        self.bar.set_position(done);
        self.bar.set_message(note);
    }

    /// So much of the time is over.
    pub(crate) fn set_time(&self, done: Duration, note: String) {
        self.set(millis(done), note);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
