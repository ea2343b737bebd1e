//! The main flows as they look on the wire.
//!
//! SASL data is shown decoded between braces, with nonces, salts and proofs as `..`; NUL is `|`.

use super::pair::Pair;
use super::raw::{BIND, Raw, authenticate};
use super::*;
use crate::sasl::Mechanism;

fn config(mechanism: Mechanism) -> ClientConfig {
    ClientConfig {
        mechanisms: vec![mechanism],
        tag: Some("demo".to_owned()),
        ..ClientConfig::new(jid("alice@a.example"), Secret::new(PASSWORD))
    }
}

/// A server with a short offer, so that the transcripts stay readable.
fn short(mechanisms: &[Mechanism]) -> ServerConfig {
    let mut config = server_config();
    config.mechanisms = mechanisms.to_vec();
    config.limits_before = None;
    config
}

fn transcript(pair: &mut Pair) -> Vec<String> {
    pair.run();
    pair.transcript.lines().map(str::to_owned).collect()
}

fn assert_transcript(pair: &mut Pair, wanted: &[&str]) {
    let seen = transcript(pair);
    for (at, (seen, wanted)) in seen.iter().zip(wanted).enumerate() {
        assert_eq!(seen, wanted, "line {at} of\n{}", pair.transcript);
    }
    assert_eq!(seen.len(), wanted.len(), "{}", pair.transcript);
}

#[test]
fn sasl2_with_bind2_on_quic_takes_two_round_trips() {
    let scram = Mechanism::SCRAM[1];
    let mut own = config(scram);
    own.user_agent = Some(UserAgent {
        id: Some("d4565fa7-4d72-4749-b3d3-740edbf87770".to_owned()),
        software: Some("demo".to_owned()),
        device: None,
    });
    own.bind_requests = vec![longwire_xml::Element::new("urn:xmpp:carbons:2", "enable")];
    let mut server = short(&[scram]);
    server.bind_inline = vec!["urn:xmpp:carbons:2".to_owned()];
    let mut pair = Pair::new(server, quic(), own, quic());
    let version = {
        pair.run();
        pair.features[0].config_version.clone().unwrap()
    };
    let features = format!(
        "S: <stream:features>\
         <sasl-channel-binding xmlns=\"urn:xmpp:sasl-cb:0\">\
         <channel-binding type=\"tls-exporter\"/><channel-binding type=\"tls-server-end-point\"/>\
         </sasl-channel-binding>\
         <mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">\
         <mechanism>SCRAM-SHA-256-PLUS</mechanism></mechanisms>\
         <authentication xmlns=\"urn:xmpp:sasl:2\"><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
         <inline><bind xmlns=\"urn:xmpp:bind:0\"><inline><feature var=\"urn:xmpp:carbons:2\"/>\
         </inline></bind></inline></authentication>\
         <config-version xmlns=\"urn:xmpp:iap:0\" scheme=\"opaque\" value=\"{version}\"/>\
         </stream:features>"
    );
    assert_transcript(
        &mut pair,
        &[
            "C: <stream:stream xmlns=\"jabber:client\" \
         xmlns:stream=\"http://etherx.jabber.org/streams\" from=\"alice@a.example\" \
         to=\"a.example\" version=\"1.0\" xml:lang=\"en\">",
            "S: <stream:stream xmlns=\"jabber:client\" \
         xmlns:stream=\"http://etherx.jabber.org/streams\" from=\"a.example\" \
         to=\"alice@a.example\" id=\"AQAAAAEAAAABAAAAAQAAAAEA\" version=\"1.0\" xml:lang=\"en\">",
            &features,
            "C: <authenticate xmlns=\"urn:xmpp:sasl:2\" mechanism=\"SCRAM-SHA-256-PLUS\">\
         <initial-response>{p=tls-exporter,,n=alice,r=..}</initial-response>\
         <user-agent id=\"d4565fa7-4d72-4749-b3d3-740edbf87770\"><software>demo</software>\
         </user-agent><bind xmlns=\"urn:xmpp:bind:0\"><tag>demo</tag>\
         <enable xmlns=\"urn:xmpp:carbons:2\"/></bind></authenticate>",
            "S: <challenge xmlns=\"urn:xmpp:sasl:2\">{r=..,s=..,i=4096,h=..}</challenge>",
            "C: <response xmlns=\"urn:xmpp:sasl:2\">{c=..,r=..,p=..}</response>",
            "S: <success xmlns=\"urn:xmpp:sasl:2\"><additional-data>{v=..}</additional-data>\
         <authorization-identifier>alice@a.example/demo/4711</authorization-identifier>\
         <bound xmlns=\"urn:xmpp:bind:0\"><enabled xmlns=\"urn:xmpp:carbons:2\"/></bound>\
         </success>",
            "S: <stream:features><limits xmlns=\"urn:xmpp:stream-limits:0\">\
         <max-bytes>262144</max-bytes><idle-seconds>600</idle-seconds></limits></stream:features>",
        ],
    );
    assert_eq!(pair.outcome.client.as_deref(), Some("alice@a.example/demo/4711"));
    let agent = pair.server.user_agent().unwrap();
    assert_eq!(agent.software.as_deref(), Some("demo"));
}

