//! The state machine that knows where in the markup the framer is. It holds no bytes.

use crate::chars::is_space;
use crate::error::XmlError;
use crate::limits::Limit;

/// Where in the markup the framer is.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// Open elements inside the current top-level element.
    depth: usize,
    header: Header,
}

/// The part a stream header plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    /// There is none: the bytes are elements.
    None,
    /// The next start tag is one.
    Expected,
    /// It was read; an end tag outside all elements is the footer.
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the very start; this many bytes of a byte order mark were seen.
    Start(u8),
    /// Between frames, where only white space may be.
    Between { declaration: bool },
    /// After `<`.
    Less { declaration: bool },
    /// After `<?` and this many bytes of `xml`.
    DeclarationName(u8),
    /// In the XML declaration.
    Declaration { question: bool },
    /// Between the XML declaration and the start tag.
    Prolog,
    /// In a start tag; `slash` says that the last byte was one.
    StartTag { slash: bool },
    /// In an attribute value with these quotes.
    Quoted(u8),
    /// In an end tag.
    EndTag,
    /// In the content of an element.
    Content,
    /// After `<!`.
    Bang,
    /// After `<![` and this many bytes of `CDATA[`.
    CdataStart(u8),
    /// In a CDATA section; this many `]` came last, two standing for more.
    Cdata(u8),
    /// After the footer.
    End,
}

/// What the machine made of the bytes it was given.
#[derive(Debug)]
pub(super) enum Step {
    /// All of them belong to a frame that goes on.
    More,
    /// This many bytes belong to no frame.
    Skipped(usize),
    /// A frame ends after this many bytes.
    Complete(usize, Kind),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Header { empty: bool },
    Element,
    Footer,
}

impl Machine {
    pub(super) const fn stream() -> Self {
        Self { state: State::Start(0), depth: 0, header: Header::Expected }
    }

    pub(super) const fn elements() -> Self {
        Self { state: State::Start(0), depth: 0, header: Header::None }
    }

    pub(super) const fn restarted() -> Self {
        let state = State::Between { declaration: true };
        Self { state, depth: 0, header: Header::Expected }
    }

    pub(super) const fn end(&mut self) {
        self.state = State::End;
    }

