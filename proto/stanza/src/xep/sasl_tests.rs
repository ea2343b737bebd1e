//! Both profiles of SASL, element by element.

use std::fmt::Debug;

use longwire_xml::Element;

use super::sasl::{Data, Failure, FailureCondition, Mechanisms};
use super::sasl2::{Authentication, UserAgent};
use super::{Payload, bind2, iap, sasl, sasl2};
use crate::{Condition, Jid};

fn element(xml: &str) -> Element {
    Element::parse(xml).unwrap()
}

fn data(text: &str) -> Data {
    Data::new(text.as_bytes().to_vec())
}

fn same<T: PartialEq + Debug>(
    xml: &str,
    value: T,
    read: impl Fn(&Element) -> Result<T, Failure>,
    write: impl Fn(&T) -> Element,
) {
    assert_eq!(write(&value), element(xml));
    assert_eq!(read(&element(xml)), Ok(value));
}

//= test RFC 6120 §6.4
#[test]
fn what_a_client_says() {
    use sasl::ClientElement::*;
    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    let check = |xml: &str, value| {
        same(
            &xml.replace("NS", NS),
            value,
            sasl::ClientElement::from_element,
            sasl::ClientElement::element,
        );
    };
    let auth = |initial| Auth { mechanism: "PLAIN".into(), initial };
    check("<auth NS mechanism='PLAIN'>AGEAYg==</auth>", auth(Some(data("\0a\0b"))));
    check("<auth NS mechanism='PLAIN'/>", auth(None));
    check("<auth NS mechanism='PLAIN'>=</auth>", auth(Some(data(""))));
    check("<response NS>YQ==</response>", Response(data("a")));
    check("<response NS/>", Response(data("")));
    check("<abort NS/>", Abort);
    for (xml, condition) in [
        ("<auth NS mechanism='PLAIN'>A</auth>", FailureCondition::IncorrectEncoding),
        ("<auth NS mechanism='PLAIN'>AGEAYg</auth>", FailureCondition::IncorrectEncoding),
        ("<auth NS mechanism='PLAIN'>AGEA-g==</auth>", FailureCondition::IncorrectEncoding),
        ("<response NS>==</response>", FailureCondition::IncorrectEncoding),
        ("<auth NS>YQ==</auth>", FailureCondition::InvalidMechanism),
        ("<success NS/>", FailureCondition::MalformedRequest),
        ("<abort xmlns='urn:xmpp:sasl:2'/>", FailureCondition::MalformedRequest),
    ] {
        let read = sasl::ClientElement::from_element(&element(&xml.replace("NS", NS)));
        assert_eq!(read.map_err(|failure| failure.condition), Err(condition), "{xml}");
    }
}

//= test RFC 6120 §6.5
#[test]
fn what_a_server_says() {
    use sasl::ServerElement::*;
    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    let check = |xml: &str, value| {
        same(
            &xml.replace("NS", NS),
            value,
            sasl::ServerElement::from_element,
            sasl::ServerElement::element,
        );
    };
    check("<challenge NS>YQ==</challenge>", Challenge(data("a")));
    check("<challenge NS/>", Challenge(data("")));
    check("<success NS/>", Success(None));
    check("<success NS>=</success>", Success(Some(data(""))));
    check("<success NS>dj1h</success>", Success(Some(data("v=a"))));
    for condition in FailureCondition::ALL {
        let xml = format!("<failure NS><{condition}/></failure>");
        check(&xml, Failure((*condition).into()));
    }
    let failure = sasl::Failure::new(FailureCondition::AccountDisabled).with_text("Call <us>");
    check("<failure NS><account-disabled/><text>Call &lt;us></text></failure>", Failure(failure));
    let unknown =
        element("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><bad-auth/></failure>");
    let Ok(Failure(failure)) = sasl::ServerElement::from_element(&unknown) else { panic!() };
    assert_eq!(failure.condition, FailureCondition::NotAuthorized);
}

#[test]
fn secrets_are_not_shown_and_white_space_is_not_data() {
    assert_eq!(format!("{:?}", data("secret")), "Data(6 bytes)");
    assert_eq!(Data::decode("\n  c2Vj\r\n cmV0\t"), Ok(data("secret")));
    assert_eq!(data("secret").into_bytes(), b"secret");
    let mechanisms = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism> PLAIN </mechanism>\
         <hostname xmlns='urn:xmpp:domain-based-name:1'>a</hostname></mechanisms>";
    assert_eq!(Mechanisms::from_element(&element(mechanisms)).unwrap().mechanisms, ["PLAIN"]);
}

//= test XEP-0388 §2.1
#[test]
fn the_feature_of_the_extensible_profile() {
    let xml = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism>\
        <mechanism>SCRAM-SHA-1-PLUS</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/>\
        <bind xmlns='urn:xmpp:bind:0'/></inline></authentication>";
    let feature = Authentication::from_element(&element(xml)).unwrap();
    assert_eq!(feature.element(), element(xml));
    assert_eq!(feature.mechanisms, ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]);
    assert!(feature.find_inline("urn:xmpp:sm:3", "sm").is_some());
    assert!(feature.find_inline("urn:xmpp:fast:0", "fast").is_none());
}