#[test]
fn classic_login_over_starttls() {
    let scram = Mechanism::SCRAM[5];
    let mut own = config(scram);
    own.prefer_sasl2 = false;
    own.resource = Some("desk".to_owned());
    let server = ServerConfig { sasl2: false, ..short(&[scram]) };
    let mut pair = Pair::new(server, Security::plaintext(), own, Security::plaintext());
    let header = "<?xml version='1.0' encoding='UTF-8'?><stream:stream xmlns=\"jabber:client\" \
                  xmlns:stream=\"http://etherx.jabber.org/streams\"";
    let rest = "version=\"1.0\" xml:lang=\"en\">";
    let from = format!("C: {header} from=\"alice@a.example\" to=\"a.example\" {rest}");
    let answer =
        |id: &str, to: &str| format!("S: {header} from=\"a.example\"{to} id=\"{id}\" {rest}");
    let to_alice = " to=\"alice@a.example\"";
    assert_transcript(
        &mut pair,
        &[
            &format!("C: {header} to=\"a.example\" {rest}"),
            &answer("AQAAAAEAAAABAAAAAQAAAAEA", ""),
            "S: <stream:features><starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"><required/>\
         </starttls></stream:features>",
            "C: <starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>",
            "S: <proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>",
            "-- TLS",
            &from,
            &answer("AgAAAAEAAAACAAAAAQAAAAIA", to_alice),
            "S: <stream:features><mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">\
         <mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>",
            "C: <auth xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\" mechanism=\"SCRAM-SHA-1\">\
         {n,,n=alice,r=..}</auth>",
            "S: <challenge xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">\
         {r=..,s=..,i=4096,h=..}</challenge>",
            "C: <response xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">{c=biws,r=..,p=..}</response>",
            "S: <success xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">{v=..}</success>",
            &from,
            &answer("BAAAAAEAAAAEAAAAAQAAAAQA", to_alice),
            "S: <stream:features>\
         <bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><required/></bind>\
         <session xmlns=\"urn:ietf:params:xml:ns:xmpp-session\"><optional/></session>\
         <limits xmlns=\"urn:xmpp:stream-limits:0\"><max-bytes>262144</max-bytes>\
         <idle-seconds>600</idle-seconds></limits></stream:features>",
            "C: <iq type=\"set\" id=\"AgAAAAIAAAACAAAAAgAAAAIA\">\
         <bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><resource>desk</resource></bind></iq>",
            "S: <iq type=\"result\" id=\"AgAAAAIAAAACAAAAAgAAAAIA\">\
         <bind xmlns=\"urn:ietf:params:xml:ns:xmpp-bind\"><jid>alice@a.example/desk</jid></bind>\
         </iq>",
        ],
    );
}

