//! The start tag of a stream.

use std::borrow::Cow;

use bytes::Bytes;

use crate::chars::{self, is_space};
use crate::context::Context;
use crate::error::XmlError;
use crate::limits::{Limit, Limits};
use crate::scan::check_declaration;
use crate::tag::{self, Attributes};
use crate::unescape;

/// A validated stream header (RFC 6120 §4.7).
#[derive(Debug, Clone)]
pub struct StreamHeader {
    namespace: Box<str>,
    prefix: Box<str>,
    name: Box<str>,
    attributes: Box<[(Box<str>, Box<str>)]>,
    context: Context,
}

impl StreamHeader {
    /// Reads a header as [`Framer`](crate::Framer) cuts it, with or without an XML declaration.
    ///
    /// # Errors
    /// The stream must be closed with the error's condition.
    pub fn parse(raw: &Bytes, limits: &Limits) -> Result<Self, XmlError> {
        if raw.len() > limits.stanza_bytes {
            return Err(XmlError::TooLarge(Limit::StanzaBytes));
        }
        let text = std::str::from_utf8(raw).map_err(|_| XmlError::Utf8)?;
        if !chars::all_chars(text) {
            return Err(XmlError::Char);
        }
        let text = text.trim_start_matches('\u{FEFF}');
        let tag = match text.strip_prefix("<?") {
            Some(rest) => {
                let (declaration, rest) = rest.split_once("?>").ok_or(XmlError::Declaration)?;
                check_xml_declaration(declaration)?;
                rest
            }
            None => text,
        };
        let tag = tag.trim_start_matches([' ', '\t', '\r', '\n']);
        let tag = tag.strip_prefix('<').and_then(|tag| tag.strip_suffix('>'));
        let tag = tag.ok_or(XmlError::Header)?;
        let mut attributes = Attributes::new();
        let name = tag::read(tag.strip_suffix('/').unwrap_or(tag), limits, &mut attributes)?;
        let context = inherited(&attributes, limits)?;
        let namespace = resolve(&context, name.prefix)?.into();
        check_unique(&attributes, &context)?;
        let plain = attributes.iter().filter(|a| a.declares().is_none());
        Ok(Self {
            namespace,
            prefix: name.prefix.into(),
            name: name.local.into(),
            attributes: plain
                .map(|a| (a.name.whole.into(), unescape::attribute(a.value).into()))
                .collect(),
            context,
        })
    }

    /// The namespace of the element, which should be that of streams.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The prefix of the element; empty when it has none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of the element without its prefix, which should be `stream`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of an attribute, by its name as written (`to`, `version`, `xml:lang`).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }

    /// The language of the stream.
    #[must_use]
    pub fn lang(&self) -> Option<&str> {
        self.context.lang()
    }

    /// What the elements of the stream inherit.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }
}

fn inherited(attributes: &Attributes<'_>, limits: &Limits) -> Result<Context, XmlError> {
    let mut default = Cow::Borrowed("");
    let mut prefixes = Vec::new();
    let mut lang = None;
    for attribute in attributes {
        let value = unescape::attribute(attribute.value);
        match attribute.declares() {
            Some(prefix) => {
                check_declaration(prefix, &value, limits)?;
                match prefix {
                    "" => default = value,
                    // Bound everywhere; a declaration says nothing new.
                    "xml" => {}
                    _ => prefixes.push((prefix, value)),
                }
            }
            None if attribute.name.whole == "xml:lang" => lang = Some(value),
            None => {}
        }
    }
    if prefixes.len() > limits.namespaces {
        return Err(XmlError::TooLarge(Limit::Namespaces));
    }
    let prefixes: Vec<_> = prefixes.iter().map(|(prefix, ns)| (*prefix, &**ns)).collect();
    Ok(Context::new(&default, &prefixes, lang.as_deref()))
}

fn resolve<'c>(context: &'c Context, prefix: &str) -> Result<&'c str, XmlError> {
    match prefix {
        "" => Ok(context.default_namespace()),
        _ => context.lookup(prefix).ok_or(XmlError::UnboundPrefix),
    }
}

/// Prefixes of attributes must be bound, and no two may mean the same name.
fn check_unique(attributes: &Attributes<'_>, context: &Context) -> Result<(), XmlError> {
    let mut seen = Vec::new();
    for attribute in attributes.iter().filter(|a| a.declares().is_none()) {
        if attribute.name.prefix.is_empty() {
            continue;
        }
        let name = (resolve(context, attribute.name.prefix)?, attribute.name.local);
        if seen.contains(&name) {
            return Err(XmlError::DuplicateAttribute);
        }
        seen.push(name);
    }
    Ok(())
}

/// Checks what is between `<?` and `?>` of an XML declaration (XML 1.0 §2.8).
///
/// A document that is not standalone depends on a DTD, which RFC 6120 §11.1 forbids.
fn check_xml_declaration(text: &str) -> Result<(), XmlError> {
    let mut rest = text.strip_prefix("xml").ok_or(XmlError::ProcessingInstruction)?;
    match pseudo_attribute(&mut rest, "version")? {
        Some("1.0") => {}
        _ => return Err(XmlError::Declaration),
    }
    if let Some(encoding) = pseudo_attribute(&mut rest, "encoding")? {
        if !encoding.eq_ignore_ascii_case("utf-8") {
            return Err(XmlError::Encoding);
        }
        match pseudo_attribute(&mut rest, "standalone")? {
            None | Some("yes") => {}
            Some("no") => return Err(XmlError::Doctype),
            Some(_) => return Err(XmlError::Declaration),
        }
    }
    if rest.bytes().all(is_space) { Ok(()) } else { Err(XmlError::Declaration) }
}

/// Takes ` name="value"` from the front of `rest` when it is there.
fn pseudo_attribute<'a>(rest: &mut &'a str, name: &str) -> Result<Option<&'a str>, XmlError> {
    let spaces = |text: &'a str| text.trim_start_matches([' ', '\t', '\r', '\n']);
    let trimmed = spaces(rest);
    let Some(after) = trimmed.strip_prefix(name) else { return Ok(None) };
    if trimmed.len() == rest.len() {
        return Err(XmlError::Declaration);
    }
    let value = spaces(after).strip_prefix('=').map(spaces).ok_or(XmlError::Declaration)?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let quote = quote.ok_or(XmlError::Declaration)?;
    let value = value.get(1..).unwrap_or_default();
    let (value, after) = value.split_once(quote).ok_or(XmlError::Declaration)?;
    *rest = after;
    Ok(Some(value))
}
