//! `longwire check-config`

use super::output::say;
use super::{ConfigFile, Failure};
use crate::config::TransportKind;
use crate::features;

/// Check a configuration: syntax, values, certificates and keys, feature settings.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.file.load()?;
    features::registry(&config)?;
    for host in &config.hosts {
        let certificate =
            if host.identity.is_some() { "certificate and key fit" } else { "no TLS" };
        say(format_args!("host      {}: {certificate}", host.name));
    }
    for listener in &config.listeners {
        let what = match listener.transport {
            TransportKind::Quic => "quic (UDP)",
            TransportKind::StartTls if listener.plaintext => "tcp, TLS optional",
            TransportKind::StartTls => "tcp, STARTTLS required",
            TransportKind::Tls => "tcp, TLS from the first byte",
        };
        say(format_args!("listener  {}: {what}", listener.address));
    }
    say(format_args!("store     {}", config.data.display()));
    say(format_args!("{} is in order", args.file.config.display()));
    Ok(())
}