#[test]
fn websocket_elements_are_complete_in_themselves() {
    let here = Security::encrypted(Transport::WebSocket, tls());
    let server = ServerConfig { sasl1: false, ..short(&[Mechanism::Plain]) };
    let mut pair = Pair::new(server, here.clone(), config(Mechanism::Plain), here);
    let lines = transcript(&mut pair);
    assert_eq!(
        lines[0],
        "C: <open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" from=\"alice@a.example\" \
         to=\"a.example\" version=\"1.0\"/>"
    );
    let start = "S: <stream:features xmlns:stream=\"http://etherx.jabber.org/streams\">\
                 <authentication xmlns=\"urn:xmpp:sasl:2\">";
    assert!(lines[2].starts_with(start), "{}", lines[2]);
    assert_eq!(pair.outcome.server.as_deref(), Some("alice@a.example/demo/4711"));
}

#[test]
fn a_pipelined_login_is_sent_in_one_flight() {
    let server = || short(&[Mechanism::SCRAM[1], Mechanism::Plain]);
    let mut first = Pair::new(server(), quic(), config(Mechanism::SCRAM[1]), quic());
    first.run();
    let features = first.features[0].clone();
    let mut own = config(Mechanism::SCRAM[1]);
    own.cached = Some(CachedOffer { features: features.clone() });
    let mut pair = Pair::new(server(), quic(), own, quic());
    let lines = transcript(&mut pair);
    let who: String = lines.iter().map(|line| &line[..1]).collect();
    // header; header, features; authenticate; challenge ... : both C lines were queued at once.
    assert_eq!(who, "CSSCSCSS");
    assert!(lines[3].contains(&features.config_version.unwrap()), "{}", lines[3]);
    assert!(pair.outcome.client.is_some(), "{:?}", pair.outcome);
}

#[test]
fn a_pipelined_login_with_an_old_offer_is_repeated_with_the_new_one() {
    let mut first = Pair::new(server_config(), quic(), config(Mechanism::SCRAM[1]), quic());
    first.run();
    let mut own = config(Mechanism::SCRAM[1]);
    own.cached = Some(CachedOffer { features: first.features[0].clone() });
    // The server has changed its offer since.
    let mut pair = Pair::new(short(&[Mechanism::SCRAM[1]]), quic(), own, quic());
    pair.run();
    assert!(pair.transcript.contains("<aborted"), "{}", pair.transcript);
    assert!(pair.transcript.contains("<config-version-mismatch"), "{}", pair.transcript);
    assert_eq!(pair.outcome.client.as_deref(), Some("alice@a.example/demo/4711"));
}

#[test]
fn one_flight_with_header_and_password_is_answered_in_order() {
    let mut raw = Raw::new(short(&[Mechanism::Plain]), quic());
    let opened = raw.open("to='a.example' version='1.0'");
    let value = opened[1].split("value=\"").nth(1).unwrap().split('"').next().unwrap();
    let children = format!(
        "<bind xmlns='urn:xmpp:bind:0'><tag>demo</tag></bind>\
         <config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='{value}'/>"
    );
    let mut raw = Raw::new(short(&[Mechanism::Plain]), quic());
    let said = raw.open("to='a.example' version='1.0'");
    assert_eq!(said.len(), 2, "header and features, whatever follows: {said:?}");
    assert_eq!(raw.send(&authenticate("\0alice\0pencil", &children)), ["[verify alice@a.example]"]);
    // Stanzas right behind wait for the session.
    assert_eq!(raw.send("<presence/>"), [""; 0]);
    assert!(raw.server.is_waiting());
    let said = raw.reply(Reply::Verified(true));
    assert_eq!(said, ["[authenticated alice@a.example]", "[bind alice@a.example - demo]"]);
    assert_eq!(raw.send("<message to='bob@a.example'/>"), [""; 0]);
    assert!(raw.server.take_pending().is_empty(), "not before the session is bound");
    let jid = jid("alice@a.example").with_resource("demo/1").unwrap();
    let said = raw.reply(Reply::Bound(Ok(jid)));
    assert!(said[0].starts_with("<success"), "{said:?}");
    assert_eq!(said[2], "[bound alice@a.example/demo/1]");
    let pending = raw.server.take_pending();
    let names: Vec<&str> = pending.iter().map(longwire_xml::Scanned::name).collect();
    assert_eq!(names, ["presence", "message"]);
}

