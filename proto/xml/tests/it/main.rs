//! The promises of longwire-xml, judged by a corpus, by another parser, and by properties.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod chunks;
mod corpus;
mod differential;
mod limits;
mod oracle;
mod rewrite;
mod roundtrip;
mod smoke;
