//! Attributes that belong to one hop: taken off a stanza that comes, put on one that goes.
//!
//! They stand in the start tag of a stanza among attributes and declarations that its sender
//! chose, so nothing that a sender can write there may change what ours mean, nor meet them in a
//! way that ends the recipient's stream.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use longwire_xml::{Context, Scanned, Writer, scan};

use crate::{limits, ns};

/// The attributes of [`ns::MULTI_STREAM`].
const ATTRIBUTES: [&str; 2] = ["q", "d"];

/// The same element without attributes of the hop, and without another meaning of our prefix.
///
/// Elements that have a prefix for the namespace of stanzas lose it.
///
/// `//= RFC 6120 §4.8.5`
pub(super) fn cleaned(body: Scanned) -> Scanned {
    let is_odd = body.prefixes_content() || binds_our_prefix(&body);
    let body = if is_odd { rewritten(body) } else { body };
    let raw = body.raw();
    let tag = start_tag(raw);
    if !tag.windows(2).any(|w| w == b":q" || w == b":d") {
        return body;
    }
    let mut kept = BytesMut::with_capacity(raw.len());
    let mut copied = 0;
    for (name, whole) in attributes(tag) {
        if is_of_hop(&body, name) {
            kept.extend_from_slice(raw.get(copied..whole.start).unwrap_or_default());
            copied = whole.end;
        }
    }
    if copied == 0 {
        return body;
    }
    kept.extend_from_slice(raw.get(copied..).unwrap_or_default());
    rescanned(kept.freeze(), body.context()).unwrap_or(body)
}

/// Adds attributes to the start tag of what was written from `start` on.
pub(super) fn add_attributes(
    out: &mut BytesMut,
    start: usize,
    extra: &[(&str, &str)],
    body: &Scanned,
) {
    let before = out.len();
    for (name, value) in extra {
        // The same name twice would not be well-formed.
        if body.attribute(name).is_none() {
            Writer::new(out).attribute(name, value);
        }
    }
    let added = out.len() - before;
    let element = out.get_mut(start..).unwrap_or_default();
    let name = element.iter().take_while(|b| !ends_name(**b)).count();
    if let Some(rest) = element.get_mut(name..) {
        rest.rotate_right(added);
    }
}

/// Whether something in the element may use our prefix for another namespace.
fn binds_our_prefix(body: &Scanned) -> bool {
    let declared = start_tag(body.raw()).windows(7).any(|w| w == b"xmlns:m");
    let declared = declared
        .then(|| body.attribute("xmlns:m"))
        .flatten()
        .is_some_and(|namespace| namespace != ns::MULTI_STREAM);
    let inherited = body.context().lookup(ns::MULTI_STREAM_PREFIX);
    declared || inherited.is_some_and(|namespace| namespace != ns::MULTI_STREAM)
}

/// The same element with prefixes of our choice.
fn rewritten(body: Scanned) -> Scanned {
    let mut element = body.element();
    if let (None, Some(lang)) = (element.attribute("xml:lang"), body.lang()) {
        element = element.attr("xml:lang", lang);
    }
    let mut raw = BytesMut::with_capacity(body.raw().len());
    element.write(&mut raw, ns::CLIENT);
    rescanned(raw.freeze(), &Context::client()).unwrap_or(body)
}

fn rescanned(raw: Bytes, context: &Context) -> Option<Scanned> {
    scan(raw, context, &limits::OWN).ok()
}

fn is_of_hop(body: &Scanned, name: &str) -> bool {
    let Some((prefix, local)) = name.split_once(':') else { return false };
    if !ATTRIBUTES.contains(&local) {
        return false;
    }
    match body.attribute(&format!("xmlns:{prefix}")) {
        Some(namespace) => namespace == ns::MULTI_STREAM,
        None => body.context().lookup(prefix) == Some(ns::MULTI_STREAM),
    }
}

/// The start tag, and perhaps some text behind it: no attribute value has a `<`.
fn start_tag(raw: &[u8]) -> &[u8] {
    let end = raw.iter().skip(1).position(|b| *b == b'<').map_or(raw.len(), |at| at + 1);
    raw.get(..end).unwrap_or_default()
}

/// The attributes of a valid start tag: their names, and where they are, white space before
/// them included.
fn attributes(tag: &[u8]) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut at = tag.iter().take_while(|b| !ends_name(**b)).count();
    std::iter::from_fn(move || {
        let start = at;
        let rest = tag.get(start..)?;
        let space = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let rest = rest.get(space..)?;
        let equals = rest.iter().position(|b| matches!(b, b'=' | b'>'))?;
        if rest.get(equals) != Some(&b'=') {
            return None;
        }
        let name = std::str::from_utf8(rest.get(..equals)?).ok()?.trim_ascii_end();
        let open = equals + rest.get(equals..)?.iter().position(|b| matches!(b, b'"' | b'\''))?;
        let quote = rest.get(open)?;
        let length = rest.get(open + 1..)?.iter().position(|b| b == quote)?;
        at = start + space + open + 1 + length + 1;
        Some((name, start..at))
    })
}

fn ends_name(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>')
}
