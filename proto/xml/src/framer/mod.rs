//! Cuts a stream of bytes into a stream header, top-level elements and a footer.
//!
//! The framer finds where an element ends and refuses what can be refused on sight: comments,
//! processing instructions, document types, text between elements, excess size and depth. Whether
//! the element is correct is decided by [`scan`](crate::scan), which accepts the frame only as
//! exactly one element, so that the two can never disagree about where a stanza ends.
//!
//! Each byte is looked at once, however the bytes are cut into chunks. An element that lies in
//! one chunk is a slice of it; only what is incomplete is copied.

mod machine;

use bytes::{Bytes, BytesMut};

use crate::chars::is_space;
use crate::error::XmlError;
use crate::limits::{Limit, Limits};
use machine::{Kind, Machine, Step};

/// What the framer cuts out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The stream's start tag with the XML declaration before it, for
    /// [`StreamHeader::parse`](crate::StreamHeader::parse).
    Header(Bytes),
    /// One complete top-level element, for [`scan`](crate::scan).
    Element(Bytes),
    /// The stream's end tag.
    Footer,
}

/// An incremental framer; memory is held only for an element that is not complete.
///
/// An error is final: every later [`Framer::next`] returns it again, because the place where the
/// next element begins is no longer known.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    machine: Machine,
    /// The name of the stream's start tag, which the footer must repeat.
    opened: Box<[u8]>,
    /// An empty stream header was returned and its footer is due.
    footer_due: bool,
    /// Bytes of the current frame from earlier chunks; at most `limits.stanza_bytes`.
    partial: BytesMut,
    /// What was pushed and not yet consumed. Its first `seen` bytes belong to the current frame.
    current: Bytes,
    seen: usize,
    /// What was pushed behind that. Copied, so that tiny chunks take no more room than they have
    /// bytes; there is none while the caller takes the frames before it pushes more.
    queued: BytesMut,
    /// White space between frames was dropped.
    skipped: bool,
    failed: Option<XmlError>,
}

impl Framer {
    /// A framer for a stream that begins with a stream header.
    #[must_use]
    pub fn stream(limits: Limits) -> Self {
        Self::new(limits, Machine::stream())
    }

    /// A framer for bytes that hold nothing but complete elements.
    #[must_use]
    pub fn elements(limits: Limits) -> Self {
        Self::new(limits, Machine::elements())
    }

    fn new(limits: Limits, machine: Machine) -> Self {
        Self {
            limits,
            machine,
            opened: Box::default(),
            footer_due: false,
            partial: BytesMut::new(),
            current: Bytes::new(),
            seen: 0,
            queued: BytesMut::new(),
            skipped: false,
            failed: None,
        }
    }

