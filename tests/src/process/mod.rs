//! Real processes: the longwire binary itself, and programs of others that talk to it.
//!
//! [`Program::build`] finds or builds the binary, [`Site`] is a folder with a configuration, a
//! certificate and accounts, [`Server`] is the running process, and [`Venv`] holds pinned Python
//! programs from PyPI.

mod authority;
mod program;
mod site;
mod venv;

pub use self::authority::{Authority, Issued};
pub use self::program::Program;
pub use self::site::{Ports, Server, Site};
pub use self::venv::Venv;
