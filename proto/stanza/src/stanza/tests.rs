use bytes::{Bytes, BytesMut};
use longwire_xml::{Context, Element, Limits};

use super::*;
use crate::{BareJid, Condition, ErrorKind, StreamCondition, limits};

fn read_in(xml: &str, context: &Context) -> Result<Stanza, ParseError> {
    Stanza::parse(Bytes::copy_from_slice(xml.as_bytes()), context, &Limits::CLIENT)
}

fn read(xml: &str) -> Stanza {
    read_in(xml, &Context::client()).unwrap()
}

fn refused(xml: &str) -> (Condition, Option<String>) {
    match read_in(xml, &Context::client()) {
        Err(ParseError::Stanza { error, reply }) => {
            (error.condition, reply.map(|reply| reply.to_xml()))
        }
        other => panic!("{xml}: {other:?}"),
    }
}

fn ends_stream(xml: &str) -> StreamCondition {
    match read_in(xml, &Context::client()) {
        Err(ParseError::Stream(error)) => error.condition,
        other => panic!("{xml}: {other:?}"),
    }
}

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

const MESSAGE: &str = "<message from='a@x/r' to='b@y' id='1' type='chat' xml:lang='de'>\
    <body>Hallo &lt;Welt&gt;</body><x xmlns='urn:x'/></message>";

#[test]
fn the_header_is_read_and_the_children_are_indexed() {
    let stanza = read(MESSAGE);
    assert_eq!(stanza.kind(), Kind::Message);
    assert_eq!(stanza.message_type(), MessageType::Chat);
    assert_eq!(stanza.from(), Some(&jid("a@x/r")));
    assert_eq!(stanza.to(), Some(&jid("b@y")));
    assert_eq!(stanza.id(), Some("1"));
    assert_eq!(stanza.lang().as_deref(), Some("de"));
    assert_eq!(stanza.child_text("body").as_deref(), Some("Hallo <Welt>"));
    assert!(stanza.child("urn:x", "x").is_some());
    assert!(stanza.child("urn:x", "body").is_none());
    assert_eq!(stanza.payload().unwrap().name(), "body");
    assert_eq!(stanza.children().count(), 2);
    assert!(stanza.wire_len() >= stanza.to_bytes().len());
}

