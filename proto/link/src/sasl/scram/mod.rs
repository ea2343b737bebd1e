//! SCRAM (RFC 5802, RFC 7677), both ends, with channel binding and XEP-0474.

mod client;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientBinding, ScramClient};
pub use server::{ScramServer, ServerBinding};
