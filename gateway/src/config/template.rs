//! `longwire init`: a first configuration, short enough to be read.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why no configuration was written.
#[derive(Debug, Error)]
pub enum InitError {
    /// There is a file already; it was left alone.
    #[error("{} exists and was not changed; remove it first or choose another name", .0.display())]
    Exists(PathBuf),
    /// The file could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
}

/// Writes a commented configuration of at most 30 lines for `host` to a new file.
///
/// # Errors
/// When the file exists (it is never overwritten) or cannot be written.
pub fn write_template(path: &Path, host: &str) -> Result<(), InitError> {
    let failed = |reason: io::Error| match reason.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write { path: path.to_owned(), reason },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(template(host).as_bytes()).map_err(failed)
}

fn template(host: &str) -> String {
    format!(
        r#"# longwire configuration. Check it with `longwire check-config`, start with `longwire serve`.
# Paths are relative to this file's folder. Values have units: "30s", "10m", "256KiB", "64kB/s".

[[host]]                         # one table for each domain that is served
name = "{host}"
certificate = "{host}.crt"       # PEM, the whole chain, the host's own certificate first
key = "{host}.key"               # PEM, readable by this server only

[[listener]]                     # XMPP over QUIC (UDP), one stream per conversation
transport = "quic"
address = "[::]:443"
profile = "broadband"            # or "satellite" (delay, loss), "narrowband" (every byte counts)

[[listener]]                     # ordinary XMPP clients (TCP, then TLS)
transport = "starttls"
address = "[::]:5222"

[[listener]]                     # ordinary XMPP clients (TLS from the first byte)
transport = "tls"
address = "[::]:5223"

[store]
path = "longwire-data"           # accounts, rosters, keys; back it up, keep it private

[limits]
account_rate = "64kB/s"          # more is slowed down, never dropped
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_short_enough_to_read() {
        assert!(template("example.org").lines().count() <= 30);
    }
}
