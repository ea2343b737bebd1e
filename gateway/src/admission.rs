//! Who may connect: bounds per address, for strangers, and in all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;

/// Counts connections. One for all listeners of a server.
///
/// A lock rather than a task: each operation is a few additions, and a permit must give its
/// place back when it is dropped, where nothing can be awaited.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections: usize,
    connections_per_address: usize,
    unauthenticated: usize,
    unauthenticated_per_address: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    /// One entry per connected network, so at most as many as connections.
    by_network: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    connections: usize,
    unauthenticated: usize,
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The server carries as many connections as it may.
    #[error("too many connections")]
    Connections,
    /// The address has as many connections as it may.
    #[error("too many connections from this address")]
    ConnectionsOfAddress,
    /// Too many connections have not authenticated yet.
    #[error("too many unauthenticated connections")]
    Unauthenticated,
    /// Too many connections of the address have not authenticated yet.
    #[error("too many unauthenticated connections from this address")]
    UnauthenticatedOfAddress,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let bounds = Bounds {
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            unauthenticated: limits.unauthenticated,
            unauthenticated_per_address: limits.unauthenticated_per_address,
        };
        Arc::new(Self { bounds, counts: Mutex::default() })
    }

    /// A place for a new, unauthenticated connection.
    pub(crate) fn enter(self: &Arc<Self>, from: SocketAddr) -> Result<Permit, Full> {
        let network = network(from.ip());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_network.get(&network).copied().unwrap_or_default();
        let bounds = self.bounds;
        if counts.all.connections >= bounds.connections {
            return Err(Full::Connections);
        }
        if here.connections >= bounds.connections_per_address {
            return Err(Full::ConnectionsOfAddress);
        }
        if counts.all.unauthenticated >= bounds.unauthenticated {
            return Err(Full::Unauthenticated);
        }
        if here.unauthenticated >= bounds.unauthenticated_per_address {
            return Err(Full::UnauthenticatedOfAddress);
        }
        let here = counts.by_network.entry(network).or_default();
        here.connections += 1;
        here.unauthenticated += 1;
        counts.all.connections += 1;
        counts.all.unauthenticated += 1;
        Ok(Permit { admission: Arc::clone(self), network, authenticated: false })
    }

    /// Whether half of the places that an address has for strangers are taken.
    pub(crate) fn is_crowded(&self, from: SocketAddr) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_network.get(&network(from.ip())).copied().unwrap_or_default();
        here.unauthenticated * 2 >= self.bounds.unauthenticated_per_address
    }

    /// Connections at this moment.
    pub(crate) fn connections(&self) -> usize {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).all.connections
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    network: IpAddr,
    authenticated: bool,
}

impl Permit {
    /// The connection belongs to a known user now.
    pub(crate) fn authenticated(&mut self) {
        if !self.authenticated {
            self.authenticated = true;
            self.change(|count| count.unauthenticated -= 1);
        }
    }

    fn change(&self, change: impl Fn(&mut Count)) {
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts.all);
        if let Some(here) = counts.by_network.get_mut(&self.network) {
            change(here);
            if here.connections == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let unauthenticated = usize::from(!self.authenticated);
        self.change(|count| {
            count.connections -= 1;
            count.unauthenticated -= unauthenticated;
        });
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64, which is what one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 6,
            connections_per_address: 4,
            unauthenticated: 3,
            unauthenticated_per_address: 2,
            ..Limits::default()
        }
    }

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_of_one_address_meet_their_bound_and_known_users_do_not_count() {
        let admission = Admission::new(&limits());
        let here = from("192.0.2.1:1000");
        let mut first = admission.enter(here).unwrap();
        let _second = admission.enter(here).unwrap();
        assert_eq!(admission.enter(here).unwrap_err(), Full::UnauthenticatedOfAddress);
        first.authenticated();
        first.authenticated();
        let _third = admission.enter(here).unwrap();
        assert_eq!(admission.enter(here).unwrap_err(), Full::UnauthenticatedOfAddress);
    }

    #[test]
    fn all_strangers_together_meet_their_bound() {
        let admission = Admission::new(&limits());
        let places: Vec<_> = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]
            .map(|address| admission.enter(from(address)).unwrap())
            .into();
        assert_eq!(admission.enter(from("192.0.2.4:1")).unwrap_err(), Full::Unauthenticated);
        drop(places);
        assert!(admission.enter(from("192.0.2.4:1")).is_ok());
    }

    #[test]
    fn the_connections_of_one_address_and_of_all_have_bounds() {
        let admission = Admission::new(&limits());
        let known = |address: &str| {
            let mut place = admission.enter(from(address))?;
            place.authenticated();
            Ok::<_, Full>(place)
        };
        let mut places: Vec<_> = (0..4).map(|_| known("[2001:db8::1]:1").unwrap()).collect();
        assert_eq!(known("[2001:db8::ffff]:1").unwrap_err(), Full::ConnectionsOfAddress);
        places.push(known("[2001:db8:0:1::1]:1").unwrap());
        places.push(known("192.0.2.1:1").unwrap());
        assert_eq!(known("192.0.2.2:1").unwrap_err(), Full::Connections);
        places.pop();
        assert!(known("192.0.2.2:1").is_ok());
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let admission = Admission::new(&limits());
        let mut place = admission.enter(from("192.0.2.1:1")).unwrap();
        place.authenticated();
        drop(place);
        drop(admission.enter(from("192.0.2.2:1")).unwrap());
        let counts = admission.counts.lock().unwrap();
        assert_eq!(counts.all, Count::default());
        assert!(counts.by_network.is_empty());
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_same_address() {
        assert_eq!(
            network("::ffff:192.0.2.1".parse().unwrap()),
            network("192.0.2.1".parse().unwrap())
        );
    }
}
