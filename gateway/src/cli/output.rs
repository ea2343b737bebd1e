//! What commands say. A reader that went away (`longwire features | head`) is no error.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use miette::Report;

/// A line on standard output.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(stdout().lock(), "{line}");
}

/// A line on standard error.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(stderr().lock(), "{line}");
}

/// A report on standard error, with source lines where there are any.
pub(super) fn complain(report: &Report) {
    note(format_args!("{report:?}"));
}
