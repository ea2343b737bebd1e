//! What a stream is: decided by its first bytes, in the mode that sticks to the connection.
//!
//! Multistream XMPP types its streams with a varint; the earlier multi-stream text and XEP-0467
//! begin with XML. Both share an ALPN label, and `<`, white space and the byte order mark are not
//! assigned as types, so that one look tells them apart.

use crate::{limits, stream::Mode, varint};

/// Type of a Primary stream.
pub const PRIMARY: u64 = 0;
/// Type of an Ancillary stream.
pub const ANCILLARY: u64 = 1;

/// What the first bytes of a stream say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// Too few bytes to tell.
    More,
    /// A Primary stream; content starts at `skip`.
    Primary {
        /// Length of the header.
        skip: usize,
    },
    /// An Ancillary stream of the session whose Primary stream has this id.
    Ancillary {
        /// Length of the header.
        skip: usize,
        /// The Session ID.
        session: u64,
    },
    /// XML that opens a stream: an untyped Primary, or an independent session.
    TextHeader,
    /// XML that does not open a stream: stanzas of the bound session.
    TextStanza,
    /// A type that is not known here.
    Unknown,
}

/// Looks at the first bytes of a stream that arrived in `mode` (`None`: the connection's first).
#[must_use]
pub fn sniff(bytes: &[u8], mode: Option<Mode>) -> Sniffed {
    let Some(first) = bytes.first() else { return Sniffed::More };
    let text = matches!(first, b'<' | b' ' | b'\t' | b'\r' | b'\n')
        || (*first == 0xef && bytes.len() < 3)
        || bytes.starts_with(b"\xef\xbb\xbf");
    match mode {
        Some(Mode::Multistream) => sniff_type(bytes),
        Some(Mode::Untyped | Mode::Single) if text => sniff_text(bytes),
        Some(Mode::Untyped | Mode::Single) => Sniffed::Unknown,
        None if *first == 0xef && bytes.len() < 3 => Sniffed::More,
        None if text => sniff_text(bytes),
        None => sniff_type(bytes),
    }
}

fn sniff_type(bytes: &[u8]) -> Sniffed {
    let Some((kind, skip)) = varint::decode(bytes) else { return Sniffed::More };
    match kind {
        PRIMARY => Sniffed::Primary { skip },
        ANCILLARY => match varint::decode(bytes.get(skip..).unwrap_or_default()) {
            Some((session, length)) => Sniffed::Ancillary { skip: skip + length, session },
            None => Sniffed::More,
        },
        _ => Sniffed::Unknown,
    }
}

fn sniff_text(bytes: &[u8]) -> Sniffed {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = text.trim_ascii_start();
    for opening in [&b"<?xml"[..], b"<stream:stream"] {
        if text.starts_with(opening) {
            return Sniffed::TextHeader;
        }
        if opening.starts_with(text) {
            return if bytes.len() < limits::SNIFF_BYTES {
                Sniffed::More
            } else {
                Sniffed::Unknown
            };
        }
    }
    // Any other prefix may be bound to the streams namespace; the parser finds out.
    match text.iter().position(|byte| b" \t\r\n>/".contains(byte)) {
        Some(end) if text.get(..end).is_some_and(|name| name.ends_with(b":stream")) => {
            Sniffed::TextHeader
        }
        Some(_) => Sniffed::TextStanza,
        None if bytes.len() < limits::SNIFF_BYTES => Sniffed::More,
        None => Sniffed::TextStanza,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_varints_of_any_length() {
        assert_eq!(sniff(&[0], None), Sniffed::Primary { skip: 1 });
        assert_eq!(sniff(&[0x40, 0x00], None), Sniffed::Primary { skip: 2 });
        assert_eq!(sniff(&[1], None), Sniffed::More);
        assert_eq!(sniff(&[1, 4], None), Sniffed::Ancillary { skip: 2, session: 4 });
        assert_eq!(sniff(&[1, 0x44], None), Sniffed::More);
        assert_eq!(sniff(&[1, 0x44, 0], None), Sniffed::Ancillary { skip: 3, session: 1024 });
        assert_eq!(sniff(&[2], None), Sniffed::Unknown);
        assert_eq!(sniff(&[0x80], None), Sniffed::More);
    }

    #[test]
    fn text_is_told_from_types_on_the_first_stream_only() {
        assert_eq!(sniff(b"", None), Sniffed::More);
        assert_eq!(sniff(b"<?xml version='1.0'?>", None), Sniffed::TextHeader);
        assert_eq!(sniff(b"\n <stream:stream ", None), Sniffed::TextHeader);
        assert_eq!(sniff(b"\xef\xbb\xbf<stream:stream ", None), Sniffed::TextHeader);
        assert_eq!(sniff(b"\xef\xbb", None), Sniffed::More);
        assert_eq!(sniff(b"<str", None), Sniffed::More);
        assert_eq!(sniff(b"<s:stream xmlns:s='x'", None), Sniffed::TextHeader);
        assert_eq!(sniff(b"<message to='a'>", Some(Mode::Untyped)), Sniffed::TextStanza);
        assert_eq!(sniff(b"<iq/>", Some(Mode::Untyped)), Sniffed::TextStanza);
        assert_eq!(sniff(b"<message", Some(Mode::Multistream)), Sniffed::Unknown);
        assert_eq!(sniff(&[0], Some(Mode::Untyped)), Sniffed::Unknown);
    }

    #[test]
    fn white_space_does_not_hold_a_stream_for_ever() {
        for (length, expected) in [
            (limits::SNIFF_BYTES - 1, Sniffed::More),
            (limits::SNIFF_BYTES, Sniffed::Unknown),
            (limits::SNIFF_BYTES + 1, Sniffed::Unknown),
        ] {
            assert_eq!(sniff(&vec![b' '; length], None), expected, "{length} spaces");
        }
    }
}