#[test]
fn a_login_without_initial_response_is_asked_for_it() {
    for (profile, open) in
        [("urn:ietf:params:xml:ns:xmpp-sasl", "auth"), ("urn:xmpp:sasl:2", "authenticate")]
    {
        let mut raw = Raw::opened();
        let said = raw.send(&format!("<{open} xmlns='{profile}' mechanism='PLAIN'/>"));
        assert_eq!(said, [format!("<challenge xmlns=\"{profile}\"/>")]);
        let data = crate::sasl::encode_base64(b"\0alice\0pencil");
        let said = raw.send(&format!("<response xmlns='{profile}'> {data}\n</response>"));
        assert_eq!(said, ["[verify alice@a.example]"]);
    }
}

#[test]
fn sasl2_without_bind2_goes_on_with_classic_binding_and_no_restart() {
    let mut raw = Raw::opened();
    raw.send(&authenticate("\0alice\0pencil", ""));
    let said = raw.reply(Reply::Verified(true));
    assert_eq!(said[0], "[authenticated alice@a.example]");
    assert_eq!(
        said[1],
        "<success xmlns=\"urn:xmpp:sasl:2\"><authorization-identifier>alice@a.example\
         </authorization-identifier></success>"
    );
    assert!(said[2].starts_with("<stream:features><bind "), "{said:?}");
    assert_eq!(raw.send(BIND), ["[bind alice@a.example desk -]"]);
}

#[test]
fn a_refused_inline_resource_leaves_classic_binding() {
    let mut raw = Raw::opened();
    raw.send(&authenticate("\0alice\0pencil", "<bind xmlns='urn:xmpp:bind:0'/>"));
    raw.reply(Reply::Verified(true));
    let said = raw.reply(Reply::TemporaryFailure);
    assert!(said[0].contains(">alice@a.example</") && !said[0].contains("<bound"), "{said:?}");
    assert!(said[1].contains("<bind "), "{said:?}");
    assert_eq!(raw.send(BIND), ["[bind alice@a.example desk -]"]);
}

#[test]
fn a_failed_login_may_be_repeated() {
    let mut raw = Raw::opened();
    raw.send(&authenticate("\0alice\0wrong", ""));
    let said = raw.reply(Reply::Verified(false));
    assert_eq!(
        said[0],
        "<failure xmlns=\"urn:xmpp:sasl:2\">\
         <not-authorized xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/></failure>"
    );
    assert_eq!(raw.send(&authenticate("\0alice\0pencil", "")), ["[verify alice@a.example]"]);
    assert_eq!(raw.reply(Reply::Verified(true))[0], "[authenticated alice@a.example]");
}

#[test]
fn what_a_client_says_of_itself_is_bounded() {
    let told = |text: &str| {
        let mut raw = Raw::opened();
        let agent = format!("<user-agent id='x'><software>{text}</software></user-agent>");
        raw.send(&authenticate("\0alice\0pencil", &agent));
        raw.reply(Reply::Verified(true));
        let agent = raw.server.user_agent().unwrap();
        assert_eq!(agent.id, None, "an id that is no UUID is ignored");
        agent.software.clone().map(|software| software.len())
    };
    assert_eq!(told(&"x".repeat(limits::TEXT_BYTES - 1)), Some(limits::TEXT_BYTES - 1));
    assert_eq!(told(&"x".repeat(limits::TEXT_BYTES)), Some(limits::TEXT_BYTES));
    assert_eq!(told(&"x".repeat(limits::TEXT_BYTES + 1)), None);
}

#[test]
fn the_offer_has_a_version_that_follows_its_content() {
    let version = |config: ServerConfig, security: Security| {
        let said = Raw::new(config, security).open("to='a.example' version='1.0'");
        said[1].split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let base = version(server_config(), quic());
    assert_eq!(base, version(server_config(), quic()));
    let fewer = ServerConfig { mechanisms: Mechanism::SCRAM.to_vec(), ..server_config() };
    assert_ne!(base, version(fewer, quic()));
    assert_ne!(base, version(server_config(), Security { tls: None, ..quic() }));
}
