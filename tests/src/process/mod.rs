//! Real processes: the longwire binary itself, and programs of others that talk to it.
//!
//! [`Program::build`] finds or builds the binary, [`Site`] is a folder with a configuration, a
//! certificate and accounts, [`Server`] is the running process, [`Talker`] a program that one
//! talks to through pipes, and [`Venv`] holds pinned Python programs from PyPI.

mod authority;
mod output;
mod ports;
mod program;
mod server;
mod site;
mod talker;
mod venv;

pub use self::authority::{Authority, Issued};
pub use self::ports::Ports;
pub use self::program::Program;
pub use self::server::Server;
pub use self::site::Site;
pub use self::talker::Talker;
pub use self::venv::Venv;

/// Runs a check against real processes: on several threads, on the real clock.
///
/// # Panics
/// When the system gives no threads.
pub fn in_real_time<F: Future>(check: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads and a selector").block_on(check)
}
