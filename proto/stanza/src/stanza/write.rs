//! From a [`Stanza`] to bytes, and the few changes to a body.

use bytes::{Bytes, BytesMut};
use longwire_xml::{Child, Context, Edit, Element, Scanned, scan};
use smallvec::SmallVec;

use super::{Kind, Stanza, hop};
use crate::{Jid, limits, ns};

/// No stream has this default namespace, so an element written under it names its own.
const NO_DEFAULT: &str = "urn:longwire:none";

impl Stanza {
    /// Writes the stanza for a client stream, with `extra` attributes of this hop.
    ///
    /// The start tag is made anew and complete with its namespaces; all attributes that are
    /// not the header's are kept, except those of the hop on which the stanza came. The content
    /// is copied byte for byte. The prefix of an extra attribute must be bound by the stream:
    /// see [`ns::MULTI_STREAM_PREFIX`].
    pub fn write(&self, out: &mut BytesMut, extra: &[(&str, &str)]) {
        self.write_under(out, extra, ns::CLIENT);
    }

    /// Writes the stanza where `default` is the default namespace: `jabber:server` on a stream
    /// to another server; that of the parent inside another element, such as `<forwarded/>`
    /// (XEP-0297).
    ///
    /// `//= RFC 6120 §4.8.3`
    pub fn write_under(&self, out: &mut BytesMut, extra: &[(&str, &str)], default: &str) {
        let inner = &*self.inner;
        let start = out.len();
        out.reserve(self.wire_len());
        let lang = inner.body.lang();
        let mut set: SmallVec<[(&str, Option<&str>); 12]> = SmallVec::new();
        set.push(("from", inner.from.as_ref().map(Jid::as_str)));
        set.push(("to", inner.to.as_ref().map(Jid::as_str)));
        set.push(("id", inner.id.as_deref()));
        if let Some(lang) = &lang {
            set.push(("xml:lang", Some(lang)));
        }
        let edit = Edit { set: &set, default_namespace: Some(default), ..Edit::default() };
        inner.body.write_edited(out, &edit);
        if let Some(added) = &inner.added {
            insert(out, start, &added.content());
        }
        hop::add_attributes(out, start, extra, &inner.body);
    }

    /// The stanza as bytes for a client stream.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write(&mut out, &[]);
        out.freeze()
    }

    /// The stanza as text; for tests and diagnostics.
    pub fn to_xml(&self) -> String {
        String::from_utf8_lossy(&self.to_bytes()).into_owned()
    }

    /// The stanza as an element; costly, for tests and for the few that take it apart.
    pub fn to_element(&self) -> Element {
        own(self.to_bytes(), 0, self.kind().as_str()).element()
    }
}

/// Inserts bytes at the end of the content of the element that was written from `start` on.
fn insert(out: &mut BytesMut, start: usize, content: &[u8]) {
    let element = out.get(start..).unwrap_or_default();
    let mut tail: SmallVec<[u8; 32]> = SmallVec::new();
    let empty = element.ends_with(b"/>");
    let keep = if empty {
        let name = element.get(1..).unwrap_or_default();
        let name = name.iter().take_while(|b| !b.is_ascii_whitespace() && **b != b'/');
        tail.extend_from_slice(b"</");
        tail.extend(name.copied());
        tail.push(b'>');
        element.len() - 2
    } else {
        let end = element.iter().rposition(|b| *b == b'<').unwrap_or(element.len());
        tail.extend_from_slice(element.get(end..).unwrap_or_default());
        end
    };
    out.truncate(start + keep);
    if empty {
        out.extend_from_slice(b">");
    }
    out.extend_from_slice(content);
    out.extend_from_slice(&tail);
}

/// What was appended before, and one more element.
pub(super) fn appended(before: Option<&Scanned>, child: &Element) -> Scanned {
    let mut raw = BytesMut::from(&b"<added>"[..]);
    if let Some(before) = before {
        raw.extend_from_slice(&before.content());
    }
    child.write(&mut raw, NO_DEFAULT);
    raw.extend_from_slice(b"</added>");
    own(raw.freeze(), 0, "added")
}

/// The same element without some of its children.
pub(super) fn stripped(body: &Scanned, unwanted: &dyn Fn(&Child<'_>) -> bool) -> Scanned {
    let keep = |child: &Child<'_>| !unwanted(child);
    let mut kept = BytesMut::with_capacity(body.raw().len());
    body.write_edited(&mut kept, &Edit { keep: Some(&keep), ..Edit::default() });
    // What was well-formed is so without one of its children.
    scan(kept.freeze(), body.context(), &limits::OWN).unwrap_or_else(|_| body.clone())
}

/// The same element in the namespace of client streams, if it stood in that of servers.
pub(super) fn as_client(body: &Scanned) -> Scanned {
    let lang = body.lang();
    let set: &[(&str, Option<&str>)] = &[("xml:lang", lang.as_deref())];
    let edit = Edit { set, default_namespace: Some(ns::CLIENT), ..Edit::default() };
    let mut raw = BytesMut::with_capacity(body.raw().len());
    body.write_edited(&mut raw, &edit);
    scan(raw.freeze(), &Context::client(), &limits::OWN).unwrap_or_else(|_| body.clone())
}

/// Reads what we wrote: an element whose start tag, without its end, has `tag` bytes.
///
/// Should it not be sound, the content is lost and the start tag stays.
pub(super) fn own(raw: Bytes, tag: usize, name: &str) -> Scanned {
    let context = Context::client();
    if let Ok(scanned) = scan(raw.clone(), &context, &limits::OWN) {
        return scanned;
    }
    debug_assert!(false, "we wrote XML that we do not accept");
    let mut empty = BytesMut::from(raw.get(..tag).unwrap_or_default());
    empty.extend_from_slice(b"/>");
    scan(empty.freeze(), &context, &limits::OWN).unwrap_or_else(|_| bare(name))
}

fn bare(name: &str) -> Scanned {
    let raw: &'static [u8] = match Kind::from_name(name) {
        Some(Kind::Message) => b"<message/>",
        Some(Kind::Presence) => b"<presence/>",
        Some(Kind::Iq) => b"<iq/>",
        None => b"<added/>",
    };
    let scanned = scan(Bytes::from_static(raw), &Context::client(), &limits::OWN);
    scanned.expect("these four constants are well-formed")
}
