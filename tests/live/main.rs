//! The longwire binary on real sockets: what it survives, what it bounds, how it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod chat;
mod crash;
mod drain;
mod limits;
mod secrets;
mod strain;
