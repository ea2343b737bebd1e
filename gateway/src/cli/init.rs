//! `longwire init`

use std::path::PathBuf;

use super::Failure;
use super::output::say;
use crate::config::write_template;

/// Write a commented configuration of at most 30 lines. A file that exists is left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  longwire init --host example.org && longwire check-config")]
pub(super) struct Args {
    /// The domain that the server is for
    #[arg(long, default_value = "example.org", value_name = "DOMAIN")]
    host: String,
    /// File to write
    #[arg(long, short, value_name = "FILE", default_value = "longwire.toml")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    write_template(&args.config, &args.host).map_err(Failure::failed)?;
    say(format_args!("wrote {}", args.config.display()));
    say("next: put the certificate and key in place, then `longwire check-config`");
    Ok(())
}
