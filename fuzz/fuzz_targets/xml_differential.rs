//! Nothing that rxml refuses may be accepted, and what both accept must mean the same.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use longwire_xml::{Context, Element, Frame, Framer, Limits, scan};
use rxml::{Event, Options, Parse, Parser, WithOptions};

/// Binds what `Context::client` binds.
const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The element as rxml reads it.
fn oracle(bytes: &[u8]) -> Option<Element> {
    let document = [HEADER, bytes, b"</stream:stream>"].concat();
    let options = Options { max_token_length: 1 << 20, ..Options::default() };
    let mut parser = Parser::with_options(options);
    let mut rest = &document[..];
    let mut open: Vec<Element> = Vec::new();
    loop {
        match parser.parse(&mut rest, true).ok()?? {
            Event::StartElement(_, (ns, name), attributes) => {
                let mut element = Element::new(ns.as_str(), name.as_str());
                for ((ns, name), value) in attributes.iter() {
                    element = element.attr_ns(ns.as_str(), name.as_str(), value.as_str());
                }
                open.push(element);
            }
            Event::EndElement(_) => {
                let element = open.pop()?;
                let Some(parent) = open.pop() else {
                    // The stream itself: rxml must also accept its end.
                    return parser.parse(&mut rest, true).ok().map(|_| element);
                };
                open.push(parent.child(element));
            }
            Event::Text(_, text) => {
                let parent = open.pop()?;
                open.push(parent.text(text));
            }
            Event::XmlDeclaration(..) => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let raw = Bytes::copy_from_slice(bytes);
    let Ok(scanned) = scan(raw.clone(), &Context::client(), &Limits::CLIENT) else { return };
    let stream = oracle(bytes).expect("accepted, but rxml refuses it");
    let mut children = stream.child_elements();
    let (ours, theirs) = (scanned.element(), children.next().expect("an element"));
    // rxml 0.14 forgets to normalise a line end right behind a bracket in a CDATA section.
    if !bytes.windows(2).any(|window| window == b"]\r") {
        assert_eq!(&ours, theirs);
    }
    assert_eq!(children.next(), None);
    assert_eq!(stream.text_content(), "");
    let mut framer = Framer::elements(Limits::CLIENT);
    framer.push(raw.clone());
    assert_eq!(framer.next(), Ok(Some(Frame::Element(raw))));
    assert_eq!(framer.buffered(), 0);
});
