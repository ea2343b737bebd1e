//! A validated element: its bytes and an index of what routing looks at.

mod child;
mod rewrite;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::context::{Context, XML_NS};
use crate::element::Element;
use crate::tag::{self, AttributeIter};
use crate::unescape;

pub use child::{Child, Children};
pub(crate) use child::{Scope, declarations, position, split_tag, trusting};
pub use rewrite::Edit;

/// An element that [`scan`](crate::scan) accepted; a clone is one reference count.
#[derive(Debug, Clone)]
pub struct Scanned {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    raw: Bytes,
    context: Context,
    index: Index,
}

/// A range of the element's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Positions beyond 4 GiB do not occur: [`scan`](crate::scan) refuses such elements.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    fn bytes(self, raw: &[u8]) -> &[u8] {
        raw.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The text of the range. It was validated as UTF-8 before: looking at so few bytes again
    /// costs less than carrying both views of them, and needs no `unsafe`.
    fn of(self, raw: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(raw)).unwrap_or_default()
    }
}

/// Where a namespace name is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum NsRef {
    /// No namespace: the default was undeclared.
    #[default]
    None,
    /// The reserved prefix `xml`.
    Xml,
    /// In a declaration of the element's bytes.
    Raw(Span),
    /// In a declaration that had to be unescaped.
    Owned(u32),
    /// Bound to a prefix of the context.
    Inherited(u32),
    /// The default namespace of the context.
    Default,
}

/// One element of the index.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) ns: NsRef,
    /// The start tag with its angle brackets.
    pub(crate) tag: Span,
    /// Where the content ends and where the element ends.
    pub(crate) content_end: u32,
    pub(crate) end: u32,
    /// The length of the qualified name.
    pub(crate) name_bytes: u32,
    pub(crate) empty: bool,
}

impl Entry {
    pub(crate) fn close(&mut self, content_end: usize, end: usize) {
        let span = Span::new(content_end, end);
        self.content_end = span.start;
        self.end = span.end;
    }

    fn qname<'t>(&self, raw: &'t [u8]) -> &'t str {
        let start = self.tag.start.saturating_add(1);
        Span { start, end: start.saturating_add(self.name_bytes) }.of(raw)
    }

    /// What follows the name in the start tag, without `>` or `/>`.
    fn attributes<'t>(&self, raw: &'t [u8]) -> &'t str {
        let start = self.tag.start.saturating_add(1).saturating_add(self.name_bytes);
        let close = if self.empty { 2 } else { 1 };
        Span { start, end: self.tag.end.saturating_sub(close) }.of(raw)
    }

    fn content<'t>(&self, raw: &'t [u8]) -> &'t [u8] {
        Span { start: self.tag.end, end: self.content_end }.bytes(raw)
    }

    fn whole<'t>(&self, raw: &'t [u8]) -> &'t [u8] {
        Span { start: self.tag.start, end: self.end }.bytes(raw)
    }
}

/// What one pass found out about an element.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) root: Entry,
    pub(crate) children: SmallVec<[Entry; 4]>,
    /// The declarations of the top-level element: prefixes and namespaces.
    pub(crate) declared: SmallVec<[(Span, NsRef); 1]>,
    /// Namespace names that do not appear literally in the bytes.
    pub(crate) owned: SmallVec<[Box<str>; 1]>,
    /// Bindings of the context that the element depends on.
    pub(crate) inherited: SmallVec<[u32; 4]>,
    /// Some element is in the default namespace of the context.
    pub(crate) inherits_default: bool,
    /// Some element has a prefix for the content namespace of a stream.
    pub(crate) prefixes_content: bool,
}