#[test]
fn addresses_are_forwarded_in_their_canonical_form() {
    let stanza = read("<message from='A@X./R' to='B@Y'/>");
    assert_eq!(stanza.to_xml(), r#"<message from="a@x/R" to="b@y"/>"#);
}

#[test]
fn the_content_and_all_other_attributes_are_forwarded_untouched() {
    let content =
        "<b:body xmlns:b='urn:b' >a&#65;&amp;<![CDATA[<]]></b:body>\n <x xmlns=\"urn:x\" ></x>";
    let xml = format!("<message to='b@y' ext='1' type='odd'>{content}</message>");
    let stanza = read(&xml).with_from(jid("a@x/r")).without_to();
    assert_eq!(stanza.message_type(), MessageType::Normal);
    let written = stanza.to_xml();
    assert!(written.contains(content), "{written}");
    for attribute in [r#" from="a@x/r""#, r#" ext="1""#, r#" type="odd""#] {
        assert!(written.contains(attribute), "{written}");
    }
    assert!(!written.contains(" to="), "{written}");
}

#[test]
fn another_header_shares_the_body() {
    let stanza = read(MESSAGE);
    let other = stanza.with_to(BareJid::new("c@z").unwrap()).with_id("2").without_from();
    assert_eq!(other.to(), Some(&jid("c@z")));
    assert_eq!((other.id(), other.from()), (Some("2"), None));
    assert_eq!(stanza.to(), Some(&jid("b@y")));
    assert_eq!(other.inner.body.raw().as_ptr(), stanza.inner.body.raw().as_ptr());
    let again = read(&other.to_xml());
    assert_eq!((again.id(), again.to(), again.from()), (Some("2"), Some(&jid("c@z")), None));
}

#[test]
fn the_language_of_the_stream_goes_with_the_stanza() {
    let context = Context::new("jabber:client", &[], Some("fr"));
    let stanza = read_in("<message><body>Salut</body></message>", &context).unwrap();
    assert!(stanza.to_xml().starts_with(r#"<message xml:lang="fr">"#), "{}", stanza.to_xml());
    let stanza = read_in("<message xml:lang='en'/>", &context).unwrap();
    assert_eq!(stanza.to_xml(), r#"<message xml:lang="en"/>"#);
}

#[test]
fn prefixes_of_the_stream_are_declared_where_they_are_needed() {
    let context = Context::new("jabber:client", &[("p", "urn:p"), ("q", "urn:q")], None);
    let stanza = read_in("<message><p:x/></message>", &context).unwrap();
    assert_eq!(stanza.to_xml(), r#"<message xmlns:p="urn:p"><p:x/></message>"#);
    assert_eq!(read(&stanza.to_xml()).payload().unwrap().namespace(), "urn:p");
}

/// The stanza as it goes to a recipient whose stream binds our prefix.
fn on_the_next_hop(stanza: &Stanza) -> (String, Element) {
    let mut out = BytesMut::new();
    stanza.write(&mut out, &[("m:q", "7")]);
    let written = String::from_utf8(out.to_vec()).unwrap();
    let context = Context::new("jabber:client", &[("m", ns::MULTI_STREAM)], None);
    let scanned = longwire_xml::scan(out.freeze(), &context, &Limits::CLIENT);
    (written.clone(), scanned.unwrap_or_else(|error| panic!("{written}: {error}")).element())
}

#[test]
fn attributes_of_the_hop_are_replaced_and_never_forwarded() {
    let context = Context::new("jabber:client", &[("m", ns::MULTI_STREAM)], None);
    for xml in [
        "<message id='1' m:q='1f' m:d='1e'/>",
        "<message m:q='1f' id='1' m:d='1e'><body>hi</body></message>",
        "<message m:q = \"1f\" m:d='1e'\n id='1' />",
        "<message id='1' xmlns:m='urn:xmpp:msm:0' m:q='1f'>&lt;</message>",
    ] {
        let stanza = read_in(xml, &context).unwrap();
        let (written, element) = on_the_next_hop(&stanza);
        assert!(!written.contains("1f") && !written.contains("1e"), "{written}");
        assert_eq!(element.attribute_ns(ns::MULTI_STREAM, "q"), Some("7"), "{written}");
        assert_eq!(element.attribute_ns(ns::MULTI_STREAM, "d"), None, "{written}");
        assert_eq!(element.attribute("id"), Some("1"));
        assert!(!stanza.to_xml().contains("1f"), "{}", stanza.to_xml());
    }
}

#[test]
fn attributes_of_the_hop_cannot_be_smuggled_under_another_prefix() {
    for uri in ["urn:xmpp:msm:0", "urn:xmpp:ms&#109;:0"] {
        for prefix in ["z", "m"] {
            let xml = format!(
                "<message xmlns:y='urn:y' y:q='kept' xmlns:{prefix}='{uri}' {prefix}:q='1f' \
                 id='1' xml:lang='en'><body>hi</body></message>"
            );
            let stanza = read(&xml);
            let (written, element) = on_the_next_hop(&stanza);
            assert!(!written.contains("1f"), "{written}");
            assert_eq!(element.attribute_ns(ns::MULTI_STREAM, "q"), Some("7"), "{written}");
            assert_eq!(element.attribute_ns("urn:y", "q"), Some("kept"), "{written}");
            assert_eq!((stanza.id(), stanza.lang().as_deref()), (Some("1"), Some("en")));
            assert_eq!(stanza.child_text("body").as_deref(), Some("hi"));
        }
    }
}

#[test]
fn our_prefix_cannot_be_given_another_meaning() {
    let stream = Context::new("jabber:client", &[("m", "urn:evil")], Some("en"));
    for (xml, context) in [
        ("<message id='1' xmlns:m='urn:evil' m:q='1f'><m:x/></message>", &Context::client()),
        ("<message id='1' m:q='1f'><m:x/></message>", &stream),
        ("<m:message xmlns:m='jabber:client' id='1'><x xmlns='urn:evil'/></m:message>", &stream),
    ] {
        let stanza = read_in(xml, context).unwrap();
        let (written, element) = on_the_next_hop(&stanza);
        assert_eq!(element.attribute_ns(ns::MULTI_STREAM, "q"), Some("7"), "{written}");
        assert!(element.find("urn:evil", "x").is_some(), "{written}");
        assert_eq!(stanza.lang().as_deref(), context.lang());
    }
}

//= test RFC 6120 §4.8.5
#[test]
fn nobody_receives_a_stanza_with_a_prefix() {
    let context = Context::new("jabber:client", &[("c", "jabber:client")], None);
    let plain = "<message to='b@x/r'><body>hi</body><y xmlns='urn:y' a='1'/></message>";
    for xml in [
        "<a:message xmlns:a='jabber:client' to='b@x/r'><a:body>hi</a:body>\
         <y xmlns='urn:y' a='1'/></a:message>",
        "<c:message to='b@x/r'><body>hi</body><y xmlns='urn:y' a='1'/></c:message>",
        "<message to='b@x/r'><c:body>hi</c:body><z:y xmlns:z='urn:y' a='1'/></message>",
        "<message to='b@x/r' xmlns:a='jabber&#58;client'><a:body>hi</a:body>\
         <y xmlns='urn:y' a='1'/></message>",
    ] {
        let sent = read_in(xml, &context).unwrap().to_xml();
        assert!(sent.starts_with("<message ") && sent.contains("<body>"), "{sent}");
        let expected = read(plain).to_element();
        assert_eq!(read(&sent).to_element(), expected, "{sent}");
    }
}

#[test]
fn stanzas_of_servers_look_like_those_of_clients() {
    let context = Context::server();
    for xml in [
        "<message to='b@y'><body>hi</body></message>",
        "<message xmlns='jabber:server' to='b@y'><body>hi</body></message>",
    ] {
        for context in [&context, &Context::client()] {
            let Ok(stanza) = read_in(xml, context) else { panic!("{xml}") };
            assert_eq!(stanza.child_text("body").as_deref(), Some("hi"));
            let written = r#"<message to="b@y"><body>hi</body></message>"#;
            assert_eq!(stanza.to_xml(), written);
            let mut out = BytesMut::new();
            stanza.write_under(&mut out, &[], ns::SERVER);
            assert_eq!(out, written);
        }
    }
    let scanned = longwire_xml::scan(
        Bytes::from_static(b"<message to='b@y' m='1'><body>hi</body></message>"),
        &Context::new(ns::SERVER, &[], Some("en")),
        &Limits::SERVER,
    );
    let stanza = Stanza::from_scanned(scanned.unwrap()).unwrap();
    assert_eq!(stanza.child_text("body").as_deref(), Some("hi"));
    assert_eq!(stanza.lang().as_deref(), Some("en"));
}

#[test]
fn inside_another_element_a_stanza_names_its_namespace() {
    let stanza = read("<message to='b@y'><body>hi</body></message>").with_from(jid("a@x/r"));
    let wrapper = Stanza::message(MessageType::Normal).content(|out| {
        out.extend_from_slice(b"<forwarded xmlns='urn:xmpp:forward:0'>");
        stanza.write_under(out, &[], "urn:xmpp:forward:0");
        out.extend_from_slice(b"</forwarded>");
    });
    let wrapper = read(&wrapper.build().to_xml());
    let forwarded = wrapper.child("urn:xmpp:forward:0", "forwarded").unwrap();
    let inner = forwarded.child(ns::CLIENT, "message").unwrap();
    assert_eq!(inner.child(ns::CLIENT, "body").unwrap().text(), "hi");
    assert_eq!(inner.attribute("from").as_deref(), Some("a@x/r"));
}

#[test]
fn children_can_be_appended_to_every_shape_of_stanza() {
    let mark = |id: &str| Element::new(ns::STANZA_ID, "stanza-id").attr("id", id);
    for xml in [
        "<message/>",
        "<message />",
        "<message\n/>",
        "<message></message>",
        "<message id='/>' ></message >",
        "<message><body>hi</body></message>",
        "<message>text</message>",
        "<c:message xmlns:c='jabber:client'/>",
        "<c:message xmlns:c='jabber:client' xmlns='urn:other'><c:body/></c:message>",
        "<message xmlns='jabber:client'><body/></message>",
    ] {
        let before = read(xml);
        let stanza = before.with_child(mark("1")).with_child(mark("2"));
        for stanza in [&stanza, &read(&stanza.to_xml())] {
            let ids = stanza.children().filter(|child| child.namespace() == ns::STANZA_ID);
            let ids: Vec<_> = ids.map(|child| child.attribute("id").unwrap()).collect();
            assert_eq!(ids, ["1", "2"], "{xml}");
            assert_eq!(stanza.children().count(), before.children().count() + 2, "{xml}");
        }
        assert_eq!(before.child(ns::STANZA_ID, "stanza-id").map(|_| ()), None);
    }
}

#[test]
fn an_appended_child_keeps_its_namespace_whatever_surrounds_it() {
    let xml = "<c:message xmlns:c='jabber:client' xmlns='urn:other'/>";
    let stanza = read(xml).with_child(Element::new(ns::CLIENT, "body").text("hi"));
    assert_eq!(read(&stanza.to_xml()).child_text("body").as_deref(), Some("hi"));
}

#[test]
fn children_can_be_taken_away() {
    let xml = "<message><a xmlns='urn:a'/><body>hi</body> <a xmlns='urn:a'>1</a></message>";
    let stanza = read(xml).with_child(Element::new("urn:a", "a"));
    let without = stanza.without_children(|child| child.namespace() == "urn:a");
    assert_eq!(without.to_xml(), "<message><body>hi</body> </message>");
    assert_eq!(without.children().count(), 1);
    let same = without.without_children(|child| child.namespace() == "urn:a");
    assert!(Arc::ptr_eq(&same.inner, &without.inner));

    let context = Context::new("jabber:client", &[("p", "urn:p")], None);
    let stanza = read_in("<message id='1'><p:x/><p:y/></message>", &context).unwrap();
    let without = stanza.without_children(|child| child.name() == "x");
    assert_eq!(read(&without.to_xml()).payload().unwrap().namespace(), "urn:p");
    assert_eq!(without.id(), Some("1"));
}

//= test RFC 6121 §5.2.2
#[test]
fn an_unknown_type_of_message_is_normal() {
    for (attribute, kind) in [
        ("", MessageType::Normal),
        ("type=''", MessageType::Normal),
        ("type='CHAT'", MessageType::Normal),
        ("type='normal'", MessageType::Normal),
        ("type='groupchat'", MessageType::Groupchat),
        ("type='headline'", MessageType::Headline),
        ("type='error'", MessageType::Error),
    ] {
        assert_eq!(read(&format!("<message {attribute}/>")).message_type(), kind, "{attribute}");
    }
}

//= test RFC 6120 §8.2.3
#[test]
fn an_iq_that_breaks_the_rules_is_a_bad_request() {
    for xml in [
        "<iq type='get'><q xmlns='q'/></iq>",
        "<iq type='get' id='1'/>",
        "<iq type='set' id='1'>text</iq>",
        "<iq type='set' id='1'><q xmlns='q'/><q xmlns='q'/></iq>",
        "<iq id='1'><q xmlns='q'/></iq>",
        "<iq id='1' type='GET'><q xmlns='q'/></iq>",
    ] {
        let (condition, reply) = refused(xml);
        assert_eq!(condition, Condition::BadRequest, "{xml}");
        let reply = reply.unwrap();
        assert!(reply.starts_with("<iq") && reply.contains(r#"type="error""#), "{reply}");
        assert_eq!(reply.contains(r#" id="1""#), xml.contains("id='1'"), "{reply}");
    }
    for xml in
        ["<iq type='result' id='1'><a/><b/></iq>", "<iq type='result'/>", "<iq type='error'/>"]
    {
        assert_eq!(refused(xml), (Condition::BadRequest, None), "{xml}");
    }
    for xml in [
        "<iq type='get' id='1'><q xmlns='q'/></iq>",
        "<iq type='set' id=''><q xmlns='q'/></iq>",
        "<iq type='result' id='1'/>",
        "<iq type='result' id='1'><q xmlns='q'/></iq>",
        "<iq type='error' id='1'><q xmlns='q'/><error/></iq>",
    ] {
        read(xml);
    }
}

#[test]
fn an_unknown_type_of_presence_is_a_bad_request() {
    let (condition, reply) = refused("<presence from='a@x/r' to='b@y' id='p' type='available'/>");
    assert_eq!(condition, Condition::BadRequest);
    let reply = read(&reply.unwrap());
    assert_eq!(reply.presence_type(), PresenceType::Error);
    assert_eq!((reply.to(), reply.id()), (Some(&jid("a@x/r")), Some("p")));
    for name in ["unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"] {
        let stanza = read(&format!("<presence type='{name}'/>"));
        assert_eq!(stanza.presence_type().as_str(), Some(name));
    }
    assert_eq!(read("<presence/>").presence_type(), PresenceType::Available);
}

#[test]
fn a_malformed_addressee_is_answered_and_the_stream_lives() {
    let (condition, reply) = refused("<message from='a@x/r' to='b@@y' id='1' type='chat'/>");
    assert_eq!(condition, Condition::JidMalformed);
    let reply = read(&reply.unwrap());
    assert_eq!(reply.message_type(), MessageType::Error);
    assert_eq!((reply.to(), reply.from()), (Some(&jid("a@x/r")), None));
    let error = reply.stanza_error().unwrap();
    assert_eq!((error.condition, error.kind), (Condition::JidMalformed, ErrorKind::Modify));

    for xml in ["<message to='' type='error'/>", "<iq to='' type='result' id='1'/>"] {
        assert_eq!(refused(xml), (Condition::JidMalformed, None));
    }
    assert_eq!(refused("<presence to='b@'/>").0, Condition::JidMalformed);
}

#[test]
fn what_is_not_a_stanza_ends_the_stream() {
    use StreamCondition::*;
    for (xml, condition) in [
        ("<message from='@@'/>", InvalidFrom),
        ("<message xmlns='urn:x'/>", InvalidNamespace),
        ("<message xmlns=''/>", InvalidNamespace),
        ("<s:message xmlns:s='jabber:server'/>", InvalidNamespace),
        ("<massage/>", UnsupportedStanzaType),
        ("<Message/>", UnsupportedStanzaType),
        ("<stream:features/>", UnsupportedStanzaType),
        ("<message><!-- --></message>", RestrictedXml),
        ("<message><?php?></message>", RestrictedXml),
        ("<message>&nbsp;</message>", RestrictedXml),
        ("<message><a></message>", NotWellFormed),
        ("<message", NotWellFormed),
        ("", NotWellFormed),
    ] {
        assert_eq!(ends_stream(xml), condition, "{xml}");
    }
    let large = format!("<message><body>{}</body></message>", "a".repeat(256 * 1024));
    assert_eq!(ends_stream(&large), PolicyViolation);
}

//= test RFC 6120 §8.3.1
#[test]
fn an_error_goes_back_with_the_same_id_and_a_short_message_s_content() {
    let error = StanzaError::new(Condition::ServiceUnavailable).with_text("nobody <here>");
    let answer = read(MESSAGE).error(&error).unwrap();
    let expected = Element::parse(
        "<message xmlns='jabber:client' from='b@y' to='a@x/r' id='1' type='error'>\
         <body>Hallo &lt;Welt></body><x xmlns='urn:x'/>\
         <error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>nobody &lt;here></text>\
         </error></message>",
    );
    assert_eq!(answer.to_element(), expected.unwrap());
    assert_eq!(answer.stanza_error(), Some(error.clone()));
    assert!(read(&answer.to_xml()).error(&error).is_none());
    for unanswerable in ["<presence type='error'/>", "<iq type='result' id='1'/>"] {
        assert!(read(unanswerable).error(&error).is_none(), "{unanswerable}");
    }
    for other in ["<iq type='get' id='1'><x xmlns='urn:x'/></iq>", "<presence><show/></presence>"] {
        let answer = read(other).error(&error).unwrap();
        assert_eq!(answer.children().count(), 1, "{other}");
    }
    let failed = read(MESSAGE).error(&Condition::InternalServerError.into()).unwrap();
    assert_eq!(failed.children().count(), 1);
    let twice = read("<message><error/><body>a</body></message>").error(&error).unwrap();
    assert_eq!(twice.stanza_error(), Some(error));
}

#[test]
fn a_long_message_does_not_come_back() {
    let empty = read("<message><body/></message>").wire_len();
    for (bytes, comes) in [
        (limits::ECHO_BYTES - 1, true),
        (limits::ECHO_BYTES, true),
        (limits::ECHO_BYTES + 1, false),
    ] {
        let xml = format!("<message><body>{}</body></message>", "a".repeat(bytes - empty - 6));
        let stanza = read(&xml);
        let stanza = if stanza.wire_len() < bytes {
            let pad = bytes - stanza.wire_len();
            read(&xml.replace("</body>", &format!("{}</body>", "a".repeat(pad))))
        } else {
            stanza
        };
        assert_eq!(stanza.wire_len(), bytes);
        let answer = stanza.error(&StanzaError::new(Condition::Gone)).unwrap();
        assert_eq!(answer.child_text("body").is_some(), comes, "{bytes}");
    }
    assert_eq!(
        read("<message type='error'/>").stanza_error().unwrap().condition,
        Condition::UndefinedCondition
    );
    assert_eq!(read(MESSAGE).stanza_error(), None);
}

#[test]
fn a_result_goes_back_with_the_same_id() {
    let request = read("<iq type='get' id='v&lt;1' from='a@x/r' to='y'><q xmlns='q'/></iq>");
    assert!(request.is_request());
    assert_eq!(
        request.result(None).to_xml(),
        r#"<iq type="result" from="y" to="a@x/r" id="v&lt;1"/>"#
    );
    let answer = request.result(Some(Element::new("q", "q").text("ok")));
    assert_eq!(answer.iq_type(), IqType::Result);
    assert_eq!(answer.payload().unwrap().text(), "ok");
    assert!(!answer.is_request());
}

#[test]
fn what_we_build_is_what_is_read() {
    let stanza = Stanza::message(MessageType::Chat)
        .from(jid("a@x/r"))
        .to(jid("b@y"))
        .id("1")
        .lang("de")
        .body("Hallo <Welt>")
        .child_opt(Some(Element::new("urn:x", "x")))
        .child_opt(None)
        .build();
    assert_eq!(stanza.to_element(), read(MESSAGE).to_element());
    assert_eq!(stanza.lang().as_deref(), Some("de"));
    assert_eq!(Stanza::presence(PresenceType::Available).build().to_xml(), "<presence/>");
    assert_eq!(Stanza::message(MessageType::Normal).build().to_xml(), "<message/>");
    assert_eq!(Stanza::iq(IqType::Set).id("1").build().to_xml(), r#"<iq type="set" id="1"/>"#);
}

#[test]
fn an_odd_element_does_not_spoil_what_we_build() {
    let odd = Element::new("urn:\u{1}", "not a name").attr("1", "\u{0}").text("\u{b}");
    let stanza = Stanza::message(MessageType::Chat).child(odd.clone()).build().with_child(odd);
    assert_eq!(stanza.children().count(), 2);
    assert_eq!(read(&stanza.to_xml()).children().count(), 2);
}

#[test]
fn asking_a_stanza_for_the_type_of_another_kind_is_harmless() {
    let message = read("<message/>");
    assert_eq!(message.presence_type(), PresenceType::Available);
    assert_eq!(message.iq_type(), IqType::Set);
    let error = read("<iq type='error' id='1'/>");
    assert_eq!(error.message_type(), MessageType::Error);
    assert_eq!(error.presence_type(), PresenceType::Error);
}

#[test]
fn what_a_stanza_says_is_not_logged() {
    assert!(!format!("{:?}", read(MESSAGE)).contains("Hallo"));
}
