//! The one validating pass over an element.
//!
//! quick-xml is the tokenizer; it is no judge of well-formedness. Everything it lets through and
//! XML 1.0, Namespaces in XML or RFC 6120 §11.1 forbid is refused here: see the corpus in
//! `tests/corpus`. What `scan` accepts may be forwarded byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::events::Event;
use smallvec::SmallVec;

use crate::chars;
use crate::context::{CLIENT_NS, Context, SERVER_NS, XML_NS, XMLNS_NS};
use crate::error::XmlError;
use crate::limits::{Limit, Limits};
use crate::scanned::{Entry, Index, NsRef, Scanned, Span};
use crate::tag::{self, Attributes, QName, RawAttribute};
use crate::unescape;

/// Validates one element and indexes its start tag and its direct children.
///
/// `raw` must be exactly one element, as [`Framer`](crate::Framer) cuts it, without white space
/// around it. The cost is one pass; nothing is copied.
///
/// # Errors
/// The stream that carried the bytes must be closed with the error's condition.
pub fn scan(raw: Bytes, context: &Context, limits: &Limits) -> Result<Scanned, XmlError> {
    if raw.len() > limits.stanza_bytes || u32::try_from(raw.len()).is_err() {
        return Err(XmlError::TooLarge(Limit::StanzaBytes));
    }
    let text = std::str::from_utf8(&raw).map_err(|_| XmlError::Utf8)?;
    if !chars::all_chars(text) {
        return Err(XmlError::Char);
    }
    if !text.starts_with('<') {
        return Err(XmlError::NotOneElement);
    }
    let index = Scan::new(text, context, limits).run()?;
    Ok(Scanned::new(raw, context.clone(), index))
}

/// A namespace declaration in scope.
struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    ns: NsRef,
}

