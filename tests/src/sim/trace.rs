//! What a run did, as one number and, when asked for, as a list.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use super::path::Fate;

/// A 64-bit FNV-1a hash over everything that the network decided, in order.
///
/// Times, addresses, sizes and fates go in; contents do not, because TLS keys differ in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHash(u64);

impl Default for TraceHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TraceHash {
    /// The hash so far.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn mix(&mut self, event: &impl Hash) {
        event.hash(self);
    }
}

impl Hasher for TraceHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// One datagram as the network saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// When it was sent, from the start of the network.
    pub at: Duration,
    /// The sender's socket address (before address translation).
    pub from: SocketAddr,
    /// The receiver's socket address (behind address translation).
    pub to: SocketAddr,
    /// Its number on this path, from 0.
    pub index: u64,
    /// Its payload bytes.
    pub bytes: usize,
    /// What became of it.
    pub fate: Fate,
}
