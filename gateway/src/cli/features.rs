//! `longwire features`

use super::Failure;
use super::output::say;
use crate::features;

/// List the features of this server, the specifications and their versions.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON: name, XEPs with versions, RFCs, disco features, tables
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let registry = features::default_registry()?;
    if args.json {
        let json = serde_json::to_string_pretty(registry.features()).map_err(Failure::failed)?;
        say(json);
        return Ok(());
    }
    for feature in registry.features() {
        let xeps = feature.xeps.iter().map(|xep| format!("XEP-{:04} {}", xep.number, xep.version));
        let rfcs = feature.rfcs.iter().map(|rfc| format!("RFC {rfc}"));
        let all: Vec<String> = rfcs.chain(xeps).collect();
        say(format_args!("{:<16} {}", feature.name, all.join(", ")));
    }
    Ok(())
}
