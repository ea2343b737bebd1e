//! rxml reads the same bytes: an independent opinion on what is well-formed and what it means.

use longwire_xml::{Element, STREAM_NS};
use rxml::{Event, Options, Parse, Parser, WithOptions};

/// A header that binds what `Context::client` binds.
const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Deeper trees than any limit of ours allows are not built.
const DEPTH_MAX: usize = 200;

fn parser() -> Parser {
    // As many bytes per token as the largest of our own limits, so that size is no reason here.
    Parser::with_options(Options { max_token_length: 1 << 20, ..Options::default() })
}

/// The tree of a whole document.
pub(crate) fn document(bytes: &[u8]) -> Result<Element, String> {
    let mut parser = parser();
    let mut rest = bytes;
    // (namespace, name, attributes) of the open elements, each with its nodes so far.
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match parser.parse(&mut rest, true) {
            Ok(Some(Event::StartElement(_, (ns, name), attributes))) => {
                let mut element = Element::new(ns.as_str(), name.as_str());
                for ((ns, name), value) in attributes.iter() {
                    element = element.attr_ns(ns.as_str(), name.as_str(), value.as_str());
                }
                open.push(element);
                if open.len() > DEPTH_MAX {
                    return Err("too deep for a recursive tree".to_owned());
                }
            }
            Ok(Some(Event::EndElement(_))) => {
                let element = open.pop().ok_or("end without start")?;
                match open.pop() {
                    Some(parent) => open.push(parent.child(element)),
                    None => root = Some(element),
                }
            }
            Ok(Some(Event::Text(_, text))) => {
                let parent = open.pop().ok_or("text outside")?;
                open.push(parent.text(text));
            }
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(None) => return root.ok_or_else(|| "no element".to_owned()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

/// The tree of one element inside of a client stream.
pub(crate) fn client_element(bytes: &[u8]) -> Result<Element, String> {
    let stream = document(&[HEADER.as_bytes(), bytes, b"</stream:stream>"].concat())?;
    assert_eq!((stream.ns(), stream.name()), (STREAM_NS, "stream"));
    let mut children = stream.child_elements();
    match (children.next(), children.next(), stream.text_content().is_empty()) {
        (Some(element), None, true) => Ok(element.clone()),
        _ => Err("not exactly one element".to_owned()),
    }
}
