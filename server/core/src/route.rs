//! Where a stanza goes: the one place that decides it.

use std::collections::BTreeSet;

use longwire_stanza::{BareJid, Jid};

/// The domains that this server serves.
#[derive(Clone, Debug, Default)]
pub struct Hosts(BTreeSet<Box<str>>);

impl Hosts {
    /// The hosts with these names.
    pub fn new(names: impl IntoIterator<Item = BareJid>) -> Self {
        Self(names.into_iter().map(|name| name.domain().into()).collect())
    }

    /// True when the domain is one of ours.
    pub fn contains(&self, domain: &str) -> bool {
        self.0.contains(domain)
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

/// Where a stanza goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an account here; whether it exists is known when its home is loaded.
    Home(BareJid),
    /// To this server itself.
    Server,
    /// To another server.
    Remote,
}

/// Decides where a stanza with this address goes (RFC 6120 §10.5).
pub fn destination(to: &Jid, hosts: &Hosts) -> Destination {
    if !hosts.contains(to.domain()) {
        Destination::Remote
    } else if to.local().is_some() {
        Destination::Home(to.bare())
    } else {
        Destination::Server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(to: &str) -> Destination {
        let hosts = Hosts::new([BareJid::new("a.example").unwrap()]);
        destination(&Jid::new(to).unwrap(), &hosts)
    }

    #[test]
    fn addresses_are_told_apart_by_domain_and_local_part() {
        let alice = Destination::Home(BareJid::new("alice@a.example").unwrap());
        assert_eq!(go("alice@a.example"), alice);
        assert_eq!(go("alice@a.example/phone"), alice);
        assert_eq!(go("Alice@A.example/phone"), alice);
        assert_eq!(go("a.example"), Destination::Server);
        assert_eq!(go("a.example/x"), Destination::Server);
        assert_eq!(go("alice@b.example"), Destination::Remote);
        assert_eq!(go("sub.a.example"), Destination::Remote);
    }
}
