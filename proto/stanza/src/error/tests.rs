use longwire_xml::{Context, Element, Limits, scan};

use super::*;
use crate::Jid;

//= test RFC 6120 §8.3.3
#[test]
fn every_stanza_condition_is_written_and_read() {
    assert_eq!(Condition::ALL.len(), 22);
    for condition in Condition::ALL {
        let error = StanzaError::new(*condition);
        let kind = error.kind;
        let xml = format!(
            "<error xmlns='jabber:client' type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        );
        assert_eq!(error.to_element(), Element::parse(&xml).unwrap());
        assert_eq!(StanzaError::from_element(&error.to_element()), error);
        assert_eq!(Condition::from_name(condition.as_str()), Some(*condition));
    }
}

//= test RFC 6120 §8.3.3
#[test]
fn the_usual_types_are_those_of_the_specification() {
    use Condition::*;
    for (condition, kind) in [
        (BadRequest, "modify"),
        (Conflict, "cancel"),
        (FeatureNotImplemented, "cancel"),
        (Forbidden, "auth"),
        (Gone, "cancel"),
        (InternalServerError, "cancel"),
        (ItemNotFound, "cancel"),
        (JidMalformed, "modify"),
        (NotAcceptable, "modify"),
        (NotAllowed, "cancel"),
        (NotAuthorized, "auth"),
        (PolicyViolation, "modify"),
        (RecipientUnavailable, "wait"),
        (Redirect, "modify"),
        (RegistrationRequired, "auth"),
        (RemoteServerNotFound, "cancel"),
        (RemoteServerTimeout, "wait"),
        (ResourceConstraint, "wait"),
        (ServiceUnavailable, "cancel"),
        (SubscriptionRequired, "auth"),
        (UnexpectedRequest, "wait"),
    ] {
        assert_eq!(condition.kind().as_str(), kind, "{condition}");
    }
}

#[test]
fn everything_about_a_stanza_error_survives() {
    let error = StanzaError::new(Condition::Gone)
        .with_kind(ErrorKind::Modify)
        .with_address("xmpp:new@example.org")
        .with_text("moved & gone")
        .with_by(Jid::new("example.com").unwrap())
        .with_application(Element::new("urn:x", "x").attr("a", "1"));
    let written = error.to_element();
    assert_eq!(written.to_string(), StanzaError::from_element(&written).to_element().to_string());
    assert_eq!(StanzaError::from_element(&written), error);

    let raw = format!("<message xmlns='jabber:client'>{written}</message>");
    let scanned = scan(raw.into(), &Context::empty(), &Limits::CLIENT).unwrap();
    assert_eq!(StanzaError::parse(&scanned.children().next().unwrap()), error);
}

#[test]
fn an_odd_stanza_error_is_read_as_far_as_it_goes() {
    let read = |xml: &str| StanzaError::from_element(&Element::parse(xml).unwrap());
    let undefined = StanzaError::new(Condition::UndefinedCondition);
    assert_eq!(read("<error/>"), undefined);
    assert_eq!(
        read("<error type='odd' by='@'><x xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
        undefined
    );
    let xml = "<error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    assert_eq!(read(xml), StanzaError::new(Condition::Conflict));
    let twice =
        "<error xmlns:s='urn:ietf:params:xml:ns:xmpp-stanzas'><s:conflict/><s:gone/></error>";
    assert_eq!(read(twice), StanzaError::new(Condition::Conflict));
}

//= test RFC 6120 §4.9.3
#[test]
fn every_stream_condition_is_written_and_read() {
    assert_eq!(StreamCondition::ALL.len(), 25);
    for condition in StreamCondition::ALL {
        let error = StreamError::new(*condition).with_text("why");
        let xml = format!(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>why</text></stream:error>"
        );
        assert_eq!(error.to_element(), Element::parse(&xml).unwrap());
        assert_eq!(StreamError::from_element(&error.to_element()), error);
    }
    let error = StreamError::see_other_host("[2001:db8::1]:9222")
        .with_application(Element::new("urn:x", "x"));
    assert_eq!(StreamError::from_element(&error.to_element()), error);
    let unknown = Element::parse("<error><x xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error>");
    let undefined = StreamError::new(StreamCondition::UndefinedCondition);
    assert_eq!(StreamError::from_element(&unknown.unwrap()), undefined);
}

#[test]
fn bad_xml_ends_the_stream_with_its_condition() {
    use StreamCondition::*;
    for (xml, condition) in [
        (&b"<a>"[..], NotWellFormed),
        (b"<a><!----></a>", RestrictedXml),
        (b"<a>\xff</a>", UnsupportedEncoding),
        (b"<p:a/>", NotWellFormed),
    ] {
        let raw = bytes::Bytes::from_static(xml);
        let error = scan(raw, &Context::empty(), &Limits::CLIENT).unwrap_err();
        assert_eq!(StreamError::from(error).condition, condition, "{xml:?}");
    }
    assert_eq!(StreamError::from(longwire_xml::XmlError::Encoding).condition, UnsupportedEncoding);
    let limit = longwire_xml::XmlError::TooLarge(longwire_xml::Limit::Depth);
    assert_eq!(StreamError::from(limit).condition, PolicyViolation);
}
