//! Which certificate answers which name.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::end_point;
use crate::config::Host;

/// The certificates of all hosts, replaced as a whole when they are renewed.
#[derive(Debug, Default)]
pub(crate) struct CertificateTable {
    by_name: HashMap<String, Entry>,
    /// Answers clients that send no SNI, where that is allowed.
    first: Option<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    identity: Arc<CertifiedKey>,
    end_point: Option<Arc<[u8]>>,
}

impl CertificateTable {
    pub(crate) fn new(hosts: &[Host]) -> Self {
        let mut table = Self::default();
        for host in hosts {
            let Some(identity) = host.identity.clone() else { continue };
            let end_point = identity.cert.first().and_then(|leaf| end_point(leaf)).map(Arc::from);
            let entry = Entry { identity, end_point };
            table.first.get_or_insert_with(|| entry.clone());
            // The name on the wire is in A-labels; the host's own name may be in U-labels.
            if let Ok(ascii) = idna::domain_to_ascii(&host.name) {
                table.by_name.insert(ascii, entry.clone());
            }
            table.by_name.insert(host.name.clone(), entry);
        }
        table
    }

    fn entry(&self, name: Option<&str>, missing: Missing) -> Option<&Entry> {
        match (name, missing) {
            (Some(name), _) => self.by_name.get(&name.to_ascii_lowercase()),
            (None, Missing::FirstHost) => self.first.as_ref(),
            (None, Missing::Refuse) => None,
        }
    }

    /// The `tls-server-end-point` value of the certificate that answered `name`.
    pub(crate) fn end_point(&self, name: Option<&str>, missing: Missing) -> Option<Vec<u8>> {
        self.entry(name, missing)?.end_point.as_deref().map(<[u8]>::to_vec)
    }
}

/// What to do with a client that names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Answer with the first host's certificate: old TCP clients send no SNI.
    FirstHost,
    /// End the handshake.
    Refuse,
}

/// Chooses by SNI; an unknown name ends the handshake.
#[derive(Debug)]
pub(crate) struct Resolver {
    table: Arc<ArcSwap<CertificateTable>>,
    missing: Missing,
}

impl Resolver {
    pub(crate) const fn new(table: Arc<ArcSwap<CertificateTable>>, missing: Missing) -> Self {
        Self { table, missing }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        Some(table.entry(hello.server_name(), self.missing)?.identity.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::self_signed;

    fn host(name: &str) -> Host {
        let (identity, _) = self_signed(&[name]).unwrap();
        Host { name: name.to_owned(), identity: Some(Arc::new(identity)) }
    }

    #[test]
    fn a_known_name_is_answered_with_its_own_certificate() {
        let hosts = [host("a.example"), host("b.example")];
        let table = CertificateTable::new(&hosts);
        let b = table.entry(Some("B.Example"), Missing::Refuse).unwrap();
        assert!(Arc::ptr_eq(&b.identity, hosts[1].identity.as_ref().unwrap()));
    }

    #[test]
    fn an_unknown_name_is_refused_and_a_missing_one_gets_the_first_host_on_tcp() {
        let hosts = [host("a.example"), host("b.example")];
        let table = CertificateTable::new(&hosts);
        assert!(table.entry(Some("c.example"), Missing::FirstHost).is_none());
        assert!(table.entry(None, Missing::Refuse).is_none());
        let first = table.entry(None, Missing::FirstHost).unwrap();
        assert!(Arc::ptr_eq(&first.identity, hosts[0].identity.as_ref().unwrap()));
    }
}