    /// Reads bytes, of which there is at least one, until a frame ends or they are used up.
    pub(super) fn run(&mut self, bytes: &[u8], depth_max: usize) -> Result<Step, XmlError> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Start(_) | State::Between { .. } | State::End => {
                    match self.outside(rest)? {
                        0 => {}
                        n => return Ok(Step::Skipped(n)),
                    }
                    at += 1;
                }
                State::Content => match memchr::memchr(b'<', rest) {
                    Some(n) => {
                        self.state = State::Less { declaration: false };
                        at += n + 1;
                    }
                    None => return Ok(Step::More),
                },
                State::StartTag { slash } => {
                    let Some(n) = memchr::memchr3(b'>', b'"', b'\'', rest) else {
                        self.state = State::StartTag { slash: rest.last() == Some(&b'/') };
                        return Ok(Step::More);
                    };
                    let slash = if n == 0 { slash } else { rest.get(n - 1) == Some(&b'/') };
                    at += n + 1;
                    match rest.get(n) {
                        Some(&quote @ (b'"' | b'\'')) => self.state = State::Quoted(quote),
                        _ => {
                            if let Some(kind) = self.opened(slash, depth_max)? {
                                return Ok(Step::Complete(at, kind));
                            }
                        }
                    }
                }
                State::Quoted(quote) => match memchr::memchr(quote, rest) {
                    Some(n) => {
                        self.state = State::StartTag { slash: false };
                        at += n + 1;
                    }
                    None => return Ok(Step::More),
                },
                State::EndTag => match memchr::memchr(b'>', rest) {
                    Some(n) => {
                        at += n + 1;
                        if let Some(kind) = self.closed() {
                            return Ok(Step::Complete(at, kind));
                        }
                    }
                    None => return Ok(Step::More),
                },
                _ => {
                    self.byte(rest.first().copied().unwrap_or_default())?;
                    at += 1;
                }
            }
        }
        Ok(Step::More)
    }

    /// Reads bytes outside of frames: how many of them to skip, or 0 when a frame began.
    fn outside(&mut self, rest: &[u8]) -> Result<usize, XmlError> {
        let first = rest.first().copied().unwrap_or_default();
        match (self.state, first) {
            (State::Start(0), 0xEF) => self.state = State::Start(1),
            (State::Start(1), 0xBB) => self.state = State::Start(2),
            (State::Start(2), 0xBF) => self.state = State::Start(3),
            (State::Start(1 | 2), _) => return Err(XmlError::TextOutside),
            (State::Start(0), 0x00 | 0xFE | 0xFF) => return Err(XmlError::Encoding),
            (State::Start(_), b'<') => {
                self.state = State::Less { declaration: self.header == Header::Expected };
                return Ok(0);
            }
            (State::Between { declaration }, b'<') => {
                self.state = State::Less { declaration };
                return Ok(0);
            }
            (State::End, b) if !is_space(b) => return Err(XmlError::AfterEnd),
            (_, b) if !is_space(b) => return Err(XmlError::TextOutside),
            (state, _) => {
                if matches!(state, State::Start(_)) {
                    self.state = State::Between { declaration: false };
                }
                return Ok(rest.iter().position(|&b| !is_space(b)).unwrap_or(rest.len()));
            }
        }
        Ok(1)
    }

    /// Reads one byte where the grammar is tight.
    fn byte(&mut self, b: u8) -> Result<(), XmlError> {
        self.state = match self.state {
            State::Less { declaration } => self.less(b, declaration)?,
            State::Bang => match b {
                b'-' => return Err(XmlError::Comment),
                b'[' if self.depth > 0 => State::CdataStart(0),
                b'[' => return Err(XmlError::TextOutside),
                _ => return Err(XmlError::Doctype),
            },
            State::CdataStart(n) => match (b"CDATA[".get(usize::from(n)), n) {
                (Some(&expected), 5) if b == expected => State::Cdata(0),
                (Some(&expected), _) if b == expected => State::CdataStart(n + 1),
                _ => return Err(XmlError::Markup),
            },
            State::Cdata(2) if b == b'>' => State::Content,
            State::Cdata(n) if b == b']' => State::Cdata(if n == 0 { 1 } else { 2 }),
            State::Cdata(_) => State::Cdata(0),
            State::DeclarationName(3) if is_space(b) => State::Declaration { question: false },
            State::DeclarationName(n) if b"xml".get(usize::from(n)) == Some(&b) => {
                State::DeclarationName(n + 1)
            }
            State::DeclarationName(_) => return Err(XmlError::ProcessingInstruction),
            State::Declaration { question: true } if b == b'>' => State::Prolog,
            State::Declaration { .. } if b == b'>' => return Err(XmlError::Declaration),
            State::Declaration { .. } => State::Declaration { question: b == b'?' },
            State::Prolog if b == b'<' => State::Less { declaration: false },
            State::Prolog if is_space(b) => State::Prolog,
            State::Prolog => return Err(XmlError::TextOutside),
            state => state,
        };
        Ok(())
    }

    fn less(&self, b: u8, declaration: bool) -> Result<State, XmlError> {
        match b {
            b'?' if declaration => Ok(State::DeclarationName(0)),
            b'?' => Err(XmlError::ProcessingInstruction),
            b'!' => Ok(State::Bang),
            b'/' if self.depth > 0 || self.header == Header::Open => Ok(State::EndTag),
            b'/' => Err(XmlError::MismatchedEnd),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => Ok(State::StartTag { slash: false }),
            _ => Err(XmlError::Name),
        }
    }

    /// A start tag ended.
    fn opened(&mut self, empty: bool, depth_max: usize) -> Result<Option<Kind>, XmlError> {
        if self.header == Header::Expected {
            self.header = Header::Open;
            self.state = State::Between { declaration: false };
            return Ok(Some(Kind::Header { empty }));
        }
        if self.depth >= depth_max {
            return Err(XmlError::TooLarge(Limit::Depth));
        }
        if !empty {
            self.depth += 1;
        } else if self.depth == 0 {
            self.state = State::Between { declaration: false };
            return Ok(Some(Kind::Element));
        }
        self.state = State::Content;
        Ok(None)
    }

    /// An end tag ended.
    const fn closed(&mut self) -> Option<Kind> {
        if self.depth == 0 {
            self.state = State::End;
            return Some(Kind::Footer);
        }
        self.depth -= 1;
        if self.depth == 0 {
            self.state = State::Between { declaration: false };
            return Some(Kind::Element);
        }
        self.state = State::Content;
        None
    }
}
