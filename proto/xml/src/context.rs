//! What a stream header hands down to the elements of its stream.

use std::sync::Arc;

/// The namespace XML reserves for `xml:lang` and its like.
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of namespace declarations, which nothing may be bound to.
pub const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";
/// The namespace of stream headers, features and stream errors (RFC 6120 §4.8.1).
pub const STREAM_NS: &str = "http://etherx.jabber.org/streams";
/// The content namespace of client streams (RFC 6120 §4.8.2).
pub const CLIENT_NS: &str = "jabber:client";
/// The content namespace of server-to-server streams (RFC 6120 §4.8.2).
pub const SERVER_NS: &str = "jabber:server";

/// Namespace bindings and `xml:lang` inherited from a stream header; a clone shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Inner {
    default: Box<str>,
    prefixes: Box<[(Box<str>, Box<str>)]>,
    lang: Option<Box<str>>,
}

impl Context {
    /// Nothing is inherited: every element must be complete in itself.
    #[must_use]
    pub fn empty() -> Self {
        Self::new("", &[], None)
    }

    /// The context of a client stream: default `jabber:client`, prefix `stream`.
    #[must_use]
    pub fn client() -> Self {
        Self::new(CLIENT_NS, &[("stream", STREAM_NS)], None)
    }

    /// The context of a server-to-server stream: default `jabber:server`, prefix `stream`.
    #[must_use]
    pub fn server() -> Self {
        Self::new(SERVER_NS, &[("stream", STREAM_NS)], None)
    }

    /// A context with these bindings; later bindings of the same prefix are ignored.
    #[must_use]
    pub fn new(default: &str, prefixes: &[(&str, &str)], lang: Option<&str>) -> Self {
        let prefixes = prefixes.iter().map(|(p, ns)| ((*p).into(), (*ns).into())).collect();
        Self {
            inner: Arc::new(Inner {
                default: default.into(),
                prefixes,
                lang: lang.map(Into::into),
            }),
        }
    }

    /// The namespace a prefix is bound to.
    #[must_use]
    pub fn lookup(&self, prefix: &str) -> Option<&str> {
        if prefix == "xml" {
            return Some(XML_NS);
        }
        self.position(prefix).map(|at| self.binding(at).1)
    }

    /// The namespace of elements without a prefix; empty when there is none.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        &self.inner.default
    }

    /// The language of text whose element names none.
    #[must_use]
    pub fn lang(&self) -> Option<&str> {
        self.inner.lang.as_deref()
    }

    /// The prefixes and the namespaces they are bound to.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.prefixes.iter().map(|(p, ns)| (&**p, &**ns))
    }

    /// The place of a prefix among the bindings, for [`Context::binding`].
    pub(crate) fn position(&self, prefix: &str) -> Option<usize> {
        self.inner.prefixes.iter().position(|(p, _)| **p == *prefix)
    }

    /// The binding at a place that [`Context::position`] named.
    pub(crate) fn binding(&self, at: usize) -> (&str, &str) {
        self.inner.prefixes.get(at).map_or(("", ""), |(p, ns)| (p, ns))
    }
}
