//! Nothing that rxml refuses is accepted, and what both accept means the same to both.

use bytes::Bytes;
use longwire_xml::{Context, Element, Frame, Framer, Limits, StreamHeader, XmlError, scan};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::corpus::{accepted, hostile, hostile_streams, read_stream};
use crate::oracle;

/// Compares both parsers on one top-level element.
fn compare(bytes: &[u8]) {
    let raw = Bytes::copy_from_slice(bytes);
    let ours = scan(raw.clone(), &Context::client(), &Limits::CLIENT);
    let theirs = oracle::client_element(bytes);
    match (ours, theirs) {
        (Ok(scanned), Ok(tree)) => {
            assert!(alike(&scanned.element(), &tree, bytes), "{}: {tree}", raw.escape_ascii());
            let mut framer = Framer::elements(Limits::CLIENT);
            framer.push(raw.clone());
            assert_eq!(framer.next(), Ok(Some(Frame::Element(raw))), "the framer disagrees");
        }
        (Ok(_), Err(error)) => panic!("accepted, but {error}: {}", raw.escape_ascii()),
        (Err(error), Ok(_)) => {
            assert!(stricter(error, bytes), "refused as {error:?}: {}", raw.escape_ascii());
        }
        (Err(_), Err(_)) => {}
    }
}

/// Do both mean the same?
///
/// rxml 0.14 forgets to normalise a line end right behind a bracket in a CDATA section.
fn alike(ours: &Element, theirs: &Element, bytes: &[u8]) -> bool {
    let line_ends =
        |tree: &Element| tree.to_string().replace("&#xD;\n", "\n").replace("&#xD;", "\n");
    let forgotten = || bytes.windows(2).any(|window| window == b"]\r");
    ours == theirs || forgotten() && line_ends(ours) == line_ends(theirs)
}

/// The rules that we have and rxml has not.
fn stricter(error: XmlError, bytes: &[u8]) -> bool {
    let declarations = || bytes.windows(5).filter(|window| window == b"xmlns").count();
    match error {
        XmlError::TooLarge(_) | XmlError::Declared => true,
        // rxml 0.14 overlooks a second declaration of the default namespace in one start tag.
        XmlError::DuplicateAttribute => declarations() > 1,
        // Some single carriage returns it understands.
        XmlError::Attribute => bytes.contains(&b'\r'),
        // The stream around the element hides an empty CDATA section beside it.
        XmlError::NotOneElement => bytes.windows(12).any(|window| window == b"<![CDATA[]]>"),
        _ => false,
    }
}

/// Compares both parsers on a whole stream, which may be incomplete.
fn compare_stream(bytes: &[u8]) {
    let mut framer = Framer::stream(Limits::CLIENT);
    framer.push(Bytes::copy_from_slice(bytes));
    let Ok(frames) = read_stream(&mut framer) else { return };
    let Some(Frame::Header(header)) = frames.first() else { return };
    let header = StreamHeader::parse(header, &Limits::CLIENT).unwrap();
    // rxml knows neither a byte order mark nor white space before the first byte of markup, and
    // the end of the stream may be missing.
    let read = &bytes[..bytes.len() - framer.buffered()];
    let read = read.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(read);
    let mut document = read.trim_ascii_start().to_vec();
    if frames.last() != Some(&Frame::Footer) {
        let prefix = header.prefix();
        let colon = if prefix.is_empty() { "" } else { ":" };
        document.extend(format!("</{prefix}{colon}{}>", header.name()).bytes());
    }
    let tree = oracle::document(&document);
    let tree = tree.unwrap_or_else(|e| panic!("accepted, but {e}: {}", bytes.escape_ascii()));
    assert_eq!((header.namespace(), header.name()), (tree.ns(), tree.name()));
    let elements = frames.iter().filter_map(|frame| match frame {
        Frame::Element(raw) => Some(raw.clone()),
        _ => None,
    });
    let elements = elements.map(|raw| scan(raw, header.context(), &Limits::CLIENT).unwrap());
    let elements: Vec<_> = elements.map(|scanned| scanned.element()).collect();
    assert_eq!(elements.len(), tree.child_elements().count());
    assert!(elements.iter().zip(tree.child_elements()).all(|(a, b)| alike(a, b, bytes)));
}

#[test]
fn the_oracle_refuses_the_hostile_corpus_too() {
    for case in hostile() {
        compare(&case.bytes);
    }
}

