//! The rig of the whole-server tests: a network in virtual time, hostile peers, other programs.

pub mod audit;
pub mod hostile;
pub mod limits;
pub mod process;
pub mod sim;
pub mod world;
