//! The rig of the whole-server tests: a network in virtual time, hostile peers, other programs.
//!
//! | target | what it proves |
//! |---|---|
//! | `network` | the simulated network itself, with bare quinn |
//! | `simulation` | server and clients in virtual time: loss, order, outages, rates, repetition |
//! | `hostile` | every hostile input through every entrance of the binary |
//! | `live` | the binary on real sockets: limits, `kill -9`, drain, `chat` and `send` |
//! | `interop` | stock clients against the binary |
//!
//! Environment: `LONGWIRE_BIN` names a binary instead of building one; `LONGWIRE_SEED` runs one
//! seed, `LONGWIRE_SEEDS` that many. Long tests tell how far they are with `--nocapture`.

pub mod audit;
pub mod hostile;
pub mod limits;
pub mod process;
pub mod sim;
pub mod world;