#[test]
fn the_oracle_agrees_on_streams() {
    for case in hostile_streams() {
        compare_stream(&case.bytes);
    }
    for case in streams() {
        compare_stream(&case);
    }
}

const HEADERS: [&str; 4] = [
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>",
    "<?xml version = \"1.0\" encoding='utf-8' standalone='yes' ?>\n<stream \
     xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client' xml:lang='en'>",
    "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server' s:x='1'>",
    "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='u&amp;v'>",
];

fn streams() -> Vec<Vec<u8>> {
    HEADERS.iter().map(|header| [header.as_bytes(), b" <a><b/></a>\n<c/>"].concat()).collect()
}

/// Pieces of markup that mean something to some parser.
const TOKENS: [&str; 64] = [
    "<",
    ">",
    "/>",
    "</",
    "<a>",
    "</a>",
    "<a/>",
    "<a ",
    "=",
    "'",
    "\"",
    "='1'",
    " b='1'",
    " b=\"2\"",
    "&",
    ";",
    "&amp;",
    "&lt;",
    "&#65;",
    "&#x41;",
    "&#0;",
    "&x;",
    "&#xD800;",
    "]]>",
    "<![CDATA[",
    "]]",
    "<!--",
    "-->",
    "<!",
    "<?",
    "?>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE a>",
    " xmlns='u'",
    " xmlns=''",
    " xmlns:p='u'",
    " xmlns:p=''",
    " xmlns:q='u'",
    " p:b='1'",
    " q:b='2'",
    "<p:a>",
    "</p:a>",
    "p:",
    ":",
    "xml:",
    "xmlns:",
    " xml:lang='en'",
    " xmlns:xml='x'",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\u{1}",
    "\u{FFFE}",
    "\u{FEFF}",
    "\u{E9}",
    "\u{2028}",
    "\u{1F600}",
    "x",
    "-",
    "1",
    "stream:",
];

/// One change to a document.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, &'static str),
    Remove(Index, usize),
    Byte(Index, u8),
    Flip(Index, u8),
    Repeat(Index, usize, usize),
    Swap(Index, Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        5 => (any::<Index>(), select(&TOKENS[..])).prop_map(|(at, t)| Mutation::Insert(at, t)),
        3 => (any::<Index>(), 1..6_usize).prop_map(|(at, n)| Mutation::Remove(at, n)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, b)| Mutation::Byte(at, b)),
        1 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), 1..20_usize, 1..4_usize)
            .prop_map(|(at, n, times)| Mutation::Repeat(at, n, times)),
        1 => (any::<Index>(), any::<Index>(), 1..12_usize)
            .prop_map(|(a, b, n)| Mutation::Swap(a, b, n)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let range = |at: &Index, n: usize| {
        let start = at.index(len);
        start..(start + n).min(len)
    };
    match mutation {
        Mutation::Insert(at, token) => {
            let at = at.index(len + 1);
            bytes.splice(at..at, token.bytes());
        }
        Mutation::Remove(at, n) => drop(bytes.drain(range(at, *n))),
        Mutation::Byte(at, b) => bytes[at.index(len)] = *b,
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Mutation::Repeat(at, n, times) => {
            let range = range(at, *n);
            let piece = bytes[range.clone()].repeat(*times);
            bytes.splice(range.end..range.end, piece);
        }
        Mutation::Swap(a, b, n) => {
            let piece = bytes[range(a, *n)].to_vec();
            let target = range(b, *n);
            bytes.splice(target, piece);
        }
    }
}

/// The corpus without its giants, which only cost time here.
fn small_cases() -> Vec<Vec<u8>> {
    let cases = accepted().into_iter().chain(hostile()).map(|case| case.bytes);
    cases.filter(|bytes| bytes.len() < 1000).collect()
}

fn small_streams() -> Vec<Vec<u8>> {
    let cases = hostile_streams().into_iter().map(|case| case.bytes);
    cases.filter(|bytes| bytes.len() < 1000).chain(streams()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6000) })]

    #[test]
    fn mutated_elements_are_judged_alike(
        mut bytes in select(small_cases()),
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        compare(&bytes);
    }

    #[test]
    fn soups_of_tokens_are_judged_alike(tokens in prop::collection::vec(select(&TOKENS[..]), 0..12)) {
        compare(format!("<a>{}</a>", tokens.concat()).as_bytes());
        compare(format!("<a{}/>", tokens.concat()).as_bytes());
    }

    #[test]
    fn mutated_streams_are_judged_alike(
        mut bytes in select(small_streams()),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        compare_stream(&bytes);
    }
}