    /// Adds received bytes; take the frames with [`Framer::next`] before pushing more, or the
    /// bytes are copied once more.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.current.is_empty() && self.queued.is_empty() {
            self.current = chunk;
        } else {
            self.queued.extend_from_slice(&chunk);
        }
    }

    /// The next frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The stream must be closed with the error's condition; every later call fails likewise.
    #[allow(clippy::should_implement_trait, reason = "not an iterator: it goes on after None")]
    pub fn next(&mut self) -> Result<Option<Frame>, XmlError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        if let Err(error) = result {
            self.failed = Some(error);
        }
        result
    }

    /// Applies other limits from the next byte on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Expects a new stream header, as after a successful SASL negotiation (RFC 6120 §4.3.3).
    ///
    /// Bytes that were received already are kept. White space that still belongs to the old
    /// stream may come before the XML declaration of the new one.
    pub fn restart(&mut self) {
        self.machine = Machine::restarted();
        self.opened = Box::default();
        self.footer_due = false;
    }

    /// Whether white space between frames was dropped since the last call: most of the time it
    /// means that the peer is alive, and in places it is forbidden (XEP-0388 §2.4).
    pub fn take_skipped(&mut self) -> bool {
        std::mem::take(&mut self.skipped)
    }

    /// Bytes that are held and not yet part of a returned frame.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.current.len() + self.queued.len()
    }

    /// Takes everything that is not yet part of a returned frame, such as the first bytes of TLS.
    pub fn take_rest(&mut self) -> Bytes {
        let current = std::mem::take(&mut self.current);
        self.seen = 0;
        if self.partial.is_empty() && self.queued.is_empty() {
            return current;
        }
        let mut rest = std::mem::take(&mut self.partial);
        rest.extend_from_slice(&current);
        rest.extend_from_slice(&std::mem::take(&mut self.queued));
        rest.freeze()
    }

    fn advance(&mut self) -> Result<Option<Frame>, XmlError> {
        if std::mem::take(&mut self.footer_due) {
            self.machine.end();
            return Ok(Some(Frame::Footer));
        }
        loop {
            if self.seen == self.current.len() && !self.next_chunk() {
                return Ok(None);
            }
            // The machine never sees a byte beyond the limit, so that what it reports does not
            // depend on how much arrived at once.
            let held = self.partial.len() + self.seen;
            let room = self.limits.stanza_bytes.saturating_sub(held);
            let unseen = self.current.get(self.seen..).unwrap_or_default();
            let window = unseen.get(..room).unwrap_or(unseen);
            if window.is_empty() {
                return Err(XmlError::TooLarge(Limit::StanzaBytes));
            }
            match self.machine.run(window, self.limits.depth)? {
                Step::More => self.seen += window.len(),
                Step::Skipped(n) => {
                    self.skipped = true;
                    let _ = self.current.split_to(n);
                }
                Step::Complete(n, kind) => {
                    self.seen += n;
                    return self.complete(kind).map(Some);
                }
            }
        }
    }

    /// Makes the next queued chunk current, keeping what was seen of the last one.
    fn next_chunk(&mut self) -> bool {
        self.partial.extend_from_slice(&self.current);
        self.current = std::mem::take(&mut self.queued).freeze();
        self.seen = 0;
        !self.current.is_empty()
    }

    /// Hands out the frame that ends after the bytes seen.
    fn complete(&mut self, kind: Kind) -> Result<Frame, XmlError> {
        let last = self.current.split_to(self.seen);
        self.seen = 0;
        let raw = if self.partial.is_empty() {
            last
        } else {
            self.partial.extend_from_slice(&last);
            std::mem::take(&mut self.partial).freeze()
        };
        match kind {
            Kind::Element => Ok(Frame::Element(raw)),
            Kind::Header { empty } => {
                self.opened = header_name(&raw, self.limits.name_bytes)?;
                self.footer_due = empty;
                Ok(Frame::Header(raw))
            }
            Kind::Footer => {
                let name = raw.strip_prefix(b"</").and_then(|raw| raw.strip_suffix(b">"));
                if name.map(trim_end) == Some(&*self.opened) {
                    Ok(Frame::Footer)
                } else {
                    Err(XmlError::MismatchedEnd)
                }
            }
        }
    }
}

/// The name in the start tag of a header, which may begin with an XML declaration.
fn header_name(raw: &[u8], name_bytes_max: usize) -> Result<Box<[u8]>, XmlError> {
    let tag = match raw.starts_with(b"<?") {
        true => memchr::memmem::find(raw, b"?>").and_then(|at| raw.get(at + 2..)),
        false => Some(raw),
    };
    let start = tag.and_then(|tag| memchr::memchr(b'<', tag).and_then(|at| tag.get(at + 1..)));
    let start = start.ok_or(XmlError::Header)?;
    let end = start.iter().position(|&b| is_space(b) || matches!(b, b'/' | b'>'));
    let name = start.get(..end.unwrap_or_default()).unwrap_or_default();
    if name.len() > name_bytes_max {
        return Err(XmlError::TooLarge(Limit::NameBytes));
    }
    Ok(name.into())
}

fn trim_end(mut name: &[u8]) -> &[u8] {
    while let Some((last, rest)) = name.split_last() {
        if !is_space(*last) {
            break;
        }
        name = rest;
    }
    name
}
