//! `longwire chat`: talk, line by line, at a terminal or in a pipe.

mod backoff;
mod commands;
mod interrupts;
mod line;
mod roll;
mod sent;
pub(super) mod show;
mod talk;

use std::process::ExitCode;

use longwire_stanza::Jid;

use super::session::{Exit, LoginArgs};
use super::{complained, runtime};

/// Options of `longwire chat`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    login: LoginArgs,
    /// Whom to talk to; /to changes it
    peer: Option<Jid>,
    /// End when the connection is lost instead of connecting again
    #[arg(long)]
    no_reconnect: bool,
}

const HELP: &str = "\
Examples:
  longwire chat alice@localhost bob@localhost      with `longwire serve --dev` in this folder
  longwire chat alice@example.org -v               asks for the password; shows the streams
  longwire chat alice@example.org --transport tls --server 192.0.2.1:5223 --ca ca.pem
  echo done | longwire chat ci@example.org admin@example.org --password-file secret

Commands, one on a line: /to JID, /who, /roster, /add JID, /accept JID, /deny JID,
/presence [online|away|xa|dnd] [TEXT], /ping [JID], /help, /quit.

Exit status: 0 ended by you, 2 wrong usage, 3 cannot connect, login failed or connection lost.";

pub(super) fn run(args: Args) -> ExitCode {
    let config = match args.login.resolve() {
        Ok(config) => config,
        Err(error) => return error.complain().into(),
    };
    match runtime() {
        Ok(runtime) => {
            let exit: Exit = runtime.block_on(talk::talk(args, config));
            exit.into()
        }
        Err(failure) => complained(&failure),
    }
}
