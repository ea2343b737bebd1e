//! Every vocabulary reads the XML of its specification and writes it again.

use std::fmt::Debug;

use super::*;
use crate::{BareJid, FullJid, Jid, ns};

fn element(xml: &str) -> Element {
    Element::parse(xml).unwrap()
}

/// Reads the element, writes it again, and reads it as the child of a stanza as well.
fn both_ways<P: Payload + PartialEq + Debug>(xml: &str) -> P {
    let read = P::from_element(&element(xml)).unwrap();
    assert_eq!(read.element(), element(xml));
    let wrapped = format!("<iq xmlns='jabber:client'>{xml}</iq>");
    let stanza = longwire_xml::scan(wrapped.into(), &Context::empty(), &limits::OWN).unwrap();
    assert_eq!(P::parse(&stanza.children().next().unwrap()).unwrap(), read);
    read
}

fn refused<P: Payload + Debug>(xml: &str) -> Condition {
    P::from_element(&element(xml)).unwrap_err().condition
}

fn stamp(text: &str) -> datetime::Stamp {
    text.parse().unwrap()
}

//= test XEP-0199 §4
#[test]
fn ping() {
    both_ways::<ping::Ping>("<ping xmlns='urn:xmpp:ping'/>");
    assert_eq!(refused::<ping::Ping>("<ping xmlns='urn:xmpp:pong'/>"), Condition::BadRequest);
    assert_eq!(refused::<ping::Ping>("<pong xmlns='urn:xmpp:ping'/>"), Condition::BadRequest);
}

//= test XEP-0092 §4
#[test]
fn version() {
    both_ways::<version::Request>("<query xmlns='jabber:iq:version'/>");
    let version: version::Version = both_ways(
        "<query xmlns='jabber:iq:version'>\
         <name>Exodus</name><version>0.7.0.4</version><os>Windows</os></query>",
    );
    assert_eq!((&*version.name, version.os.as_deref()), ("Exodus", Some("Windows")));
}

//= test XEP-0202 §3
#[test]
fn time() {
    both_ways::<time::Request>("<time xmlns='urn:xmpp:time'/>");
    let time: time::Time = both_ways(
        "<time xmlns='urn:xmpp:time'><tzo>-06:00</tzo><utc>2006-12-19T17:58:35Z</utc></time>",
    );
    assert_eq!(time, time::Time { offset: "-06:00".into(), utc: stamp("2006-12-19T17:58:35Z") });
    assert_eq!(refused::<time::Time>("<time xmlns='urn:xmpp:time'/>"), Condition::BadRequest);
}

//= test XEP-0012 §3
#[test]
fn last() {
    both_ways::<last::Request>("<query xmlns='jabber:iq:last'/>");
    let last: last::Last = both_ways("<query xmlns='jabber:iq:last' seconds='903'>Home</query>");
    assert_eq!(last, last::Last { seconds: 903, status: Some("Home".into()) });
    both_ways::<last::Last>("<query xmlns='jabber:iq:last' seconds='0'/>");
    for xml in ["<query xmlns='jabber:iq:last'/>", "<query xmlns='jabber:iq:last' seconds='-1'/>"] {
        assert_eq!(refused::<last::Last>(xml), Condition::BadRequest);
    }
}

//= test XEP-0203 §4
#[test]
fn delay() {
    let delay: delay::Delay = both_ways(
        "<delay xmlns='urn:xmpp:delay' from='capulet.com' stamp='2002-09-10T23:08:25Z'>\
         Offline Storage</delay>",
    );
    assert_eq!(delay.stamp, stamp("2002-09-10T23:08:25Z"));
    assert_eq!(delay.from, Some(Jid::new("capulet.com").unwrap()));
    assert_eq!(delay.reason.as_deref(), Some("Offline Storage"));
    both_ways::<delay::Delay>(
        "<delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25.5Z'/>"
            .replace(".5", ".500")
            .as_str(),
    );
    assert_eq!(refused::<delay::Delay>("<delay xmlns='urn:xmpp:delay'/>"), Condition::BadRequest);
}

