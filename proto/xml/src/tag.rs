//! The inside of a start tag: the strict reader that validates it once, and the plain one that
//! walks over it again later.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::chars::{is_space, ncname_len};
use crate::error::XmlError;
use crate::limits::{Limit, Limits};
use crate::unescape;

/// A validated name: its bytes in the tag, and where its local part begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QName<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) local: &'a str,
    pub(crate) whole: &'a str,
}

/// A validated attribute with its value as written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawAttribute<'a> {
    pub(crate) name: QName<'a>,
    pub(crate) value: &'a str,
}

impl<'a> RawAttribute<'a> {
    /// The prefix this attribute declares a namespace for; empty for the default namespace.
    pub(crate) fn declares(&self) -> Option<&'a str> {
        match (self.name.prefix, self.name.local) {
            ("", "xmlns") => Some(""),
            ("xmlns", prefix) => Some(prefix),
            _ => None,
        }
    }
}

/// The attributes of one element while it is validated.
pub(crate) type Attributes<'a> = SmallVec<[RawAttribute<'a>; 8]>;

/// Validates what is between `<` and `>` (or `/>`) of a start tag.
///
/// Duplicates of unprefixed names and of declarations are found here; those of prefixed ones need
/// the namespaces and are the caller's to find.
pub(crate) fn read<'a>(
    tag: &'a str,
    limits: &Limits,
    attributes: &mut Attributes<'a>,
) -> Result<QName<'a>, XmlError> {
    attributes.clear();
    let (name, mut rest) = qname(tag, limits, XmlError::Name)?;
    loop {
        let trimmed = trim_start(rest);
        if trimmed.is_empty() {
            return Ok(name);
        }
        // White space separates an attribute from what comes before it.
        if trimmed.len() == rest.len() {
            return Err(XmlError::Attribute);
        }
        let attribute;
        (attribute, rest) = read_attribute(trimmed, limits)?;
        if attributes.len() >= limits.attributes {
            return Err(XmlError::TooLarge(Limit::Attributes));
        }
        if attributes.iter().any(|other| other.name.whole == attribute.name.whole) {
            return Err(XmlError::DuplicateAttribute);
        }
        attributes.push(attribute);
    }
}

fn read_attribute<'a>(
    text: &'a str,
    limits: &Limits,
) -> Result<(RawAttribute<'a>, &'a str), XmlError> {
    let (name, rest) = qname(text, limits, XmlError::Attribute)?;
    let rest = trim_start(rest).strip_prefix('=').ok_or(XmlError::Attribute)?;
    let rest = trim_start(rest);
    let Some(&quote @ (b'"' | b'\'')) = rest.as_bytes().first() else {
        return Err(XmlError::Attribute);
    };
    let rest = rest.get(1..).unwrap_or_default();
    let mut references = false;
    let mut from = 0;
    let end = loop {
        let bytes = rest.as_bytes().get(from..).unwrap_or_default();
        let Some(at) = memchr::memchr3(quote, b'<', b'&', bytes) else {
            return Err(XmlError::Attribute);
        };
        match bytes.get(at) {
            Some(b'&') => references = true,
            Some(b'<') => return Err(XmlError::Attribute),
            _ => break from + at,
        }
        from += at + 1;
    };
    if end > limits.attribute_bytes {
        return Err(XmlError::TooLarge(Limit::AttributeBytes));
    }
    let value = rest.get(..end).unwrap_or_default();
    check_line_ends(value)?;
    if references {
        unescape::check_references(value)?;
    }
    Ok((RawAttribute { name, value }, rest.get(end + 1..).unwrap_or_default()))
}

/// A carriage return must be followed by a line feed.
///
/// XML allows it alone, but rxml 0.14 does not understand it in an attribute, and a forwarded
/// stanza must not end a peer's stream. Writers escape it anyway.
fn check_line_ends(value: &str) -> Result<(), XmlError> {
    let bytes = value.as_bytes();
    let alone = |at: usize| bytes.get(at + 1) != Some(&b'\n');
    if memchr::memchr_iter(b'\r', bytes).any(alone) { Err(XmlError::Attribute) } else { Ok(()) }
}

/// Reads a qualified name (Namespaces in XML §4) and returns what follows it.
fn qname<'a>(
    text: &'a str,
    limits: &Limits,
    malformed: XmlError,
) -> Result<(QName<'a>, &'a str), XmlError> {
    let first = ncname_len(text);
    let mut end = first;
    let mut local = 0;
    if text.as_bytes().get(first) == Some(&b':') {
        local = first + 1;
        end = local + ncname_len(text.get(local..).unwrap_or_default());
    }
    if first == 0 || end == local {
        return Err(malformed);
    }
    if end > limits.name_bytes {
        return Err(XmlError::TooLarge(Limit::NameBytes));
    }
    let (whole, rest) = text.split_at(end);
    Ok((split_name(whole), rest))
}

/// Splits a name that is known to be valid.
pub(crate) fn split_name(whole: &str) -> QName<'_> {
    match memchr::memchr(b':', whole.as_bytes()) {
        Some(at) => QName {
            prefix: whole.get(..at).unwrap_or_default(),
            local: whole.get(at + 1..).unwrap_or_default(),
            whole,
        },
        None => QName { prefix: "", local: whole, whole },
    }
}

fn trim_start(text: &str) -> &str {
    let spaces = text.bytes().position(|b| !is_space(b)).unwrap_or(text.len());
    text.get(spaces..).unwrap_or_default()
}

/// The attributes of a start tag that [`read`] accepted before.
#[derive(Debug, Clone)]
pub(crate) struct AttributeIter<'a> {
    rest: &'a str,
}

impl<'a> AttributeIter<'a> {
    /// Over what follows the element name up to `>` or `/>`.
    pub(crate) const fn new(rest: &'a str) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = trim_start(self.rest);
        let equals = memchr::memchr(b'=', text.as_bytes())?;
        let name = text.get(..equals)?.trim_end_matches([' ', '\t', '\r', '\n']);
        let value = trim_start(text.get(equals + 1..)?);
        let quote = *value.as_bytes().first()?;
        let value = value.get(1..)?;
        let end = memchr::memchr(quote, value.as_bytes())?;
        self.rest = value.get(end + 1..)?;
        Some(RawAttribute { name: split_name(name), value: value.get(..end)? })
    }
}

/// The value of the attribute with this name as written (`id`, `xml:lang`).
pub(crate) fn find<'a>(attributes: &'a str, name: &str) -> Option<Cow<'a, str>> {
    AttributeIter::new(attributes)
        .find(|attribute| attribute.name.whole == name)
        .map(|attribute| unescape::attribute(attribute.value))
}
