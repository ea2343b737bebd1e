//! How bytes are cut into chunks makes no difference.

use bytes::Bytes;
use longwire_xml::{Frame, Framer, Limits, XmlError};
use proptest::prelude::*;
use proptest::sample::select;

use crate::corpus::{accepted, hostile, hostile_streams};

type Outcome = (Vec<Frame>, Option<XmlError>, Bytes);

fn run(mut framer: Framer, chunks: impl Iterator<Item = Bytes>) -> Outcome {
    let mut frames = Vec::new();
    let mut error = None;
    for chunk in chunks {
        framer.push(chunk);
        while error.is_none() {
            match framer.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(e) => error = Some(e),
            }
        }
    }
    // How much is held depends on the chunks only after an error, when nobody asks.
    let rest = if error.is_none() { framer.take_rest() } else { Bytes::new() };
    assert!(error.is_some() || framer.buffered() == 0);
    (frames, error, rest)
}

fn same_in_chunks(make: fn(Limits) -> Framer, limits: Limits, bytes: &[u8], sizes: &[usize]) {
    let whole = run(make(limits), std::iter::once(Bytes::copy_from_slice(bytes)));
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut sizes = sizes.iter().cycle();
    let chunks = std::iter::from_fn(|| {
        let size = sizes.next().copied().unwrap_or(1).min(rest.len());
        (!rest.is_empty()).then(|| rest.split_to(size))
    });
    let cut = run(make(limits), chunks);
    assert_eq!(whole, cut, "{}", bytes.escape_ascii());
}

#[test]
fn one_byte_at_a_time_gives_the_same_frames() {
    for case in hostile().iter().chain(&accepted()).filter(|case| case.bytes.len() < 5000) {
        same_in_chunks(Framer::elements, Limits::CLIENT, &case.bytes, &[1]);
    }
    for case in hostile_streams().iter().filter(|case| case.bytes.len() < 5000) {
        same_in_chunks(Framer::stream, Limits::CLIENT, &case.bytes, &[1]);
    }
}

#[test]
fn a_large_stanza_in_single_bytes_is_read_once() {
    // Reading the partial stanza again for every byte would take 34 thousand million steps.
    let body = "x".repeat(Limits::CLIENT.stanza_bytes - 2 * "<a b='c'></a>".len());
    let stanza = format!("<a b='{}'>{}</a>", &body[..1000], &body[1000..]);
    let mut framer = Framer::elements(Limits::CLIENT);
    for (at, byte) in stanza.bytes().enumerate() {
        assert_eq!(framer.next(), Ok(None));
        assert_eq!(framer.buffered(), at);
        framer.push(Bytes::copy_from_slice(&[byte]));
    }
    assert_eq!(framer.next(), Ok(Some(Frame::Element(stanza.into()))));
}

#[test]
fn an_element_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"<a/> <b>text</b><c");
    let mut framer = Framer::elements(Limits::CLIENT);
    framer.push(chunk.clone());
    for (start, end) in [(0, 4), (5, 16)] {
        let Ok(Some(Frame::Element(raw))) = framer.next() else { panic!("no element") };
        assert_eq!(raw.as_ptr(), chunk.slice(start..end).as_ptr());
        assert_eq!(raw.len(), end - start);
    }
    assert_eq!(framer.next(), Ok(None));
    assert_eq!(framer.buffered(), 2);
}