//= test XEP-0115 §4
#[test]
fn caps() {
    let caps: caps::Caps = both_ways(
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
         node='http://code.google.com/p/exodus' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>",
    );
    let node = "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=";
    assert_eq!(caps.disco_node(), node);
}

//= test XEP-0359 §3
#[test]
fn stanza_ids() {
    let id: stanza_id::StanzaId =
        both_ways("<stanza-id xmlns='urn:xmpp:sid:0' id='5f3d' by='room@muc.example.com'/>");
    assert_eq!((&*id.id, id.by.as_str()), ("5f3d", "room@muc.example.com"));
    let id: stanza_id::OriginId = both_ways("<origin-id xmlns='urn:xmpp:sid:0' id='de305d54'/>");
    assert_eq!(id.id, "de305d54");
    let xml = "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='@'/>";
    assert_eq!(refused::<stanza_id::StanzaId>(xml), Condition::JidMalformed);
}

//= test XEP-0030 §3.1
#[test]
fn disco_info() {
    let request: disco::InfoRequest =
        both_ways("<query xmlns='http://jabber.org/protocol/disco#info' node='a&amp;b'/>");
    assert_eq!(request.node.as_deref(), Some("a&b"));
    let info: disco::Info = both_ways(
        "<query xmlns='http://jabber.org/protocol/disco#info' node='n'>\
         <identity category='conference' type='text' name='Play-Specific' xml:lang='en'/>\
         <identity category='directory' type='chatroom'/>\
         <feature var='http://jabber.org/protocol/disco#info'/><feature var='jabber:iq:time'/>\
         <x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'/></x></query>",
    );
    assert_eq!(info.identities[1], disco::Identity::new("directory", "chatroom"));
    assert_eq!(info.identities[0].lang.as_deref(), Some("en"));
    assert!(info.has("jabber:iq:time") && !info.has("jabber:iq:version"));
    assert_eq!(info.forms.len(), 1);
    let xml = "<query xmlns='http://jabber.org/protocol/disco#info'><feature/></query>";
    assert_eq!(refused::<disco::Info>(xml), Condition::BadRequest);
}

//= test XEP-0030 §4.1
#[test]
fn disco_items() {
    both_ways::<disco::ItemsRequest>("<query xmlns='http://jabber.org/protocol/disco#items'/>");
    let items: disco::Items = both_ways(
        "<query xmlns='http://jabber.org/protocol/disco#items'>\
         <item jid='people.shakespeare.lit' name='Directory'/>\
         <item jid='plays.shakespeare.lit' node='1'/></query>",
    );
    assert_eq!(items.items[0].name.as_deref(), Some("Directory"));
    assert_eq!(items.items[1].node.as_deref(), Some("1"));
}

//= test RFC 6121 §2.1
#[test]
fn roster() {
    let xml = "<query xmlns='jabber:iq:roster' ver='ver7'>\
        <item jid='nurse@example.com' name='Nurse' subscription='both'>\
        <group>Servants</group><group>Friends</group></item>\
        <item jid='romeo@example.net' subscription='none' ask='subscribe' approved='true'/>\
        <item jid='tybalt@example.com' subscription='remove'/></query>";
    let roster: roster::Roster = both_ways(xml);
    let [nurse, romeo, tybalt] = &roster.items[..] else { panic!("{roster:?}") };
    assert_eq!(nurse.groups, ["Servants", "Friends"]);
    assert!(nurse.subscription.is_to() && nurse.subscription.is_from());
    assert!(romeo.ask && romeo.approved && !romeo.subscription.is_to());
    assert_eq!(tybalt.subscription, roster::Subscription::Remove);

    for (xml, ver) in [("", None), ("ver=''", Some("")), ("ver='ver7'", Some("ver7"))] {
        let xml = format!("<query xmlns='jabber:iq:roster' {xml}/>");
        assert_eq!(both_ways::<roster::Request>(&xml).ver.as_deref(), ver);
    }
    assert_eq!(refused::<roster::Request>(xml), Condition::BadRequest);
}

