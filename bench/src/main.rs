//! `longwire-bench`: measures a whole longwire server. The micro-benchmarks are in `benches/`.

mod load;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures longwire.
#[derive(Debug, Parser)]
#[command(name = "longwire-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(load::Args),
}

fn main() -> ExitCode {
    let Command::Load(args) = Cli::parse().command;
    match load::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longwire-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