struct Scan<'a> {
    text: &'a str,
    context: &'a Context,
    limits: &'a Limits,
    /// All declarations in scope, innermost last.
    bindings: SmallVec<[Binding<'a>; 16]>,
    /// For each open element, how many bindings were in scope outside of it.
    open: SmallVec<[u32; 16]>,
    attributes: Attributes<'a>,
    elements: usize,
    index: Index,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, context: &'a Context, limits: &'a Limits) -> Self {
        Self {
            text,
            context,
            limits,
            bindings: SmallVec::new(),
            open: SmallVec::new(),
            attributes: Attributes::new(),
            elements: 0,
            index: Index::default(),
        }
    }

    fn run(mut self) -> Result<Index, XmlError> {
        let mut reader = Reader::from_str(self.text);
        loop {
            let before = position(&reader);
            let event = reader.read_event().map_err(tokenizer_error)?;
            let after = position(&reader);
            match event {
                Event::Start(_) => self.start(before, after, false)?,
                Event::Empty(_) => {
                    self.start(before, after, true)?;
                    self.end(after, after);
                }
                Event::End(_) => self.end(before, after),
                Event::Text(text) => check_text(&text)?,
                Event::GeneralRef(name) => drop(unescape::reference(&name)?),
                Event::CData(_) => {}
                Event::Comment(_) => return Err(XmlError::Comment),
                Event::Decl(_) | Event::PI(_) => return Err(XmlError::ProcessingInstruction),
                Event::DocType(_) => return Err(XmlError::Doctype),
                Event::Eof => return Err(XmlError::Unfinished),
            }
            if self.open.is_empty() {
                // A CDATA section opens no element either.
                let whole = self.elements > 0 && after == self.text.len();
                return if whole { Ok(self.index) } else { Err(XmlError::NotOneElement) };
            }
        }
    }

    /// A start tag from `start` to `end`.
    fn start(&mut self, start: usize, end: usize, empty: bool) -> Result<(), XmlError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(XmlError::TooLarge(Limit::Elements));
        }
        if self.open.len() >= self.limits.depth {
            return Err(XmlError::TooLarge(Limit::Depth));
        }
        let close = if empty { 2 } else { 1 };
        let inside = self.text.get(start + 1..end.saturating_sub(close)).unwrap_or_default();
        let name = tag::read(inside, self.limits, &mut self.attributes)?;
        self.open.push(u32::try_from(self.bindings.len()).unwrap_or(u32::MAX));
        self.declare()?;
        let ns = self.resolve_element(&name)?;
        self.check_expanded_names()?;
        if self.open.len() <= 2 {
            let entry = Entry {
                ns,
                tag: Span::new(start, end),
                content_end: 0,
                end: 0,
                name_bytes: u32::try_from(name.whole.len()).unwrap_or(u32::MAX),
                empty,
            };
            if self.open.len() == 1 {
                self.index.root = entry;
            } else {
                self.index.children.push(entry);
            }
        }
        Ok(())
    }

    /// The innermost element ended; its end tag reaches from `start` to `end`.
    fn end(&mut self, start: usize, end: usize) {
        let entry = match self.open.len() {
            1 => Some(&mut self.index.root),
            2 => self.index.children.last_mut(),
            _ => None,
        };
        if let Some(entry) = entry {
            entry.close(start, end);
        }
        if let Some(bindings) = self.open.pop() {
            self.bindings.truncate(bindings as usize);
        }
    }

    /// Puts the declarations of the start tag into scope.
    fn declare(&mut self) -> Result<(), XmlError> {
        for at in 0..self.attributes.len() {
            let Some((prefix, value)) =
                self.attributes.get(at).and_then(|a| Some((a.declares()?, a.value)))
            else {
                continue;
            };
            if self.bindings.len() >= self.limits.namespaces {
                return Err(XmlError::TooLarge(Limit::Namespaces));
            }
            let ns = self.declared(prefix, value)?;
            self.bindings.push(Binding { prefix, ns });
            if self.open.len() == 1 {
                self.index.declared.push((self.span(prefix), ns));
            }
        }
        Ok(())
    }

    /// Checks a declaration; the answer says where its namespace name is to be found.
    fn declared(&mut self, prefix: &str, value: &'a str) -> Result<NsRef, XmlError> {
        let ns = unescape::attribute(value);
        check_declaration(prefix, &ns, self.limits)?;
        Ok(match ns {
            Cow::Borrowed("") => NsRef::None,
            Cow::Borrowed(_) => NsRef::Raw(self.span(value)),
            Cow::Owned(ns) if ns.is_empty() => NsRef::None,
            Cow::Owned(ns) => {
                self.index.owned.push(ns.into_boxed_str());
                NsRef::Owned(u32::try_from(self.index.owned.len() - 1).unwrap_or(u32::MAX))
            }
        })
    }

    /// Where a piece of the text lies in it.
    fn span(&self, piece: &str) -> Span {
        let start = (piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        Span::new(start, start.saturating_add(piece.len()))
    }

    fn resolve_element(&mut self, name: &QName<'a>) -> Result<NsRef, XmlError> {
        if !name.prefix.is_empty() {
            let ns = self.resolve(name.prefix)?;
            let uri = self.index.namespace_bytes(self.text.as_bytes(), self.context, ns);
            let is_content = uri == CLIENT_NS.as_bytes() || uri == SERVER_NS.as_bytes();
            self.index.prefixes_content |= is_content;
            return Ok(ns);
        }
        match self.bindings.iter().rev().find(|b| b.prefix.is_empty()) {
            Some(binding) => Ok(binding.ns),
            None => {
                self.index.inherits_default = true;
                Ok(NsRef::Default)
            }
        }
    }

    fn resolve(&mut self, prefix: &str) -> Result<NsRef, XmlError> {
        if prefix == "xml" {
            return Ok(NsRef::Xml);
        }
        if let Some(binding) = self.bindings.iter().rev().find(|b| b.prefix == prefix) {
            return Ok(binding.ns);
        }
        let at = self.context.position(prefix).ok_or(XmlError::UnboundPrefix)?;
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if !self.index.inherited.contains(&at) {
            self.index.inherited.push(at);
        }
        Ok(NsRef::Inherited(at))
    }

    /// Prefixes of attributes must be bound, and no two may mean the same name.
    fn check_expanded_names(&mut self) -> Result<(), XmlError> {
        let mut seen: SmallVec<[(NsRef, &'a str); 4]> = SmallVec::new();
        for at in 0..self.attributes.len() {
            let Some(RawAttribute { name, .. }) = self.attributes.get(at).copied() else { break };
            if name.prefix.is_empty() || name.prefix == "xmlns" {
                continue;
            }
            let ns = self.resolve(name.prefix)?;
            let uri = |ns| self.index.namespace_bytes(self.text.as_bytes(), self.context, ns);
            let same = |(other, local): &(NsRef, &str)| {
                *local == name.local && (*other == ns || uri(*other) == uri(ns))
            };
            if seen.iter().any(same) {
                return Err(XmlError::DuplicateAttribute);
            }
            seen.push((ns, name.local));
        }
        Ok(())
    }
}

/// The constraints on declarations (Namespaces in XML §3 and §5).
pub(crate) fn check_declaration(prefix: &str, ns: &str, limits: &Limits) -> Result<(), XmlError> {
    if ns.len() > limits.name_bytes {
        return Err(XmlError::TooLarge(Limit::NameBytes));
    }
    let allowed = match prefix {
        "xmlns" => false,
        "xml" => ns == XML_NS,
        // The default namespace may be undeclared, a prefix may not.
        "" => ns != XML_NS && ns != XMLNS_NS,
        _ => !ns.is_empty() && ns != XML_NS && ns != XMLNS_NS,
    };
    if allowed { Ok(()) } else { Err(XmlError::Declared) }
}

/// The sequence `]]>` must not appear in text (XML 1.0 §2.4).
fn check_text(text: &str) -> Result<(), XmlError> {
    let bytes = text.as_bytes();
    let ends = |at: usize| at >= 2 && bytes.get(at - 2..at) == Some(b"]]");
    if memchr::memchr_iter(b'>', bytes).any(ends) { Err(XmlError::CdataEnd) } else { Ok(()) }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

#[cold]
fn tokenizer_error(error: quick_xml::Error) -> XmlError {
    use quick_xml::errors::{Error, IllFormedError, SyntaxError};
    match error {
        Error::IllFormed(
            IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_),
        ) => XmlError::MismatchedEnd,
        Error::IllFormed(IllFormedError::UnclosedReference) => XmlError::Reference,
        Error::IllFormed(IllFormedError::MissingDoctypeName) => XmlError::Doctype,
        Error::Syntax(SyntaxError::UnclosedComment) => XmlError::Comment,
        Error::Syntax(SyntaxError::UnclosedDoctype) => XmlError::Doctype,
        Error::Syntax(SyntaxError::UnclosedPI | SyntaxError::UnclosedXmlDecl) => {
            XmlError::ProcessingInstruction
        }
        Error::Syntax(_) | Error::IllFormed(_) => XmlError::Markup,
        _ => XmlError::Markup,
    }
}
