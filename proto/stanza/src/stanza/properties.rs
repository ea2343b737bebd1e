//! What holds for every stanza, whatever is in it.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use longwire_xml::{Child, Context, Element, Limits, scan};
use proptest::prelude::*;

use crate::{BareJid, Jid, MessageType, ParseError, Stanza, ns};

fn read_in(xml: &str, context: &Context) -> Result<Stanza, ParseError> {
    Stanza::parse(Bytes::copy_from_slice(xml.as_bytes()), context, &Limits::CLIENT)
}

fn read(xml: &str) -> Stanza {
    read_in(xml, &Context::client()).unwrap()
}

proptest! {
    #[test]
    fn headers_survive_whatever_text_they_hold(
        id in TEXT,
        lang in "[a-zA-Z-]{1,8}",
        text in TEXT,
        resource in "[!-~\u{c0}-\u{ff}][ -~\u{c0}-\u{ff}]{0,19}",
    ) {
        let from = BareJid::new("a@x").unwrap().with_resource(&resource).unwrap();
        let made = Stanza::message(MessageType::Chat).from(from.clone()).id(&id).lang(&lang)
            .body(&text).build();
        let once = read(&made.to_xml());
        let twice = read(&once.with_to(from.clone()).with_id(&id).to_xml());
        for stanza in [&made, &once, &twice] {
            prop_assert_eq!(stanza.from(), Some(&Jid::from(&from)));
            prop_assert_eq!(stanza.id(), Some(&*id));
            prop_assert_eq!(stanza.lang(), Some(Cow::Borrowed(&*lang)));
            prop_assert_eq!(stanza.child_text("body"), Some(Cow::Borrowed(&*text)));
        }
        prop_assert_eq!(twice.to(), Some(&Jid::from(&from)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Stanza::parse(bytes.into(), &Context::client(), &Limits::CLIENT);
    }

    #[test]
    fn no_markup_makes_it_panic(pieces in proptest::collection::vec(piece(), 0..12)) {
        let _ = read_in(&format!("<{}", pieces.concat()), &Context::server());
    }

    #[test]
    fn a_stanza_that_is_forwarded_is_the_same_stanza(
        prefix in prop_oneof![Just(""), Just("p:")],
        attributes in proptest::sample::subsequence(ATTRIBUTES, 0..ATTRIBUTES.len()),
        content in proptest::collection::vec(proptest::sample::select(CONTENT), 0..6),
        server in any::<bool>(),
    ) {
        let (attributes, content) = (attributes.concat(), content.concat());
        let xml = format!(
            "<{prefix}message xmlns:p='jabber:client'{attributes}>{content}</{prefix}message>"
        );
        let context = if server { Context::server() } else { Context::client() };
        let stanza = read_in(&xml, &context).unwrap();
        let stripped = stanza.without_children(|child| child.name() == "a");
        prop_assert!(stripped.children().all(|child| child.name() != "a"));
        for stanza in [stripped.with_child(Element::new("urn:a", "a")), stripped, stanza] {
            let again = read(&stanza.to_xml());
            prop_assert_eq!(again.to_element(), stanza.to_element());
            prop_assert!(!again.to_xml().contains("1f"));
            let mut hop = BytesMut::new();
            stanza.write(&mut hop, &[("m:q", "7")]);
            let next = Context::new(ns::CLIENT, &[("m", ns::MULTI_STREAM)], None);
            let hop = scan(hop.freeze(), &next, &Limits::CLIENT).unwrap().element();
            prop_assert_eq!(hop.attribute_ns(ns::MULTI_STREAM, "q"), Some("7"));
            let names = |stanza: &Stanza| -> Vec<(String, String)> {
                let name = |c: Child<'_>| (c.namespace().to_owned(), c.name().to_owned());
                stanza.children().map(name).collect()
            };
            prop_assert_eq!(names(&again), names(&stanza));
        }
    }
}

/// Text with everything that XML treats in its own way.
const TEXT: &str = "[\t\n\r -~\u{a0}-\u{2fff}\u{e000}-\u{fffd}\u{1f300}-\u{1faff}]{0,40}";

const ATTRIBUTES: &[&str] = &[
    " xmlns='jabber:client'",
    " xmlns:z='urn:xmpp:msm:0' z:q='1f'",
    " xmlns:m='urn:evil' m:q='2' m:x='3'",
    " to='a@b/c'",
    " type='chat'",
    " xml:lang='en'",
    " ext='>'",
];

const CONTENT: &[&str] = &[
    "<a/>",
    "<a xmlns='urn:a'>text</a>",
    "<p:a/>",
    "<b><a/></b>",
    "<p:body>a&amp;b</p:body>",
    "<stream:x/>",
    "text &lt; ]] ",
    "<![CDATA[</message>]]>",
];

fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        &[
            "message",
            "iq",
            " type='get'",
            " id='1'",
            " to='a@b/c'",
            " from='x'",
            " xmlns:p='urn:p'",
            " m:q='1'",
            ">",
            "/>",
            "<a/>",
            "<a>",
            "</a>",
            "<p:a/>",
            "</message>",
            "</iq>",
            "&lt;",
            "t",
        ][..],
    )
}
