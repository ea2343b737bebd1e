//! A small element tree, for what the server says itself and for what a feature reads.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};
use quick_xml::events::Event;

use crate::chars;
use crate::context::{Context, XML_NS, XMLNS_NS};
use crate::error::XmlError;
use crate::limits::Limits;
use crate::scan::scan;
use crate::scanned::{Scope, declarations, position, split_tag, trusting};
use crate::tag::{AttributeIter, QName};
use crate::unescape;
use crate::writer::{Writer, local_name};

/// An element with its attributes, text and children.
///
/// Two elements are equal when they mean the same: neither prefixes nor the order of attributes
/// count.
#[derive(Debug, Clone, Eq)]
pub struct Element {
    ns: Box<str>,
    name: Box<str>,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    ns: Box<str>,
    name: Box<str>,
    value: String,
}

/// What an element holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    Element(Element),
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(ns: &str, name: &str) -> Self {
        Self { ns: ns.into(), name: name.into(), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// Reads one element that depends on nothing outside of it; white space around it is ignored.
    ///
    /// # Errors
    /// Whatever [`scan`] refuses, with [`Limits::SERVER`].
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let raw = Bytes::copy_from_slice(text.as_bytes());
        Ok(scan(raw, &Context::empty(), &Limits::SERVER)?.element())
    }

    /// With this attribute, which replaces one of the same name; `xml:lang` is understood.
    #[must_use]
    pub fn attr(self, name: &str, value: impl Into<String>) -> Self {
        match name.strip_prefix("xml:") {
            Some(name) => self.attr_ns(XML_NS, name, value),
            None => self.attr_ns("", name, value),
        }
    }

    /// With this attribute when there is a value.
    #[must_use]
    pub fn attr_opt(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// With this attribute of another namespace.
    #[must_use]
    pub fn attr_ns(mut self, ns: &str, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.attributes.iter_mut().find(|a| *a.name == *name && *a.ns == *ns) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute { ns: ns.into(), name: name.into(), value }),
        }
        self
    }

    /// With this text behind what is there.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text.into());
        self
    }

    /// With this element behind what is there.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// With this element when there is one.
    #[must_use]
    pub fn child_opt(self, child: Option<Self>) -> Self {
        self.children(child)
    }

    /// With these elements behind what is there.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    fn push_text(&mut self, text: String) {
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(last)) => last.push_str(&text),
            _ => self.nodes.push(Node::Text(text)),
        }
    }

    /// The namespace; empty when there is none.
    #[must_use]
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// The name without a prefix.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is this the element with this namespace and name?
    #[must_use]
    pub fn is(&self, ns: &str, name: &str) -> bool {
        *self.name == *name && *self.ns == *ns
    }

    /// The value of an attribute without a namespace, or of `xml:lang` and its like.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        match name.strip_prefix("xml:") {
            Some(name) => self.attribute_ns(XML_NS, name),
            None => self.attribute_ns("", name),
        }
    }

    /// The value of an attribute of another namespace.
    #[must_use]
    pub fn attribute_ns(&self, ns: &str, name: &str) -> Option<&str> {
        let attribute = self.attributes.iter().find(|a| *a.name == *name && *a.ns == *ns);
        attribute.map(|a| a.value.as_str())
    }

    /// The attributes without a namespace.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().filter(|a| a.ns.is_empty()).map(|a| (&*a.name, a.value.as_str()))
    }

    /// The text directly inside, that of children not included.
    #[must_use]
    pub fn text_content(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// The elements directly inside, in order.
    pub fn child_elements(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element directly inside with this name.
    #[must_use]
    pub fn find(&self, ns: &str, name: &str) -> Option<&Self> {
        self.child_elements().find(|child| child.is(ns, name))
    }

    /// Removes and returns the elements directly inside with this name.
    pub fn remove(&mut self, ns: &str, name: &str) -> Vec<Self> {
        let mut removed = Vec::new();
        for node in std::mem::take(&mut self.nodes) {
            match node {
                Node::Element(element) if element.is(ns, name) => removed.push(element),
                Node::Text(text) => self.push_text(text),
                element => self.nodes.push(element),
            }
        }
        removed
    }

    /// Appends the element as it is written where `parent_default_ns` is the default namespace.
    ///
    /// What XML cannot express is replaced or left out, never written: see [`Element::check`].
    pub fn write(&self, out: &mut BytesMut, parent_default_ns: &str) {
        self.write_as(out, None, parent_default_ns);
    }

    /// Appends the element as it is written directly inside a stream with this header.
    ///
    /// An element in a namespace that the header bound to a prefix uses the prefix, as
    /// `stream:features` and `stream:error` should (RFC 6120 §4.8.5).
    pub fn write_in(&self, out: &mut BytesMut, context: &Context) {
        let default = context.default_namespace();
        let prefix = match *self.ns == *default {
            true => None,
            false => context.prefixes().find(|(_, ns)| **ns == *self.ns).map(|(prefix, _)| prefix),
        };
        self.write_as(out, prefix, default);
    }

    fn write_as(&self, out: &mut BytesMut, prefix: Option<&str>, parent_default: &str) {
        let prefix = if *self.ns == *XML_NS { Some("xml") } else { prefix };
        // Nothing may be bound to this one.
        let ns = if *self.ns == *XMLNS_NS { "" } else { &*self.ns };
        let mut name = local_name(&self.name);
        if let Some(prefix) = prefix {
            name = Cow::Owned(format!("{prefix}:{name}"));
        }
        let mut default = parent_default;
        let mut writer = Writer::new(out);
        writer.start(&name);
        if prefix.is_none() && *ns != *parent_default {
            writer.attribute("xmlns", ns);
            default = ns;
        }
        self.write_attributes(&mut writer);
        if self.nodes.is_empty() {
            writer.empty();
            return;
        }
        writer.open();
        for node in &self.nodes {
            match node {
                Node::Text(text) => drop(Writer::new(out).text(text)),
                Node::Element(element) => element.write_as(out, None, default),
            }
        }
        Writer::new(out).end(&name);
    }

    fn write_attributes(&self, writer: &mut Writer<'_>) {
        let mut foreign: Vec<&str> = Vec::new();
        for Attribute { ns, name, value } in &self.attributes {
            // Repaired, it could be the name of another attribute.
            if !chars::is_ncname(name) || !chars::all_chars(ns) {
                continue;
            }
            if ns.is_empty() {
                // Written as an attribute it would become a declaration.
                if **name != *"xmlns" {
                    writer.attribute(name, value);
                }
            } else if **ns == *XML_NS {
                writer.attribute(&format!("xml:{name}"), value);
            } else if **ns != *XMLNS_NS {
                let known = foreign.iter().position(|known| *known == &**ns);
                let at = known.unwrap_or(foreign.len());
                if known.is_none() {
                    writer.attribute(&format!("xmlns:a{at}"), ns);
                    foreign.push(ns);
                }
                writer.attribute(&format!("a{at}:{name}"), value);
            }
        }
    }

    /// Can the element be written without any change to it?
    ///
    /// # Errors
    /// What stands in the way: a name outside the grammar, a character that XML does not allow, a
    /// namespace that cannot be declared.
    pub fn check(&self) -> Result<(), XmlError> {
        let name = |name: &str| if chars::is_ncname(name) { Ok(()) } else { Err(XmlError::Name) };
        let text = |text: &str| if chars::all_chars(text) { Ok(()) } else { Err(XmlError::Char) };
        let ns = |ns: &str| if ns == XMLNS_NS { Err(XmlError::Declared) } else { text(ns) };
        name(&self.name)?;
        ns(&self.ns)?;
        for attribute in &self.attributes {
            name(&attribute.name)?;
            ns(&attribute.ns)?;
            text(&attribute.value)?;
            if attribute.ns.is_empty() && *attribute.name == *"xmlns" {
                return Err(XmlError::Declared);
            }
        }
        self.nodes.iter().try_for_each(|node| match node {
            Node::Text(value) => text(value),
            Node::Element(element) => element.check(),
        })
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.ns == other.ns
            && self.name == other.name
            && self.attributes.len() == other.attributes.len()
            && self.attributes.iter().all(|a| other.attributes.contains(a))
            && self.nodes == other.nodes
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = BytesMut::new();
        self.write(&mut out, "");
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl std::str::FromStr for Element {
    type Err = XmlError;

    fn from_str(text: &str) -> Result<Self, XmlError> {
        Self::parse(text)
    }
}

/// Makes a tree from text that `scan` accepted, in one pass.
pub(crate) struct Builder<'s, 'a> {
    scope: &'s Scope<'a>,
    /// The declarations inside of what is built, innermost last.
    bindings: Vec<(&'a str, Cow<'a, str>)>,
    /// The open elements, and how many bindings there were outside of each.
    open: Vec<(Element, usize)>,
}

impl<'s, 'a> Builder<'s, 'a> {
    pub(crate) const fn new(scope: &'s Scope<'a>) -> Self {
        Self { scope, bindings: Vec::new(), open: Vec::new() }
    }

    /// Builds the one element that `text` holds.
    pub(crate) fn build(mut self, text: &'a str) -> Element {
        let mut reader = trusting(text);
        loop {
            let before = position(&reader);
            let Ok(event) = reader.read_event() else { return Element::new("", "") };
            let after = position(&reader);
            let tag = |close: usize| text.get(before + 1..after - close).unwrap_or_default();
            let finished = match event {
                Event::Start(_) => {
                    self.start(tag(1));
                    None
                }
                Event::Empty(_) => {
                    self.start(tag(2));
                    self.end()
                }
                Event::End(_) => self.end(),
                Event::Text(text) => {
                    self.text(&unescape::cdata(&text));
                    None
                }
                Event::CData(text) => {
                    self.text(&unescape::cdata(&text));
                    None
                }
                Event::GeneralRef(name) => {
                    if let Ok(c) = unescape::reference(&name) {
                        self.text(c.encode_utf8(&mut [0; 4]));
                    }
                    None
                }
                Event::Eof => return Element::new("", ""),
                _ => None,
            };
            if let Some(element) = finished {
                return element;
            }
        }
    }

    fn start(&mut self, tag: &'a str) {
        let (name, attributes) = split_tag(tag);
        let outside = self.bindings.len();
        self.bindings.extend(declarations(attributes));
        let mut element = Element::new(&self.resolve(&name), name.local);
        for attribute in AttributeIter::new(attributes).filter(|a| a.declares().is_none()) {
            let ns = match attribute.name.prefix {
                "" => Cow::Borrowed(""),
                _ => self.resolve(&attribute.name),
            };
            element.attributes.push(Attribute {
                ns: ns.as_ref().into(),
                name: attribute.name.local.into(),
                value: unescape::attribute(attribute.value).into_owned(),
            });
        }
        self.open.push((element, outside));
    }

    fn resolve(&self, name: &QName<'_>) -> Cow<'a, str> {
        if name.prefix == "xml" {
            return Cow::Borrowed(XML_NS);
        }
        match self.bindings.iter().rev().find(|(prefix, _)| *prefix == name.prefix) {
            Some((_, ns)) => ns.clone(),
            None => self.scope.lookup(name.prefix),
        }
    }

    /// Closes the innermost element; the outermost one is the result.
    fn end(&mut self) -> Option<Element> {
        let (element, bindings) = self.open.pop()?;
        self.bindings.truncate(bindings);
        match self.open.last_mut() {
            Some((parent, _)) => {
                parent.nodes.push(Node::Element(element));
                None
            }
            None => Some(element),
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((element, _)) = self.open.last_mut() {
            match element.nodes.last_mut() {
                _ if text.is_empty() => {}
                Some(Node::Text(last)) => last.push_str(text),
                _ => element.nodes.push(Node::Text(text.to_owned())),
            }
        }
    }
}
