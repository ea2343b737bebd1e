//! Writing a validated element into another stream: a new start tag, the same content.

use bytes::{BufMut, BytesMut};

use super::{Child, Scanned};
use crate::chars;
use crate::context::{CLIENT_NS, SERVER_NS};
use crate::element::Element;
use crate::tag::AttributeIter;
use crate::writer::{Writer, escape_attribute};

impl Scanned {
    /// Writes the element with some attributes set or removed and its content untouched.
    ///
    /// `set` names attributes as they are written (`from`, `xml:lang`); `None` removes one.
    /// Prefixes that the element inherited from its stream are declared in the new start tag.
    /// The default namespace is not: the target stream must have the same one, or use
    /// [`write_edited`](Self::write_edited).
    pub fn write_with(&self, out: &mut BytesMut, set: &[(&str, Option<&str>)]) {
        let edit = Edit { set, ..Edit::default() };
        self.write_edited(out, &edit);
    }

    /// Writes the element with the changes that `edit` describes.
    pub fn write_edited(&self, out: &mut BytesMut, edit: &Edit<'_>) {
        let default = self.write_start(out, edit);
        let raw: &[u8] = self.raw();
        let root = &self.index().root;
        if root.empty && edit.append.is_empty() {
            out.put_slice(b"/>");
            return;
        }
        out.put_u8(b'>');
        match edit.keep {
            None => out.put_slice(root.content(raw)),
            Some(keep) => self.write_kept(out, keep),
        }
        for element in edit.append {
            element.write(out, default);
        }
        out.put_slice(b"</");
        out.put_slice(root.qname(raw).as_bytes());
        out.put_u8(b'>');
    }

    /// The content without the children that are not to be kept.
    fn write_kept(&self, out: &mut BytesMut, keep: &dyn Fn(&Child<'_>) -> bool) {
        let raw: &[u8] = self.raw();
        let mut from = self.index().root.tag.end as usize;
        for entry in &self.index().children {
            if keep(&Child::indexed(self, entry)) {
                continue;
            }
            out.put_slice(raw.get(from..entry.tag.start as usize).unwrap_or_default());
            from = entry.end as usize;
        }
        let end = self.index().root.content_end as usize;
        out.put_slice(raw.get(from..end).unwrap_or_default());
    }

    /// Writes the start tag up to its `>` and says what the default namespace inside is.
    fn write_start<'a>(&'a self, out: &mut BytesMut, edit: &Edit<'a>) -> &'a str {
        let raw: &[u8] = self.raw();
        let root = &self.index().root;
        out.put_u8(b'<');
        out.put_slice(root.qname(raw).as_bytes());
        let default = self.target_default(edit);
        let mut declared = None;
        for attribute in AttributeIter::new(root.attributes(raw)) {
            let name = attribute.name.whole;
            if name == "xmlns" {
                declared = Some(attribute.value);
                if default.moved {
                    continue;
                }
            } else if settable(name) && edit.set.iter().any(|(key, _)| *key == name) {
                continue;
            }
            let quote = if memchr::memchr(b'"', attribute.value.as_bytes()).is_some() {
                b'\''
            } else {
                b'"'
            };
            put_attribute_raw(out, name, attribute.value, quote);
        }
        for (at, (name, value)) in edit.set.iter().enumerate() {
            let later = edit.set.get(at + 1..).unwrap_or_default();
            let replaced = later.iter().any(|(other, _)| other == name);
            if let Some(value) = value.filter(|_| !replaced && settable(name)) {
                Writer::new(out).attribute(name, value);
            }
        }
        for at in &self.index().inherited {
            let (prefix, ns) = self.context().binding(*at as usize);
            put_declaration(out, prefix, ns);
        }
        if declared.is_none() && default.declare {
            put_declaration(out, "", default.inside);
        }
        default.inside
    }

    /// What becomes of the default namespace in the target stream.
    fn target_default<'a>(&'a self, edit: &Edit<'a>) -> TargetDefault<'a> {
        let own = self.declared("");
        let outside = self.context().default_namespace();
        let declares = own.is_some();
        let inside = own.unwrap_or(outside);
        let Some(target) = edit.default_namespace else {
            return TargetDefault { inside, moved: false, declare: false };
        };
        // RFC 6120 §4.8.3: a stanza takes the content namespace of the stream it is sent on.
        let content = |ns: &str| ns == CLIENT_NS || ns == SERVER_NS;
        let unprefixed = !self.index().root.qname(self.raw()).contains(':');
        if unprefixed && content(inside) && content(target) {
            return TargetDefault { inside: target, moved: true, declare: false };
        }
        let declare = !declares && self.index().inherits_default && outside != target;
        let inside = if declares || declare { inside } else { target };
        TargetDefault { inside, moved: false, declare }
    }
}

/// May a caller set this attribute? Declarations and foreign prefixes are not its business.
fn settable(name: &str) -> bool {
    let local = name.strip_prefix("xml:").unwrap_or(name);
    chars::is_ncname(local) && local != "xmlns"
}

/// How an element is to be changed while it is written.
#[derive(Default, Clone, Copy)]
pub struct Edit<'a> {
    /// Attributes to set, or to remove with `None`, by their names as written; the last word
    /// counts. What is no name, and what would declare a namespace, is passed over.
    pub set: &'a [(&'a str, Option<&'a str>)],
    /// Says which direct children stay; all of them without it.
    pub keep: Option<&'a dyn Fn(&Child<'_>) -> bool>,
    /// Elements to add behind the content.
    pub append: &'a [Element],
    /// The default namespace of the target stream, when it is not that of this element's stream.
    ///
    /// A stanza moves between `jabber:client` and `jabber:server` (RFC 6120 §4.8.3); any other
    /// element keeps its namespace and gets a declaration where it needs one.
    pub default_namespace: Option<&'a str>,
}

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("set", &self.set)
            .field("append", &self.append.len())
            .field("default_namespace", &self.default_namespace)
            .finish_non_exhaustive()
    }
}

struct TargetDefault<'a> {
    /// The default namespace inside the written element.
    inside: &'a str,
    /// The element takes the target's default namespace: its own declaration is left out.
    moved: bool,
    /// The default namespace must be declared.
    declare: bool,
}

fn put_declaration(out: &mut BytesMut, prefix: &str, ns: &str) {
    out.put_slice(b" xmlns");
    if !prefix.is_empty() {
        out.put_u8(b':');
        out.put_slice(prefix.as_bytes());
    }
    out.put_slice(b"=\"");
    escape_attribute(out, ns);
    out.put_u8(b'"');
}

fn put_attribute_raw(out: &mut BytesMut, name: &str, value: &str, quote: u8) {
    out.put_u8(b' ');
    out.put_slice(name.as_bytes());
    out.put_u8(b'=');
    out.put_u8(quote);
    out.put_slice(value.as_bytes());
    out.put_u8(quote);
}
