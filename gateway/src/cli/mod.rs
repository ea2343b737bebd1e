//! The command line: one file per subcommand, one line here for each.

mod chat;
mod check_config;
mod features;
mod init;
mod input;
mod output;
mod printable;
mod send;
mod serve;
mod session;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use miette::Report;

use crate::config::{Config, ConfigError};

/// The XMPP server for links that lose packets: every conversation on a QUIC stream of its own.
#[derive(Debug, Parser)]
#[command(name = "longwire", version, propagate_version = true, after_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Write a commented configuration to start from.
    Init(init::Args),
    /// Check a configuration and the certificates that it names.
    CheckConfig(check_config::Args),
    /// Create, change, remove and list accounts, also while the server runs.
    User(user::Args),
    /// List what this server can do, with the specifications.
    Features(features::Args),
    /// Talk to people, at a terminal or in a pipe.
    ///
    /// Lines that are typed go to the peer, lines of others are shown. The end of the input ends
    /// the conversation after everything was sent. When the connection is lost, it says so and
    /// connects again; what is typed meanwhile is sent afterwards.
    Chat(chat::Args),
    /// Send a message from a script, and wait until the server has taken it.
    ///
    /// The text comes from --body or from standard input; with --lines every line of the input is
    /// a message of its own, sent as soon as it is there.
    Send(send::Args),
}

const HELP: &str = "\
Try it without any configuration:
  longwire serve --dev

Exit status: 0 success, 1 failure, 2 wrong usage or configuration.";

/// Why a command ends without success.
#[derive(Debug)]
enum Failure {
    /// It was tried and did not work: exit status 1.
    Failed(Report),
    /// The command line or the configuration is wrong: exit status 2.
    Usage(Report),
}

impl Failure {
    fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Report::from_err(error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.into_report())
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
struct ConfigFile {
    /// Configuration file
    #[arg(long, short, value_name = "FILE", default_value = "longwire.toml", global = true)]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config)?)
    }
}

/// Runs the command line of this process and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    // clap itself exits with 2 on wrong usage and with 0 after --help and --version.
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Init(args) => init::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::User(args) => user::run(args),
        Command::Features(args) => features::run(&args),
        // These have exit statuses of their own.
        Command::Chat(args) => return chat::run(args),
        Command::Send(args) => return send::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complained(&failure),
    }
}

/// Says why a command failed, and gives the exit status.
fn complained(failure: &Failure) -> ExitCode {
    let (report, status) = match failure {
        Failure::Failed(report) => (report, 1),
        Failure::Usage(report) => (report, 2),
    };
    output::complain(report);
    ExitCode::from(status)
}

/// A runtime for commands that talk to the store.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
