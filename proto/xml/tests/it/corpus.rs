//! The committed corpus: what must be refused, and why; what must be accepted.

use bytes::Bytes;
use longwire_xml::{
    Condition, Context, Element, Frame, Framer, Limits, StreamHeader, XmlError, scan,
};

use crate::oracle;

/// One line of a corpus file.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The variant of the error, in the hostile files.
    pub(crate) error: &'static str,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn hostile() -> Vec<Case> {
    load(include_str!("../corpus/hostile.tsv"), true)
}

pub(crate) fn hostile_streams() -> Vec<Case> {
    load(include_str!("../corpus/hostile_streams.tsv"), true)
}

pub(crate) fn accepted() -> Vec<Case> {
    load(include_str!("../corpus/accepted.tsv"), false)
}

fn load(file: &'static str, errors: bool) -> Vec<Case> {
    let lines = file.lines().filter(|line| !line.starts_with("# "));
    lines
        .map(|line| {
            let mut fields = line.split('\t');
            let name = fields.next().unwrap();
            let error = if errors { fields.next().unwrap() } else { "" };
            Case { name, error, bytes: unescape(fields.next().unwrap()) }
        })
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = &rest[at + 1..];
        rest = &code[1..];
        match &code[..1] {
            "t" => out.push(b'\t'),
            "n" => out.push(b'\n'),
            "r" => out.push(b'\r'),
            "\\" => out.push(b'\\'),
            "x" => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            "R" => {
                let (times, tail) = rest[1..].split_once('|').unwrap();
                let (repeated, tail) = tail.split_once('}').unwrap();
                for number in 0..times.parse::<usize>().unwrap() {
                    out.extend(unescape(&repeated.replace('#', &number.to_string())));
                }
                rest = tail;
            }
            other => panic!("unknown escape {other:?} in {text:?}"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The name of the error's variant.
fn variant(error: &XmlError) -> String {
    let debug = format!("{error:?}");
    debug.split('(').next().unwrap().to_owned()
}

/// Everything a stream holds, read as the server reads it.
pub(crate) fn read_stream(framer: &mut Framer) -> Result<Vec<Frame>, XmlError> {
    let limits = Limits::CLIENT;
    let mut frames = Vec::new();
    let mut context = Context::empty();
    while let Some(frame) = framer.next()? {
        match &frame {
            Frame::Header(raw) => context = StreamHeader::parse(raw, &limits)?.context().clone(),
            Frame::Element(raw) => drop(scan(raw.clone(), &context, &limits)?),
            Frame::Footer => {}
        }
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn every_hostile_document_is_refused_for_its_own_reason() {
    let cases = hostile();
    assert!(cases.len() >= 200, "the corpus shrank to {}", cases.len());
    let mut wrong = Vec::new();
    for Case { name, error, bytes } in cases {
        match scan(bytes.into(), &Context::client(), &Limits::CLIENT) {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(got) if variant(&got) != error => wrong.push(format!("{name}: {got:?}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_hostile_document_is_refused_in_a_stream() {
    // As an independent stream of elements: framer and scan together.
    for Case { name, bytes, .. } in hostile() {
        let mut framer = Framer::elements(Limits::CLIENT);
        framer.push(bytes.clone().into());
        let refused = loop {
            match framer.next() {
                Err(_) => break true,
                Ok(None) => break false,
                Ok(Some(Frame::Element(raw))) => {
                    if scan(raw, &Context::client(), &Limits::CLIENT).is_err() {
                        break true;
                    }
                }
                Ok(Some(frame)) => panic!("{name}: {frame:?}"),
            }
        };
        // What is not refused is incomplete, or several documents, each of them good.
        let several = ["two_roots", "two_roots_with_ends", "space_behind", "space_before"];
        let good = several.contains(&name)
            || name == "byte_order_mark_before_element"
            || name == "space_only";
        assert!(refused || good || framer.buffered() == bytes.len(), "{name}: accepted");
    }
}

#[test]
fn every_hostile_stream_is_refused_for_its_own_reason() {
    let mut wrong = Vec::new();
    for Case { name, error, bytes } in hostile_streams() {
        let mut framer = Framer::stream(Limits::CLIENT);
        framer.push(bytes.into());
        match read_stream(&mut framer) {
            Ok(frames) => wrong.push(format!("{name}: accepted as {frames:?}")),
            Err(got) if variant(&got) != error => wrong.push(format!("{name}: {got:?}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_good_document_is_accepted_and_means_what_the_oracle_says() {
    for Case { name, bytes, .. } in accepted() {
        let raw = Bytes::from(bytes);
        let scanned = scan(raw.clone(), &Context::client(), &Limits::CLIENT);
        let scanned = scanned.unwrap_or_else(|error| panic!("{name}: {error}"));
        let tree = oracle::client_element(&raw);
        let tree = tree.unwrap_or_else(|error| panic!("{name}: the oracle refuses it: {error}"));
        assert_eq!(scanned.element(), tree, "{name}");
        let mut framer = Framer::elements(Limits::CLIENT);
        framer.push(raw.clone());
        assert_eq!(framer.next(), Ok(Some(Frame::Element(raw))), "{name}");
        assert_eq!(framer.buffered(), 0, "{name}");
    }
}

#[test]
fn readers_agree_with_each_other_on_every_good_document() {
    for Case { name, bytes, .. } in accepted() {
        let scanned = scan(bytes.into(), &Context::client(), &Limits::CLIENT).unwrap();
        let tree = scanned.element();
        assert_eq!((scanned.namespace(), scanned.name()), (tree.ns(), tree.name()), "{name}");
        assert_eq!(scanned.text(), tree.text_content(), "{name}");
        let attributes = scanned.attributes().map(|(k, v)| (k.to_owned(), v.into_owned()));
        let expected = tree.attributes().map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(attributes.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
        let children: Vec<Element> = scanned.children().map(|child| child.element()).collect();
        assert!(children.iter().eq(tree.child_elements()), "{name}");
        for (child, expected) in scanned.children().zip(tree.child_elements()) {
            compare(name, &child, expected);
        }
    }
}

fn compare(name: &str, child: &longwire_xml::Child<'_>, expected: &Element) {
    assert_eq!((child.namespace(), child.name()), (expected.ns(), expected.name()), "{name}");
    assert_eq!(child.text(), expected.text_content(), "{name}");
    let first = expected.attributes().next();
    assert_eq!(first.and_then(|(key, _)| child.attribute(key)).as_deref(), first.map(|a| a.1));
    assert_eq!(&child.element(), expected, "{name}");
    let mut elements = expected.child_elements();
    for inner in child.children() {
        compare(name, &inner, elements.next().unwrap());
    }
    assert_eq!(elements.next(), None, "{name}");
}

#[test]
fn each_kind_of_error_has_its_stream_condition() {
    let conditions = [
        (XmlError::Comment, Condition::RestrictedXml, "restricted-xml"),
        (XmlError::Entity, Condition::RestrictedXml, "restricted-xml"),
        (XmlError::Encoding, Condition::UnsupportedEncoding, "unsupported-encoding"),
        (XmlError::TextOutside, Condition::NotWellFormed, "not-well-formed"),
        (XmlError::UnboundPrefix, Condition::NotWellFormed, "not-well-formed"),
        (
            XmlError::TooLarge(longwire_xml::Limit::Depth),
            Condition::PolicyViolation,
            "policy-violation",
        ),
    ];
    for (error, condition, name) in conditions {
        assert_eq!((error.condition(), error.condition().as_str()), (condition, name), "{error}");
    }
}
