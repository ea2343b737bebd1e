//! The state machine that knows where in the markup the framer is. It holds no bytes.

use smallvec::SmallVec;

use crate::chars::is_space;
use crate::error::XmlError;
use crate::limits::Limit;

/// Where in the markup the framer is.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    /// Hashes of the names of the open elements, so that a wrong end tag is noticed when it comes
    /// and not when the top-level element ends. Equal hashes are compared again by the scan.
    open: SmallVec<[NameHash; 8]>,
    /// The hash of the name that is being read, or was read last.
    name: NameHash,
    /// The hash of the stream header's name.
    header_name: NameHash,
    header: Header,
}

/// FNV-1a of an element's name as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NameHash(u32);

impl NameHash {
    const EMPTY: Self = Self(0x811c_9dc5);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
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
    /// In the name of a start tag.
    StartName,
    /// In a start tag behind its name; `slash` says that the last byte was one.
    StartTag { slash: bool },
    /// In an attribute value with these quotes.
    Quoted(u8),
    /// In the name of an end tag.
    EndName,
    /// In an end tag behind its name.
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
    pub(super) fn stream() -> Self {
        Self::new(State::Start(0), Header::Expected)
    }

    pub(super) fn elements() -> Self {
        Self::new(State::Start(0), Header::None)
    }

    pub(super) fn restarted() -> Self {
        Self::new(State::Between { declaration: true }, Header::Expected)
    }

    fn new(state: State, header: Header) -> Self {
        let (name, header_name) = (NameHash::EMPTY, NameHash::EMPTY);
        Self { state, open: SmallVec::new(), name, header_name, header }
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
                State::StartName | State::EndName => at += self.name(rest),
                State::StartTag { slash } => {
                    let end = memchr::memchr3(b'>', b'"', b'\'', rest);
                    let Some(n) = end else {
                        let slash = self.check_tag(slash, rest, None)?;
                        self.state = State::StartTag { slash };
                        return Ok(Step::More);
                    };
                    let (before, next) = (rest.get(..n).unwrap_or_default(), rest.get(n).copied());
                    let slash = self.check_tag(slash, before, next)?;
                    at += n + 1;
                    match next {
                        Some(quote @ (b'"' | b'\'')) => self.state = State::Quoted(quote),
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
                State::EndTag => match rest.iter().position(|&b| !is_space(b)) {
                    Some(n) if rest.get(n) == Some(&b'>') => {
                        at += n + 1;
                        if let Some(kind) = self.closed()? {
                            return Ok(Step::Complete(at, kind));
                        }
                    }
                    Some(_) => return Err(XmlError::MismatchedEnd),
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

    /// Reads a name: how many bytes of it there are. What ends it is read by the next state.
    fn name(&mut self, rest: &[u8]) -> usize {
        let ends = |&b: &u8| is_space(b) || matches!(b, b'>' | b'/');
        let length = rest.iter().position(ends);
        let read = length.unwrap_or(rest.len());
        self.name.add(rest.get(..read).unwrap_or_default());
        if length.is_some() {
            let is_start = matches!(self.state, State::StartName);
            self.state = if is_start { State::StartTag { slash: false } } else { State::EndTag };
        }
        read
    }

    /// Looks at the bytes of a start tag between values: a slash may only stand before its end,
    /// and another tag not at all. True when a slash came last.
    fn check_tag(&self, slash: bool, bytes: &[u8], next: Option<u8>) -> Result<bool, XmlError> {
        if slash && !bytes.is_empty() {
            return Err(XmlError::Markup);
        }
        let found = memchr::memchr2(b'/', b'<', bytes);
        let slash = match found {
            None => slash,
            Some(n) if n + 1 == bytes.len() && bytes.get(n) == Some(&b'/') => true,
            Some(_) => return Err(XmlError::Markup),
        };
        match next {
            Some(b'"' | b'\'') if slash => Err(XmlError::Markup),
            _ => Ok(slash),
        }
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
                b'[' if !self.open.is_empty() => State::CdataStart(0),
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

    fn less(&mut self, b: u8, declaration: bool) -> Result<State, XmlError> {
        self.name = NameHash::EMPTY;
        match b {
            b'?' if declaration => Ok(State::DeclarationName(0)),
            b'?' => Err(XmlError::ProcessingInstruction),
            b'!' => Ok(State::Bang),
            b'/' if !self.open.is_empty() || self.header == Header::Open => Ok(State::EndName),
            b'/' => Err(XmlError::MismatchedEnd),
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                self.name.add(&[b]);
                Ok(State::StartName)
            }
            _ => Err(XmlError::Name),
        }
    }

    /// A start tag ended.
    fn opened(&mut self, empty: bool, depth_max: usize) -> Result<Option<Kind>, XmlError> {
        if self.header == Header::Expected {
            self.header = Header::Open;
            self.header_name = self.name;
            self.state = State::Between { declaration: false };
            return Ok(Some(Kind::Header { empty }));
        }
        if self.open.len() >= depth_max {
            return Err(XmlError::TooLarge(Limit::Depth));
        }
        if !empty {
            self.open.push(self.name);
        } else if self.open.is_empty() {
            self.state = State::Between { declaration: false };
            return Ok(Some(Kind::Element));
        }
        self.state = State::Content;
        Ok(None)
    }

    /// An end tag ended.
    fn closed(&mut self) -> Result<Option<Kind>, XmlError> {
        let Some(name) = self.open.pop() else {
            if self.name != self.header_name {
                return Err(XmlError::MismatchedEnd);
            }
            self.state = State::End;
            return Ok(Some(Kind::Footer));
        };
        if self.name != name {
            return Err(XmlError::MismatchedEnd);
        }
        if self.open.is_empty() {
            self.state = State::Between { declaration: false };
            return Ok(Some(Kind::Element));
        }
        self.state = State::Content;
        Ok(None)
    }
}