//= test XEP-0388 §2.3
#[test]
fn a_client_of_the_extensible_profile() {
    use sasl2::ClientElement::*;
    let check = |xml: &str, value| {
        same(
            &xml.replace("NS", "xmlns='urn:xmpp:sasl:2'"),
            value,
            sasl2::ClientElement::from_element,
            sasl2::ClientElement::element,
        );
    };
    let authenticate = sasl2::Authenticate {
        mechanism: "PLAIN".into(),
        initial: Some(data("\0a\0b")),
        user_agent: Some(UserAgent {
            id: Some("d4565fa7".into()),
            software: Some("AwesomeXMPP".into()),
            device: Some("Kiva's Phone".into()),
        }),
        inline: vec![
            bind2::Bind { tag: Some("x".into()), features: Vec::new() }.element(),
            iap::ConfigVersion::opaque("v").element(),
        ],
    };
    let bind = authenticate.inline::<bind2::Bind>().unwrap().unwrap();
    assert_eq!(bind.tag.as_deref(), Some("x"));
    assert_eq!(authenticate.inline::<super::ping::Ping>(), Ok(None));
    let broken = sasl2::Authenticate {
        inline: vec![Element::new(iap::ConfigVersion::NS, iap::ConfigVersion::NAME)],
        ..Default::default()
    };
    let error = broken.inline::<iap::ConfigVersion>().unwrap_err();
    assert_eq!(error.condition, Condition::BadRequest);
    check(
        "<authenticate NS mechanism='PLAIN'><initial-response>AGEAYg==</initial-response>\
         <user-agent id='d4565fa7'><software>AwesomeXMPP</software>\
         <device>Kiva's Phone</device></user-agent>\
         <bind xmlns='urn:xmpp:bind:0'><tag>x</tag></bind>\
         <config-version xmlns='urn:xmpp:iap:0' value='v'/></authenticate>",
        Authenticate(authenticate),
    );
    let plain = |initial| sasl2::Authenticate {
        mechanism: "EXTERNAL".into(),
        initial,
        ..Default::default()
    };
    check("<authenticate NS mechanism='EXTERNAL'/>", Authenticate(plain(None)));
    check(
        "<authenticate NS mechanism='EXTERNAL'><initial-response/></authenticate>",
        Authenticate(plain(Some(data("")))),
    );
    check("<response NS>YQ==</response>", Response(data("a")));
    check("<abort NS/>", Abort(None));
    check("<abort NS><text>no</text></abort>", Abort(Some("no".into())));
    let task = || vec![Element::new("urn:totp:example", "totp").text("1")];
    let inner = "<totp xmlns='urn:totp:example'>1</totp>";
    check(
        &format!("<next NS task='TOTP'>{inner}</next>"),
        Next { task: "TOTP".into(), elements: task() },
    );
    check(&format!("<task-data NS>{inner}</task-data>"), TaskData(task()));
    for (xml, condition) in [
        ("<authenticate NS/>", FailureCondition::InvalidMechanism),
        ("<next NS/>", FailureCondition::MalformedRequest),
        ("<success NS/>", FailureCondition::MalformedRequest),
        ("<response NS>=</response>", FailureCondition::IncorrectEncoding),
    ] {
        let xml = xml.replace("NS", "xmlns='urn:xmpp:sasl:2'");
        let read = sasl2::ClientElement::from_element(&element(&xml));
        assert_eq!(read.map_err(|failure| failure.condition), Err(condition), "{xml}");
    }
}

//= test XEP-0388 §2.6
#[test]
fn a_server_of_the_extensible_profile() {
    use sasl2::ServerElement::*;
    let check = |xml: &str, value| {
        same(
            &xml.replace("NS", "xmlns='urn:xmpp:sasl:2'"),
            value,
            sasl2::ServerElement::from_element,
            sasl2::ServerElement::element,
        );
    };
    check("<challenge NS>YQ==</challenge>", Challenge(data("a")));
    let success = sasl2::Success {
        additional: Some(data("v=a")),
        identifier: Jid::new("a@b/c").unwrap(),
        inline: vec![bind2::Bound::default().element()],
    };
    assert_eq!(success.inline(), Some(bind2::Bound::default()));
    check(
        "<success NS><additional-data>dj1h</additional-data>\
         <authorization-identifier>a@b/c</authorization-identifier>\
         <bound xmlns='urn:xmpp:bind:0'/></success>",
        Success(success),
    );
    check(
        "<failure NS><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
         <config-version-mismatch xmlns='urn:xmpp:iap:0'/><text>no</text></failure>",
        Failure(
            sasl::Failure::new(FailureCondition::Aborted)
                .with_application(iap::mismatch())
                .with_text("no"),
        ),
    );
    let more = sasl2::Continue {
        additional: None,
        tasks: vec!["HOTP".into(), "TOTP".into()],
        text: Some("2FA".into()),
    };
    check(
        "<continue NS><tasks><task>HOTP</task><task>TOTP</task></tasks><text>2FA</text></continue>",
        Continue(more),
    );
    check("<continue NS><tasks/></continue>", Continue(sasl2::Continue::default()));
    check("<task-data NS/>", TaskData(Vec::new()));
    let nobody = element("<success xmlns='urn:xmpp:sasl:2'/>");
    assert!(sasl2::ServerElement::from_element(&nobody).is_err());
}
