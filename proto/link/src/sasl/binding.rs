//! Channel binding: what ties an authentication to one TLS connection.

use std::fmt;

/// A channel-binding type that both ends may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingType {
    /// RFC 9266: exported keying material; the strong one.
    TlsExporter,
    /// RFC 5929 §4: the hash of the server's certificate.
    TlsServerEndPoint,
}

impl BindingType {
    /// Every type, strongest first.
    pub const ALL: [Self; 2] = [Self::TlsExporter, Self::TlsServerEndPoint];

    /// The unique prefix in IANA's registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What the transport knows about the TLS connection below a stream.
#[derive(Clone, Default)]
pub struct TlsInfo {
    /// 32 bytes exported with the label of RFC 9266 §2; leave it out on TLS 1.2 without the
    /// extended master secret.
    pub exporter: Option<[u8; 32]>,
    /// The certificate hashed with its signature's hash function (RFC 5929 §4.1).
    pub end_point: Option<Vec<u8>>,
    /// Whether the connection speaks TLS 1.3 or later.
    pub version13: bool,
}

impl TlsInfo {
    /// The binding types for which data is at hand, strongest first.
    pub fn types(&self) -> impl Iterator<Item = BindingType> + '_ {
        BindingType::ALL.into_iter().filter(|kind| self.data(*kind).is_some())
    }

    /// The channel-binding data of one type.
    pub fn data(&self, kind: BindingType) -> Option<&[u8]> {
        match kind {
            BindingType::TlsExporter => self.exporter.as_ref().map(<[u8; 32]>::as_slice),
            BindingType::TlsServerEndPoint => self.end_point.as_deref(),
        }
    }
}

/// Names what is present, never the exported key.
impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("types", &self.types().collect::<Vec<_>>())
            .field("version13", &self.version13)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_with_data_are_listed() {
        assert_eq!(TlsInfo::default().types().count(), 0);
        let both =
            TlsInfo { exporter: Some([1; 32]), end_point: Some(vec![2; 32]), version13: true };
        assert_eq!(both.types().collect::<Vec<_>>(), BindingType::ALL);
        let weak = TlsInfo { exporter: None, ..both };
        assert_eq!(weak.types().collect::<Vec<_>>(), [BindingType::TlsServerEndPoint]);
        assert_eq!(weak.data(BindingType::TlsServerEndPoint), Some(&[2; 32][..]));
    }

    #[test]
    fn the_exported_key_is_not_printed() {
        let info = TlsInfo { exporter: Some([0xab; 32]), end_point: None, version13: true };
        let printed = format!("{info:?}");
        assert!(printed.contains("TlsExporter"));
        assert!(!printed.contains("171"));
    }
}