//= test RFC 6121 §2.3.3
#[test]
fn a_change_of_the_roster_that_breaks_the_rules_is_refused() {
    let change = |items: &str| {
        let xml = format!("<query xmlns='jabber:iq:roster'>{items}</query>");
        roster::Change::from_element(&element(&xml)).map_err(|error| error.condition)
    };
    let item = change("<item jid='A@B./r' name=''><group>1</group></item>").unwrap().item;
    assert_eq!(item.jid, "a@b");
    assert_eq!((item.name, item.subscription), (None, roster::Subscription::None));
    //= test RFC 6121 §2.1.2
    for ignored in ["subscription='all'", "approved='yes'", "ask='maybe'", "subscription=''"] {
        let item = change(&format!("<item jid='a@b' {ignored}/>")).unwrap().item;
        assert_eq!(item, roster::Item::new("a@b".parse().unwrap()), "{ignored}");
    }
    let long = "x".repeat(limits::ROSTER_NAME_BYTES + 1);
    for (items, condition) in [
        (String::new(), Condition::BadRequest),
        ("<item jid='a@b'/><item jid='c@d'/>".into(), Condition::BadRequest),
        ("<item/>".into(), Condition::BadRequest),
        ("<item jid='@'/>".into(), Condition::JidMalformed),
        ("<item jid='a@b'><group>1</group><group>1</group></item>".into(), Condition::BadRequest),
        ("<item jid='a@b'><group/></item>".into(), Condition::NotAcceptable),
        (format!("<item jid='a@b' name='{long}'/>"), Condition::NotAcceptable),
        (format!("<item jid='a@b'><group>{long}</group></item>"), Condition::NotAcceptable),
    ] {
        assert_eq!(change(&items), Err(condition), "{items}");
    }
    for (length, fits) in [(-1, true), (0, true), (1, false)] {
        let length = limits::ROSTER_NAME_BYTES.checked_add_signed(length).unwrap();
        let name = "x".repeat(length);
        assert_eq!(change(&format!("<item jid='a@b' name='{name}'/>")).is_ok(), fits, "{length}");
        let group = format!("<item jid='a@b'><group>{name}</group></item>");
        assert_eq!(change(&group).is_ok(), fits, "{length}");
    }
    for (groups, fits) in [(-1, true), (0, true), (1, false)] {
        let count = limits::ROSTER_GROUPS.checked_add_signed(groups).unwrap();
        let groups: String = (0..count).map(|n| format!("<group>{n}</group>")).collect();
        assert_eq!(change(&format!("<item jid='a@b'>{groups}</item>")).is_ok(), fits, "{count}");
    }
}

#[test]
fn a_roster_has_a_bound() {
    for (more, fits) in [(-1, true), (0, true), (1, false)] {
        let count = limits::ROSTER_ITEMS.checked_add_signed(more).unwrap();
        let item = |n: usize| Element::new(ns::ROSTER, "item").attr("jid", format!("{n}.x"));
        let query = Element::new(ns::ROSTER, "query").children((0..count).map(item));
        assert_eq!(roster::Roster::from_element(&query).is_ok(), fits, "{count}");
    }
}

//= test RFC 6120 §7
#[test]
fn resource_binding() {
    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-bind'";
    let request: bind::Request =
        both_ways(&format!("<bind {NS}><resource>balcony</resource></bind>"));
    assert_eq!(request.resource.as_deref(), Some("balcony"));
    both_ways::<bind::Request>(&format!("<bind {NS}/>"));
    let bound: bind::Bound = both_ways(&format!("<bind {NS}><jid>a@b/c</jid></bind>"));
    assert_eq!(bound.jid, FullJid::new("a@b/c").unwrap());
    let bare = format!("<bind {NS}><jid>a@b</jid></bind>");
    assert_eq!(refused::<bind::Bound>(&bare), Condition::JidMalformed);
    both_ways::<session::Session>("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>");
}

//= test XEP-0386 §3
#[test]
fn bind_two() {
    let feature: bind2::Feature = both_ways(
        "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/>\
         <feature var='urn:xmpp:csi:0'/></inline></bind>",
    );
    assert_eq!(feature.inline, ["urn:xmpp:carbons:2", "urn:xmpp:csi:0"]);
    both_ways::<bind2::Feature>("<bind xmlns='urn:xmpp:bind:0'/>");
    let bind: bind2::Bind = both_ways(
        "<bind xmlns='urn:xmpp:bind:0'><tag>AwesomeXMPP</tag>\
         <enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/></bind>",
    );
    assert_eq!((bind.tag.as_deref(), bind.features.len()), (Some("AwesomeXMPP"), 2));
    let bound: bind2::Bound = both_ways(
        "<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'>\
         <start id='YWxwaGEg' timestamp='2008-08-22T21:09:04Z'/></metadata></bound>",
    );
    assert_eq!(bound.results.len(), 1);
}

