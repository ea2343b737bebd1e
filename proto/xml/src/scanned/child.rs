//! An element inside a validated element, read where it lies.

use std::borrow::Cow;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::Event;
use smallvec::SmallVec;

use super::{Entry, Scanned, plain_attributes};
use crate::element::{Builder, Element};
use crate::tag::{self, AttributeIter, QName};
use crate::unescape;

/// An element inside a [`Scanned`] one; nothing is copied to look at it.
#[derive(Debug, Clone)]
pub struct Child<'a> {
    scope: Scope<'a>,
    ns: Cow<'a, str>,
    name: QName<'a>,
    attributes: &'a str,
    raw: &'a [u8],
    content: &'a [u8],
}

/// The declarations around an element: those of the top-level element and its stream, and those
/// of the elements in between.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    top: &'a Scanned,
    inner: Option<Arc<Node<'a>>>,
}

#[derive(Debug)]
struct Node<'a> {
    outer: Option<Arc<Self>>,
    bindings: SmallVec<[(&'a str, Cow<'a, str>); 2]>,
}

impl<'a> Scope<'a> {
    /// The namespace of a prefix, or the default namespace for an empty one.
    ///
    /// The document was validated: a prefix without a binding does not occur.
    pub(crate) fn lookup(&self, prefix: &str) -> Cow<'a, str> {
        let mut node = self.inner.as_ref();
        while let Some(here) = node {
            if let Some((_, ns)) = here.bindings.iter().find(|(p, _)| *p == prefix) {
                return ns.clone();
            }
            node = here.outer.as_ref();
        }
        let top = self.top;
        Cow::Borrowed(top.declared(prefix).unwrap_or_else(|| match prefix {
            "" => top.context().default_namespace(),
            _ => top.context().lookup(prefix).unwrap_or_default(),
        }))
    }

    /// The scope of the elements inside an element with these attributes.
    fn enter(&self, attributes: &'a str) -> Self {
        let bindings: SmallVec<_> = declarations(attributes).collect();
        if bindings.is_empty() {
            return self.clone();
        }
        let node = Node { outer: self.inner.clone(), bindings };
        Self { top: self.top, inner: Some(Arc::new(node)) }
    }
}

/// The namespaces that attributes declare.
pub(crate) fn declarations(attributes: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    AttributeIter::new(attributes)
        .filter_map(|a| Some((a.declares()?, unescape::attribute(a.value))))
}

fn declared<'a>(attributes: &'a str, prefix: &str) -> Option<Cow<'a, str>> {
    declarations(attributes).find(|(p, _)| *p == prefix).map(|(_, ns)| ns)
}

impl<'a> Child<'a> {
    pub(super) fn indexed(top: &'a Scanned, entry: &Entry) -> Self {
        let raw = top.raw();
        Self {
            scope: Scope { top, inner: None },
            ns: Cow::Borrowed(top.resolved(entry.ns)),
            name: tag::split_name(entry.qname(raw)),
            attributes: entry.attributes(raw),
            raw: entry.whole(raw),
            content: entry.content(raw),
        }
    }

    /// The namespace of the element; empty when it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.ns
    }

    /// The name of the element without its prefix.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name.local
    }

    /// Is this the element with this namespace and name?
    #[must_use]
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name.local == name && self.ns == ns
    }

    /// The value of an attribute, by its name as written (`id`, `xml:lang`).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        tag::find(self.attributes, name)
    }

    /// The attributes that belong to no namespace, in the order of the document.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        plain_attributes(self.attributes)
    }

    /// The text directly inside, that of children not included.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        own_text(self.content)
    }

    /// The bytes of the element as they were received. They may depend on declarations outside.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The elements directly inside, in the order of the document.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        Children {
            content: std::str::from_utf8(self.content).unwrap_or_default(),
            scope: self.scope.enter(self.attributes),
        }
    }

    /// The first element directly inside with this name.
    #[must_use]
    pub fn child(&self, ns: &str, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(ns, name))
    }

    /// A copy that can be changed; it depends on nothing that is inherited.
    #[must_use]
    pub fn element(&self) -> Element {
        Builder::new(&self.scope).build(std::str::from_utf8(self.raw).unwrap_or_default())
    }
}

/// The elements directly inside a [`Child`].
#[derive(Debug, Clone)]
pub struct Children<'a> {
    /// What was not looked at yet.
    content: &'a str,
    scope: Scope<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let text = self.content;
        let mut reader = trusting(text);
        let mut depth = 0_usize;
        let mut tag = (0, 0);
        loop {
            let before = position(&reader);
            let event = reader.read_event().ok()?;
            let after = position(&reader);
            match event {
                Event::Start(_) => {
                    if depth == 0 {
                        tag = (before, after);
                    }
                    depth += 1;
                }
                Event::Empty(_) if depth == 0 => {
                    self.content = text.get(after..)?;
                    let inside = text.get(before + 1..after.checked_sub(2)?)?;
                    return self.child(inside, text.get(before..after)?, "");
                }
                Event::End(_) => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        self.content = text.get(after..)?;
                        let inside = text.get(tag.0 + 1..tag.1.checked_sub(1)?)?;
                        let content = text.get(tag.1..before)?;
                        return self.child(inside, text.get(tag.0..after)?, content);
                    }
                }
                Event::Eof => {
                    self.content = "";
                    return None;
                }
                _ => {}
            }
        }
    }
}

impl<'a> Children<'a> {
    fn child(&self, tag: &'a str, raw: &'a str, content: &'a str) -> Option<Child<'a>> {
        let (name, attributes) = split_tag(tag);
        let ns =
            declared(attributes, name.prefix).unwrap_or_else(|| self.scope.lookup(name.prefix));
        Some(Child {
            scope: self.scope.clone(),
            ns,
            name,
            attributes,
            raw: raw.as_bytes(),
            content: content.as_bytes(),
        })
    }
}

/// Splits the inside of a start tag into its name and what follows.
pub(crate) fn split_tag(tag: &str) -> (QName<'_>, &str) {
    let end = tag.bytes().position(crate::chars::is_space).unwrap_or(tag.len());
    (tag::split_name(tag.get(..end).unwrap_or_default()), tag.get(end..).unwrap_or_default())
}

/// A reader for text that `scan` accepted before.
pub(crate) fn trusting(text: &str) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    reader
}

pub(crate) fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The text that is not inside of an element.
pub(super) fn own_text(content: &[u8]) -> Cow<'_, str> {
    let content = std::str::from_utf8(content).unwrap_or_default();
    if memchr::memchr(b'<', content.as_bytes()).is_none() {
        return unescape::text(content);
    }
    let mut reader = trusting(content);
    let mut depth = 0_usize;
    let mut text = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Text(t)) if depth == 0 => text.push_str(&unescape::cdata(&t)),
            Ok(Event::CData(t)) if depth == 0 => text.push_str(&unescape::cdata(&t)),
            Ok(Event::GeneralRef(name)) if depth == 0 => text.extend(unescape::reference(&name)),
            Ok(Event::Eof) | Err(_) => return Cow::Owned(text),
            Ok(_) => {}
        }
    }
}