impl Index {
    pub(crate) fn namespace<'t>(
        &'t self,
        raw: &'t [u8],
        context: &'t Context,
        ns: NsRef,
    ) -> &'t str {
        match ns {
            NsRef::Raw(span) => span.of(raw),
            NsRef::None => "",
            NsRef::Xml => XML_NS,
            NsRef::Owned(at) => self.owned.get(at as usize).map_or("", |ns| ns),
            NsRef::Inherited(at) => context.binding(at as usize).1,
            NsRef::Default => context.default_namespace(),
        }
    }

    /// The same for a comparison, without a look at each byte.
    pub(crate) fn namespace_bytes<'t>(
        &'t self,
        raw: &'t [u8],
        context: &'t Context,
        ns: NsRef,
    ) -> &'t [u8] {
        match ns {
            NsRef::Raw(span) => span.bytes(raw),
            ns => self.namespace(raw, context, ns).as_bytes(),
        }
    }
}

impl Scanned {
    pub(crate) fn new(raw: Bytes, context: Context, index: Index) -> Self {
        Self { inner: Arc::new(Inner { raw, context, index }) }
    }

    /// The bytes as they were received.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.inner.raw
    }

    /// What the element inherits from its stream.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The namespace of the element; empty when it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.resolved(self.index().root.ns)
    }

    /// The name of the element without its prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        tag::split_name(self.index().root.qname(self.raw())).local
    }

    /// The value of an attribute, by its name as written (`to`, `xml:lang`).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        tag::find(self.attributes_raw(), name)
    }

    /// The attributes that belong to no namespace, in the order of the document.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        plain_attributes(self.attributes_raw())
    }

    /// The language in effect: the element's own or the stream's.
    #[must_use]
    pub fn lang(&self) -> Option<Cow<'_, str>> {
        self.attribute("xml:lang").or_else(|| self.context().lang().map(Cow::Borrowed))
    }

    /// The elements directly inside, in the order of the document.
    pub fn children(&self) -> impl Iterator<Item = Child<'_>> {
        self.index().children.iter().map(|entry| Child::indexed(self, entry))
    }

    /// The first direct child with this name.
    #[must_use]
    pub fn child(&self, ns: &str, name: &str) -> Option<Child<'_>> {
        let matches = |entry: &&Entry| {
            tag::split_name(entry.qname(self.raw())).local == name && self.resolved(entry.ns) == ns
        };
        self.index().children.iter().find(matches).map(|entry| Child::indexed(self, entry))
    }

    /// Whether an element, however deep inside, has a prefix for the content namespace of a
    /// stream, which nobody may route like that (RFC 6120 §4.8.5).
    #[must_use]
    pub fn prefixes_content(&self) -> bool {
        self.index().prefixes_content
    }

    /// The text directly inside, that of children not included.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        child::own_text(self.index().root.content(self.raw()))
    }

    /// The bytes between the start tag and the end tag.
    #[must_use]
    pub fn content(&self) -> Bytes {
        self.raw().slice_ref(self.index().root.content(self.raw()))
    }

    /// A copy that can be changed; it depends on nothing that is inherited.
    #[must_use]
    pub fn element(&self) -> Element {
        Child::indexed(self, &self.index().root).element()
    }

    fn index(&self) -> &Index {
        &self.inner.index
    }

    /// The namespace that the start tag declares for a prefix, or as the default.
    fn declared(&self, prefix: &str) -> Option<&str> {
        let declared = &self.index().declared;
        let found = declared.iter().find(|(p, _)| p.bytes(self.raw()) == prefix.as_bytes());
        found.map(|(_, ns)| self.resolved(*ns))
    }

    fn attributes_raw(&self) -> &str {
        self.index().root.attributes(self.raw())
    }

    fn resolved(&self, ns: NsRef) -> &str {
        self.index().namespace(self.raw(), self.context(), ns)
    }
}

fn plain_attributes(raw: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    AttributeIter::new(raw)
        .filter(|a| a.name.prefix.is_empty() && a.name.local != "xmlns")
        .map(|a| (a.name.local, unescape::attribute(a.value)))
}

#[cfg(test)]
mod tests {
    use super::{Entry, Inner};

    #[test]
    fn an_index_stays_small() {
        // A full outbox holds 512 stanzas: what is kept beside their bytes is to be less than
        // the bytes.
        assert_eq!(size_of::<Entry>(), 36);
        assert!(size_of::<Inner>() <= 352, "{}", size_of::<Inner>());
    }
}
