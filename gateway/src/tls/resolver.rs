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
    /// Answers clients that name no host of ours, where that is allowed.
    first: Option<Entry>,
    hosts: usize,
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
            table.hosts += 1;
            // The name on the wire is in A-labels; the host's own name may be in U-labels.
            if let Ok(ascii) = idna::domain_to_ascii(&host.name) {
                table.by_name.insert(ascii, entry.clone());
            }
            table.by_name.insert(host.name.clone(), entry);
        }
        table
    }

    fn entry(&self, name: Option<&str>, missing: Missing) -> Option<&Entry> {
        let named = name.map(|name| self.by_name.get(&name.to_ascii_lowercase()));
        match (named, missing) {
            (Some(Some(entry)), _) => Some(entry),
            (_, Missing::FirstHost) | (None, Missing::FirstUnnamed) => self.first.as_ref(),
            (None, Missing::OnlyUnnamed) if self.hosts == 1 => self.first.as_ref(),
            (_, Missing::FirstUnnamed | Missing::OnlyUnnamed) => None,
        }
    }

    /// The `tls-server-end-point` value of the certificate that answered `name`.
    pub(crate) fn end_point(&self, name: Option<&str>, missing: Missing) -> Option<Vec<u8>> {
        self.entry(name, missing)?.end_point.as_deref().map(<[u8]>::to_vec)
    }
}

/// What to do with a client that names no host of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Answer with the first host's certificate. With STARTTLS the stream header has said which
    /// host is meant; clients name it in SNI, or the machine that they connect to, or nothing.
    FirstHost,
    /// The same for clients that send no SNI; another name ends the handshake (XEP-0368 §3).
    FirstUnnamed,
    /// End the handshake, as XEP-0467 wants the name; but a client that connects to an address
    /// names nothing, and where there is only one host it cannot mean another.
    OnlyUnnamed,
}

/// Chooses by SNI.
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
        let b = table.entry(Some("B.Example"), Missing::OnlyUnnamed).unwrap();
        assert!(Arc::ptr_eq(&b.identity, hosts[1].identity.as_ref().unwrap()));
    }

    #[test]
    fn a_client_that_names_no_host_of_ours_gets_what_its_transport_allows() {
        use Missing::{FirstHost, FirstUnnamed, OnlyUnnamed};
        let hosts = [host("a.example"), host("b.example")];
        let answered = |hosts: &[Host], name, missing| {
            let table = CertificateTable::new(hosts);
            table.entry(name, missing).is_some_and(|entry| {
                assert!(Arc::ptr_eq(&entry.identity, hosts[0].identity.as_ref().unwrap()));
                true
            })
        };
        let other = Some("mail.example");
        for (missing, unnamed, named) in
            [(FirstHost, true, true), (FirstUnnamed, true, false), (OnlyUnnamed, false, false)]
        {
            assert_eq!(answered(&hosts, None, missing), unnamed, "{missing:?}");
            assert_eq!(answered(&hosts, other, missing), named, "{missing:?}");
            assert!(answered(&hosts[..1], None, missing), "{missing:?}");
            assert_eq!(answered(&hosts[..1], other, missing), named, "{missing:?}");
        }
    }
}
