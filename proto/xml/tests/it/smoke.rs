//! The crate's promises in small: what goes in comes out.

use bytes::{Bytes, BytesMut};
use longwire_xml::{Context, Element, Frame, Framer, Limits, StreamHeader, scan};

const MESSAGE: &str = "<message to='juliet@capulet.example' type='chat' xml:lang='en'>\
    <body>Art thou not &lt;Romeo&gt;?</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
    <x xmlns='urn:x'><y a='1'>t</y></x></message>";

#[test]
fn a_message_is_indexed() {
    let message =
        scan(Bytes::from_static(MESSAGE.as_bytes()), &Context::client(), &Limits::CLIENT).unwrap();
    assert_eq!((message.namespace(), message.name()), ("jabber:client", "message"));
    assert_eq!(message.attribute("to").unwrap(), "juliet@capulet.example");
    assert_eq!(message.lang().unwrap(), "en");
    let names: Vec<_> = message.children().map(|c| c.name().to_owned()).collect();
    assert_eq!(names, ["body", "active", "x"]);
    assert_eq!(message.child("jabber:client", "body").unwrap().text(), "Art thou not <Romeo>?");
    let y = message.child("urn:x", "x").unwrap().child("urn:x", "y").unwrap();
    assert_eq!((y.attribute("a").unwrap().as_ref(), y.text().as_ref()), ("1", "t"));
    let mut out = BytesMut::new();
    message.write_with(&mut out, &[("from", Some("a'b")), ("type", None)]);
    assert_eq!(
        out,
        MESSAGE.replace(
            "to='juliet@capulet.example' type='chat' xml:lang='en'>",
            "to=\"juliet@capulet.example\" xml:lang=\"en\" from=\"a&apos;b\">"
        )
    );
    assert_eq!(
        message.element(),
        Element::parse(&MESSAGE.replace("<message", "<message xmlns='jabber:client'")).unwrap()
    );
}

#[test]
fn a_stream_is_cut_into_frames() {
    let mut framer = Framer::stream(Limits::CLIENT);
    framer.push(Bytes::from_static(b"\xEF\xBB\xBF<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' xml:lang='de'> <a><b/><![CDATA[<]]></a>\n<c/></stream:stream> "));
    let Ok(Some(Frame::Header(header))) = framer.next() else { panic!("no header") };
    let header = StreamHeader::parse(&header, &Limits::CLIENT).unwrap();
    assert_eq!((header.namespace(), header.name()), ("http://etherx.jabber.org/streams", "stream"));
    assert_eq!(header.attribute("to"), Some("a.example"));
    assert_eq!(header.lang(), Some("de"));
    assert_eq!(
        header.context(),
        &Context::new(
            "jabber:client",
            &[("stream", "http://etherx.jabber.org/streams")],
            Some("de")
        )
    );
    assert_eq!(
        framer.next(),
        Ok(Some(Frame::Element(Bytes::from_static(b"<a><b/><![CDATA[<]]></a>"))))
    );
    assert_eq!(framer.next(), Ok(Some(Frame::Element(Bytes::from_static(b"<c/>")))));
    assert_eq!(framer.next(), Ok(Some(Frame::Footer)));
    assert_eq!(framer.next(), Ok(None));
    assert_eq!(framer.buffered(), 0);
}
