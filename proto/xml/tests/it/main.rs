//! The promises of longwire-xml, judged by a corpus, by another parser, and by properties.

mod chunks;
mod corpus;
mod differential;
mod limits;
mod oracle;
mod rewrite;
mod roundtrip;
mod smoke;
