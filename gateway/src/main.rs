//! The `longwire` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    longwire_gateway::cli::main()
}
