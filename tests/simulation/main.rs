//! The real server and real clients on a simulated network, in virtual time.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod closing;
mod conversation;
mod head_of_line;
mod limits;
mod logins;
mod order;
mod restart;
mod uplink;
