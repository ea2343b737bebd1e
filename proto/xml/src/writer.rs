//! The one place where bytes are made from elements: escaping and start tags.
//!
//! Whatever text is given, the output is well-formed: characters that XML does not allow are
//! written as U+FFFD, names that are no names are repaired. Who would rather refuse asks
//! [`Element::check`](crate::Element::check) first.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use crate::chars;

const REPLACEMENT: &str = "\u{FFFD}";

/// Writes character data with everything escaped that has a meaning in text.
pub fn escape_text(out: &mut BytesMut, text: &str) {
    escape(out, text, |b| match b {
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'&' => Some("&amp;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

/// Writes an attribute value, fit for either kind of quotes, so that it reads back unchanged.
pub fn escape_attribute(out: &mut BytesMut, value: &str) {
    escape(out, value, |b| match b {
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'&' => Some("&amp;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn escape(out: &mut BytesMut, text: &str, replacement: impl Fn(u8) -> Option<&'static str>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &b) in bytes.iter().enumerate() {
        let (with, skip) = match b {
            0..=0x1F | b'"' | b'&' | b'\'' | b'<' | b'>' => match replacement(b) {
                Some(with) => (with, 1),
                None if b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r') => (REPLACEMENT, 1),
                None => continue,
            },
            0xEF if matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])) => {
                (REPLACEMENT, 3)
            }
            _ => continue,
        };
        out.put_slice(bytes.get(written..at).unwrap_or_default());
        out.put_slice(with.as_bytes());
        written = at + skip;
    }
    out.put_slice(bytes.get(written..).unwrap_or_default());
}

/// Writes markup piece by piece, for what is not an [`Element`](crate::Element): stream headers
/// and other tags that stay open.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self { out }
    }

    /// The XML declaration with which a stream may begin.
    pub fn declaration(&mut self) -> &mut Self {
        self.out.put_slice(b"<?xml version='1.0' encoding='UTF-8'?>");
        self
    }

    /// `<name`: attributes follow, then [`open`](Self::open) or [`empty`](Self::empty).
    pub fn start(&mut self, name: &str) -> &mut Self {
        self.out.put_u8(b'<');
        self.name(name);
        self
    }

    /// ` name="value"`.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        self.out.put_u8(b' ');
        self.name(name);
        self.out.put_slice(b"=\"");
        escape_attribute(self.out, value);
        self.out.put_u8(b'"');
        self
    }

    /// ` name="value"` when there is a value.
    pub fn attribute_opt(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Ends a start tag whose element has content.
    pub fn open(&mut self) -> &mut Self {
        self.out.put_u8(b'>');
        self
    }

    /// Ends the tag of an element without content.
    pub fn empty(&mut self) -> &mut Self {
        self.out.put_slice(b"/>");
        self
    }

    /// Character data.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape_text(self.out, text);
        self
    }

    /// `</name>`.
    pub fn end(&mut self, name: &str) -> &mut Self {
        self.out.put_slice(b"</");
        self.name(name);
        self.out.put_u8(b'>');
        self
    }

    /// A qualified name; what is no name is repaired rather than written.
    fn name(&mut self, name: &str) {
        let valid = match name.split_once(':') {
            Some((prefix, local)) => chars::is_ncname(prefix) && chars::is_ncname(local),
            None => chars::is_ncname(name),
        };
        if valid {
            self.out.put_slice(name.as_bytes());
        } else {
            self.out.put_slice(repaired(name).as_bytes());
        }
    }
}

/// The name when it is one without a prefix, otherwise one made of it.
pub(crate) fn local_name(name: &str) -> Cow<'_, str> {
    if chars::is_ncname(name) { Cow::Borrowed(name) } else { Cow::Owned(repaired(name)) }
}

/// A name made of the ASCII letters and digits of `name`.
#[cold]
fn repaired(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    std::iter::once('_').chain(name.chars().map(word)).collect()
}
