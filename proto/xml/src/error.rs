//! What can be wrong with XML, and which stream error says so.

use crate::limits::Limit;

/// The stream error condition that answers a piece of bad XML (RFC 6120 §4.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// The bytes are not well-formed, or not namespace-well-formed (RFC 6120 §4.9.3.13).
    NotWellFormed,
    /// A comment, processing instruction, DTD or foreign entity (RFC 6120 §4.9.3.18, §11.1).
    RestrictedXml,
    /// The stream is not in UTF-8 (RFC 6120 §4.9.3.22).
    UnsupportedEncoding,
    /// A limit of ours was exceeded (RFC 6120 §4.9.3.14).
    PolicyViolation,
}

impl Condition {
    /// The element name of the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWellFormed => "not-well-formed",
            Self::RestrictedXml => "restricted-xml",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::PolicyViolation => "policy-violation",
        }
    }
}

/// Why a piece of XML was refused.
///
/// Every one of them ends the stream that carried it: after a violation the position of the next
/// stanza cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// The element ended before it was complete, or was never closed.
    #[error("the XML ends inside an element")]
    Unfinished,
    /// Something other than one element, or more than one, where one element was expected.
    #[error("expected exactly one element")]
    NotOneElement,
    /// Character data between top-level elements, which may hold white space only.
    #[error("text between stanzas")]
    TextOutside,
    /// Something else than white space followed the end of the stream.
    #[error("data after the end of the stream")]
    AfterEnd,
    /// The tokenizer could not make sense of the markup.
    #[error("malformed markup")]
    Markup,
    /// An end tag that does not belong to the open start tag.
    #[error("mismatched end tag")]
    MismatchedEnd,
    /// The stream does not begin with the kind of start tag a stream header needs.
    #[error("malformed stream header")]
    Header,
    /// The XML declaration is malformed or names a version other than 1.0.
    #[error("malformed XML declaration")]
    Declaration,
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A character that XML 1.0 does not allow.
    #[error("character not allowed in XML")]
    Char,
    /// An element or attribute name outside the QName grammar.
    #[error("malformed name")]
    Name,
    /// An attribute that does not follow the attribute grammar.
    #[error("malformed attribute")]
    Attribute,
    /// Two attributes of one element have the same (expanded) name.
    #[error("duplicate attribute")]
    DuplicateAttribute,
    /// A malformed reference, or one to a character that XML does not allow.
    #[error("malformed character reference")]
    Reference,
    /// The sequence that ends a CDATA section, in text.
    #[error("unescaped ']]>' in text")]
    CdataEnd,
    /// A prefix without a declaration in scope.
    #[error("unbound namespace prefix")]
    UnboundPrefix,
    /// A declaration that touches the prefixes or namespaces reserved by XML, or undeclares one.
    #[error("forbidden namespace declaration")]
    Declared,
    /// A comment.
    #[error("comments are not allowed")]
    Comment,
    /// A processing instruction, or an XML declaration elsewhere than at the start of a stream.
    #[error("processing instructions are not allowed")]
    ProcessingInstruction,
    /// A document type declaration or something else that begins like one.
    #[error("document type declarations are not allowed")]
    Doctype,
    /// A reference to an entity other than the five predefined ones.
    #[error("entities are not allowed")]
    Entity,
    /// An encoding other than UTF-8, declared or visible from the first byte.
    #[error("only UTF-8 is supported")]
    Encoding,
    /// One of the limits was exceeded.
    #[error("too much XML: {0} exceeded")]
    TooLarge(Limit),
}

impl XmlError {
    /// The stream error that tells the peer.
    #[must_use]
    pub const fn condition(&self) -> Condition {
        match self {
            Self::Comment | Self::ProcessingInstruction | Self::Doctype | Self::Entity => {
                Condition::RestrictedXml
            }
            // RFC 6120 §4.9.3.22: other encodings, and UTF-8 that breaks its own rules.
            Self::Encoding | Self::Utf8 => Condition::UnsupportedEncoding,
            Self::TooLarge(_) => Condition::PolicyViolation,
            Self::Unfinished
            | Self::NotOneElement
            | Self::TextOutside
            | Self::AfterEnd
            | Self::Markup
            | Self::MismatchedEnd
            | Self::Header
            | Self::Declaration
            | Self::Char
            | Self::Name
            | Self::Attribute
            | Self::DuplicateAttribute
            | Self::Reference
            | Self::CdataEnd
            | Self::UnboundPrefix
            | Self::Declared => Condition::NotWellFormed,
        }
    }
}
