//! Ports that belong to one site as long as it lives, however many tests run at once.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::Context;

/// Ports below those that systems hand out for outgoing connections (Linux: from 32768), so that
/// a port stays free while its server is down.
const FIRST: u16 = 12_000;

/// Blocks of ports that are tried.
const BLOCKS: u16 = 2_000;

/// Ports of a block: one that says that the block is taken, and those of the listeners.
const BLOCK: u16 = 5;

/// The addresses of a site's listeners, all on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// QUIC.
    pub quic: u16,
    /// TCP, STARTTLS required.
    pub starttls: u16,
    /// TCP, TLS from the first byte.
    pub tls: u16,
    /// TCP, plain text allowed.
    pub plain: u16,
}

/// A block of ports, and the socket that keeps others away from it.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) ports: Ports,
    _guard: TcpListener,
}

/// A block that nobody has.
pub(super) fn reserve() -> anyhow::Result<Reserved> {
    // Processes begin their search at different places; what decides is who gets the guard.
    let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or_default();
    let blocks = (0..BLOCKS).map(|i| FIRST + (start + i) % BLOCKS * BLOCK);
    blocks.filter_map(take).next().context("no five ports in a row are free")
}

fn take(first: u16) -> Option<Reserved> {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let guard = listen(first)?;
    let ports = Ports { quic: first + 1, starttls: first + 2, tls: first + 3, plain: first + 4 };
    UdpSocket::bind((Ipv4Addr::LOCALHOST, ports.quic)).ok()?;
    for port in [ports.starttls, ports.tls, ports.plain] {
        listen(port)?;
    }
    Some(Reserved { ports, _guard: guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_is_given_twice() {
        let (one, other) = (reserve().unwrap(), reserve().unwrap());
        assert!(one.ports.quic.abs_diff(other.ports.quic) >= BLOCK);
        let first = one.ports.quic - 1;
        assert!(take(first).is_none());
        drop(one);
        assert!(take(first).is_some());
    }
}