#[test]
fn bytes_that_are_pushed_ahead_keep_their_order() {
    let mut framer = Framer::elements(Limits::CLIENT);
    let mut frames = Vec::new();
    framer.push(Bytes::from_static(b"<a/>"));
    framer.push(Bytes::from_static(b"<b/>"));
    assert_eq!(framer.buffered(), 8);
    // The first chunk is used up, the second one still waits when the third one comes.
    frames.extend(framer.next().unwrap());
    framer.push(Bytes::from_static(b"<c/>"));
    while let Some(frame) = framer.next().unwrap() {
        frames.push(frame);
    }
    let element = |text| Frame::Element(Bytes::from_static(text));
    assert_eq!(frames, [element(b"<a/>"), element(b"<b/>"), element(b"<c/>")]);
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn white_space_between_elements_is_not_kept() {
    let mut framer = Framer::stream(Limits::UNAUTHENTICATED);
    framer.push(Bytes::from_static(b"<s>"));
    assert!(matches!(framer.next(), Ok(Some(Frame::Header(_)))));
    for _ in 0..10 {
        framer.push(Bytes::from(vec![b' '; Limits::UNAUTHENTICATED.stanza_bytes]));
        assert_eq!(framer.next(), Ok(None));
        assert_eq!(framer.buffered(), 0);
    }
}

#[test]
fn an_error_is_final() {
    let mut framer = Framer::elements(Limits::CLIENT);
    framer.push(Bytes::from_static(b"<a/>x"));
    assert!(matches!(framer.next(), Ok(Some(_))));
    assert_eq!(framer.next(), Err(XmlError::TextOutside));
    framer.push(Bytes::from_static(b"<a/>"));
    assert_eq!(framer.next(), Err(XmlError::TextOutside));
}

#[test]
fn restricted_markup_is_refused_before_it_is_complete() {
    for (bytes, error) in [
        ("<!-", XmlError::Comment),
        ("<!D", XmlError::Doctype),
        ("<?", XmlError::ProcessingInstruction),
        ("<a><!-", XmlError::Comment),
        ("<a><!E", XmlError::Doctype),
        ("<a><?", XmlError::ProcessingInstruction),
        ("<a><![I", XmlError::Markup),
        ("<a/>t", XmlError::TextOutside),
    ] {
        let mut framer = Framer::elements(Limits::CLIENT);
        let (visible, before) = bytes.as_bytes().split_last().unwrap();
        framer.push(Bytes::copy_from_slice(before));
        while let Some(frame) = framer.next().unwrap() {
            assert_eq!(frame, Frame::Element(Bytes::from_static(b"<a/>")));
        }
        framer.push(Bytes::copy_from_slice(&[*visible]));
        assert_eq!(framer.next(), Err(error), "{bytes}");
    }
}

#[test]
fn a_restart_expects_a_new_header() {
    let mut framer = Framer::stream(Limits::CLIENT);
    framer.push(Bytes::from_static(b"<s:s xmlns:s='u'><auth/>\n<?xml version='1.0'?><t><a/></t>"));
    assert!(matches!(framer.next(), Ok(Some(Frame::Header(_)))));
    assert!(matches!(framer.next(), Ok(Some(Frame::Element(_)))));
    framer.restart();
    let header = Bytes::from_static(b"<?xml version='1.0'?><t>");
    assert_eq!(framer.next(), Ok(Some(Frame::Header(header))));
    assert_eq!(framer.next(), Ok(Some(Frame::Element(Bytes::from_static(b"<a/>")))));
    assert_eq!(framer.next(), Ok(Some(Frame::Footer)));
}

#[test]
fn what_follows_the_last_frame_can_be_taken_back() {
    let mut framer = Framer::stream(Limits::CLIENT);
    for chunk in ["<s><starttls/>", "\x16\x03", "\x01more"] {
        framer.push(Bytes::from(chunk));
    }
    assert!(matches!(framer.next(), Ok(Some(Frame::Header(_)))));
    assert!(matches!(framer.next(), Ok(Some(Frame::Element(_)))));
    assert_eq!(framer.take_rest(), "\x16\x03\x01more");
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn an_empty_stream_header_is_closed_at_once() {
    let mut framer = Framer::stream(Limits::CLIENT);
    framer.push(Bytes::from_static(b"<s/> <a/>"));
    assert_eq!(framer.next(), Ok(Some(Frame::Header(Bytes::from_static(b"<s/>")))));
    assert_eq!(framer.next(), Ok(Some(Frame::Footer)));
    assert_eq!(framer.next(), Err(XmlError::AfterEnd));
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let cases = accepted().into_iter().chain(hostile()).map(|case| case.bytes);
    let cases: Vec<_> = cases.filter(|bytes| bytes.len() < 500).collect();
    prop::collection::vec(select(cases), 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn any_cut_of_elements_gives_the_same_frames(
        bytes in pieces(),
        sizes in prop::collection::vec(1..40_usize, 1..20),
        stanza_bytes in prop_oneof![Just(usize::MAX), 0..120_usize],
        depth in prop_oneof![Just(64_usize), 0..4_usize],
    ) {
        let limits = Limits { stanza_bytes, depth, ..Limits::CLIENT };
        same_in_chunks(Framer::elements, limits, &bytes, &sizes);
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_frames(
        header in select(hostile_streams().into_iter().map(|c| c.bytes).filter(|b| b.len() < 500).collect::<Vec<_>>()),
        bytes in pieces(),
        footer in select(vec!["", "</stream:stream>", "</stream:stream >", "</s>"]),
        sizes in prop::collection::vec(1..40_usize, 1..20),
        stanza_bytes in prop_oneof![Just(usize::MAX), 0..200_usize],
    ) {
        let limits = Limits { stanza_bytes, ..Limits::CLIENT };
        let stream = [header, bytes, footer.into()].concat();
        same_in_chunks(Framer::stream, limits, &stream, &sizes);
    }
}
