//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, Report, SourceSpan};
use thiserror::Error;

/// A configuration that cannot be used.
///
/// `Display` gives one line per problem (`file:line:column: field: what (what to do)`); the
/// `miette` report also shows the lines themselves.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(help("write one with `longwire init`, or name another with --config FILE"))]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The file was read and something in it is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Invalid(Box<Invalid>),
}

/// Everything that is wrong in one configuration file.
#[derive(Debug, Error, Diagnostic)]
#[error("{}", Lines(.problems))]
pub struct Invalid {
    #[source_code]
    source_code: NamedSource<String>,
    #[related]
    problems: Vec<Problem>,
}

impl Invalid {
    /// The problems, in the order of the file's checks.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl ConfigError {
    /// The report for somebody who reads it: a headline, and then every problem once, with the
    /// lines of the file that it is about.
    pub(crate) fn into_report(self) -> Report {
        match self {
            Self::Invalid(invalid) => {
                let Invalid { source_code, problems } = *invalid;
                let file = source_code.name().to_owned();
                Report::new(Headline { file, source_code, problems })
            }
            error @ Self::Read { .. } => Report::new(error),
        }
    }
}

/// What is above the problems of a file.
#[derive(Debug, Error, Diagnostic)]
#[error("{file} has {}", match problems.len() { 1 => "a problem".to_owned(), n => format!("{n} problems") })]
struct Headline {
    file: String,
    #[source_code]
    source_code: NamedSource<String>,
    #[related]
    problems: Vec<Problem>,
}

/// One thing that is wrong, with its place and its remedy.
#[derive(Clone, Debug, Error, Diagnostic)]
#[error("{file}:{line}:{column}: {field}{}{message}", if field.is_empty() { "" } else { ": " })]
pub struct Problem {
    file: String,
    line: usize,
    column: usize,
    field: String,
    message: String,
    #[label("here")]
    span: SourceSpan,
    #[help]
    advice: Option<String>,
}

impl Problem {
    /// What to do about it, when that can be said.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
            if let Some(advice) = &problem.advice {
                write!(f, " ({advice})")?;
            }
        }
        Ok(())
    }
}

/// A configuration text with its name: turns places into lines, columns and fields.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self { name: path.display().to_string(), text: text.to_owned() }
    }

    /// Describes a problem at a place of the text.
    pub(crate) fn problem(&self, at: Range<usize>, message: impl Into<String>) -> Problem {
        let start = at.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Problem {
            file: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            field: self.field(line_start, start),
            message: message.into(),
            span: (start, at.end.saturating_sub(start)).into(),
            advice: None,
        }
    }

    /// The place of `[table]`, or of `key` inside it, found by reading the text again.
    pub(crate) fn locate(&self, table: &str, key: Option<&str>) -> Range<usize> {
        let mut offset = 0;
        let mut inside = false;
        let mut found = 0..0;
        for line in self.text.split_inclusive('\n') {
            let code = line.trim();
            if let Some(header) = code.strip_prefix('[') {
                inside = header.trim_start_matches('[').split(']').next() == Some(table);
                if inside {
                    found = offset..offset + code.len();
                }
            } else if inside && key.is_some() && code.split('=').next().map(str::trim) == key {
                return offset..offset + code.len();
            }
            offset += line.len();
        }
        found
    }

    /// The dotted name of the field on the line: its table's header and its key.
    fn field(&self, line_start: usize, at: usize) -> String {
        let line = self.text.get(line_start..).and_then(|rest| rest.lines().next());
        let line = line.unwrap_or_default();
        let header = |line: &str| {
            let inner = line.trim().strip_prefix('[')?.trim_start_matches('[');
            inner.split(']').next().map(str::to_owned)
        };
        if let Some(table) = header(line) {
            return table;
        }
        let before = self.text.get(..line_start).unwrap_or_default();
        let table = before.lines().rev().find_map(header);
        let key = line.split('=').next().map(str::trim).filter(|_| line.contains('='));
        // A value of several lines has its key further up.
        let earlier = || {
            let lines = self.text.get(..at).unwrap_or_default().lines().rev();
            lines.take_while(|l| !l.trim_start().starts_with('[')).find_map(|l| l.split_once('='))
        };
        let key = key.or_else(|| earlier().map(|(key, _)| key.trim())).unwrap_or_default();
        match table {
            Some(table) if key.is_empty() => table,
            Some(table) => format!("{table}.{key}"),
            None => key.to_owned(),
        }
    }

    pub(crate) fn reject(&self, problems: Vec<Problem>) -> ConfigError {
        let source_code = NamedSource::new(&self.name, self.text.clone()).with_language("TOML");
        ConfigError::Invalid(Box::new(Invalid { source_code, problems }))
    }
}

impl Problem {
    /// Adds what to do.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
