//! How much XML one peer may make us look at.
//!
//! The figures are those of the reliability design: small before a peer is authenticated, larger
//! afterwards. Each limit is the largest value that is accepted.

use std::fmt;

/// The bounds of one element (stanza) and of what is kept while it is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one top-level element, or of a stream header with its XML declaration.
    pub stanza_bytes: usize,
    /// Nested elements; the top-level element itself is the first.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Namespace declarations in scope at one place, those of the stream header not counted.
    pub namespaces: usize,
    /// Bytes of one qualified name, and of one namespace name as it is meant: a tree of elements
    /// repeats the namespace at each of them.
    pub name_bytes: usize,
    /// Bytes of one attribute value as written.
    pub attribute_bytes: usize,
    /// Elements in one top-level element, itself included.
    pub elements: usize,
}

impl Limits {
    /// For a peer that has not proven who it is: 16 KiB.
    pub const UNAUTHENTICATED: Self = Self::of_bytes(16 * 1024);
    /// For an authenticated client: 256 KiB.
    pub const CLIENT: Self = Self::of_bytes(256 * 1024);
    /// For an authenticated server: 512 KiB.
    pub const SERVER: Self = Self::of_bytes(512 * 1024);

    const fn of_bytes(stanza_bytes: usize) -> Self {
        Self {
            stanza_bytes,
            depth: 64,
            attributes: 64,
            namespaces: 64,
            name_bytes: 256,
            attribute_bytes: 64 * 1024,
            elements: 8192,
        }
    }
}

/// Names the limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::stanza_bytes`].
    StanzaBytes,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::attributes`].
    Attributes,
    /// [`Limits::namespaces`].
    Namespaces,
    /// [`Limits::name_bytes`].
    NameBytes,
    /// [`Limits::attribute_bytes`].
    AttributeBytes,
    /// [`Limits::elements`].
    Elements,
}

impl Limit {
    /// The configuration key of the limit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StanzaBytes => "stanza_bytes",
            Self::Depth => "depth",
            Self::Attributes => "attributes",
            Self::Namespaces => "namespaces",
            Self::NameBytes => "name_bytes",
            Self::AttributeBytes => "attribute_bytes",
            Self::Elements => "elements",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
