//! Both machines against each other, and the server against everybody else.

mod client;
mod flows;
mod headers;
mod hostile;
mod matrix;
mod pair;
mod raw;

use std::sync::Arc;

use longwire_stanza::BareJid;

use super::*;
use crate::sasl::{Hash, Secret, StoredCredential, TlsInfo};

const HOST: &str = "a.example";
const PASSWORD: &str = "pencil";
/// The smallest count that clients accept.
const ITERATIONS: u32 = 4096;

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn server_config() -> ServerConfig {
    let mut config = ServerConfig::new(vec![jid(HOST), jid("b.example")], [7; 32]);
    config.iterations = ITERATIONS;
    config
}

fn tls() -> TlsInfo {
    TlsInfo { exporter: Some([1; 32]), end_point: Some(vec![2; 32]), version13: true }
}

fn quic() -> Security {
    Security::encrypted(Transport::Quic, tls())
}

fn loopback() -> Security {
    Security { loopback_plaintext: true, ..Security::plaintext() }
}

fn stored(hash: Hash) -> StoredCredential {
    StoredCredential::derive(hash, &Secret::new(PASSWORD), b"salt of sixteen.", ITERATIONS).unwrap()
}

/// Bytes that are never the same twice and the same in every run.
fn counting(seed: u8) -> RandomSource {
    let mut next = u64::from(seed) << 32;
    Box::new(move |bytes| {
        next += 1;
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (next >> (8 * (at % 8))) as u8;
        }
    })
}