#[test]
fn the_small_features_of_a_stream() {
    both_ways::<starttls::StartTls>("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    both_ways::<starttls::Proceed>("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    both_ways::<starttls::Failure>("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    //= test XEP-0440 §3
    let bindings: sasl_cb::ChannelBindings = both_ways(
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
         <channel-binding type='tls-server-end-point'/><channel-binding type='tls-exporter'/>\
         </sasl-channel-binding>",
    );
    assert_eq!(bindings.types, ["tls-server-end-point", "tls-exporter"]);
    //= test XEP-0478 §3
    let limits: stream_limits::StreamLimits = both_ways(
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>\
         <idle-seconds>1800</idle-seconds></limits>",
    );
    assert_eq!((limits.max_bytes, limits.idle_seconds), (Some(10_000), Some(1800)));
    both_ways::<stream_limits::StreamLimits>("<limits xmlns='urn:xmpp:stream-limits:0'/>");
    let xml = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>many</max-bytes></limits>";
    assert_eq!(refused::<stream_limits::StreamLimits>(xml), Condition::BadRequest);
    //= test XEP-0509 §3
    let version: iap::ConfigVersion =
        both_ways("<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='V2Vs'/>");
    assert!(version.matches(&iap::ConfigVersion::opaque("V2Vs")));
    assert!(!version.matches(&iap::ConfigVersion::opaque("V2Vt")));
    let other = iap::ConfigVersion { scheme: Some("hash".into()), ..version.clone() };
    assert!(!version.matches(&other));
}

//= test RFC 6120 §4.3.2
#[test]
fn stream_features() {
    let features: stream_features::Features = both_ways(
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
         <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>SCRAM-SHA-256</mechanism><mechanism>PLAIN</mechanism></mechanisms>\
         <ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>\
         <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
         <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
         </stream:features>",
    );
    assert_eq!(features.get(), Some(starttls::Feature { required: true }));
    assert_eq!(features.get::<sasl::Mechanisms>().unwrap().mechanisms, ["SCRAM-SHA-256", "PLAIN"]);
    assert_eq!(features.get::<bind2::Feature>(), None);
    let made = stream_features::Features::default()
        .with(starttls::Feature { required: true }.element())
        .with(
            sasl::Mechanisms { mechanisms: vec!["SCRAM-SHA-256".into(), "PLAIN".into()] }.element(),
        )
        .with(stream_features::roster_versioning())
        .with(stream_features::pre_approval())
        .with(bind::feature())
        .with(session::feature());
    assert_eq!(made, features);
}

#[test]
fn a_payload_that_only_reads_children_reads_elements_too() {
    #[derive(Debug, PartialEq)]
    struct Thing(String);
    impl Payload for Thing {
        const NS: &'static str = "urn:thing";
        const NAME: &'static str = "thing";
        fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
            if child.is(Self::NS, Self::NAME) {
                Ok(Self(child.text().into_owned()))
            } else {
                Err(StanzaError::bad_request("no thing"))
            }
        }
        fn element(&self) -> Element {
            Element::new(Self::NS, Self::NAME).text(&*self.0)
        }
    }
    assert_eq!(both_ways::<Thing>("<thing xmlns='urn:thing'>a&amp;b</thing>"), Thing("a&b".into()));
    assert_eq!(refused::<Thing>("<thing/>"), Condition::BadRequest);
}

#[test]
fn an_item_of_a_roster_begins_with_its_address_alone() {
    let item = roster::Item::new(BareJid::new("a@b").unwrap());
    let xml = "<item xmlns='jabber:iq:roster' jid='a@b' subscription='none'/>";
    assert_eq!(item.element(), element(xml));
    assert_eq!(roster::Item::from_element(&element(xml)), Ok(item));
}
