//! Servers, and people between, that do what they must not do.

use super::pair::Pair;
use super::*;
use crate::sasl::{Mechanism, SaslError};

fn config() -> ClientConfig {
    ClientConfig {
        tag: Some("test".to_owned()),
        ..ClientConfig::new(jid("alice@a.example"), Secret::new(PASSWORD))
    }
}

/// Runs with the server's words changed on the way.
fn tampered(config: ClientConfig, tamper: impl Fn(String) -> String + 'static) -> Pair {
    let mut pair = Pair::new(server_config(), quic(), config, quic());
    pair.tamper = Box::new(tamper);
    pair.run();
    pair
}

fn error(pair: Pair) -> ClientError {
    assert_eq!(pair.outcome.client, None, "{}", pair.transcript);
    pair.outcome.client_error.expect("a failure")
}

#[test]
fn the_strongest_mechanism_with_the_strongest_binding_is_chosen() {
    let mut pair = Pair::new(server_config(), quic(), config(), quic());
    pair.run();
    assert!(pair.transcript.contains("mechanism=\"SCRAM-SHA-512-PLUS\""), "{}", pair.transcript);
    assert!(pair.transcript.contains("{p=tls-exporter,,n=alice,r=..}"), "{}", pair.transcript);
}

#[test]
fn a_weaker_binding_is_used_when_the_stronger_is_missing() {
    let weak = TlsInfo { exporter: None, ..tls() };
    let own = Security::encrypted(Transport::Quic, weak);
    let mut pair = Pair::new(server_config(), quic(), config(), own);
    pair.run();
    assert!(pair.transcript.contains("{p=tls-server-end-point,,n=alice,r=..}"));
    assert!(pair.outcome.client.is_some());
}

#[test]
fn a_stripped_offer_of_channel_binding_is_noticed() {
    // Only the mechanisms: one half is missing.
    let halved = |text: String| text.replace("-PLUS", "-GONE");
    assert_eq!(error(tampered(config(), halved)), ClientError::Downgrade);
    // Only the types.
    let halved = |text: String| text.replace("sasl-channel-binding", "something-else");
    assert_eq!(error(tampered(config(), halved)), ClientError::Downgrade);
    // Types that nobody can have, without the one that everybody has.
    let odd = |text: String| text.replace("tls-exporter", "x").replace("tls-server-end-point", "y");
    assert_eq!(error(tampered(config(), odd)), ClientError::Downgrade);
    // Both: the client says so with "y", and the server knows better.
    let gone = |text: String| {
        text.replace("-PLUS", "-GONE").replace("sasl-channel-binding", "something-else")
    };
    let pair = tampered(config(), gone);
    assert!(pair.transcript.contains("{y,,n=alice,r=..}"), "{}", pair.transcript);
    assert!(matches!(error(pair), ClientError::Refused { .. }));
}

//= test XEP-0474 §4.2
#[test]
fn a_shortened_list_of_mechanisms_is_noticed() {
    let without = |text: String| text.replace("<mechanism>SCRAM-SHA-512</mechanism>", "");
    let unbound = ClientConfig { mechanisms: Mechanism::SCRAM[3..].to_vec(), ..config() };
    let pair = tampered(unbound, without);
    assert!(pair.transcript.contains("mechanism=\"SCRAM-SHA-256\""), "{}", pair.transcript);
    assert_eq!(error(pair), ClientError::Downgrade);
}

#[test]
fn plain_is_not_used_unless_allowed() {
    let only_plain = ServerConfig { mechanisms: vec![Mechanism::Plain], ..server_config() };
    let mut pair = Pair::new(only_plain, quic(), config(), quic());
    pair.run();
    assert_eq!(error(pair), ClientError::NoMechanism);
}

#[test]
fn a_server_that_skips_its_proof_is_not_believed() {
    for sasl2 in [true, false] {
        let config = ClientConfig { prefer_sasl2: sasl2, ..config() };
        let pair = tampered(config, |text| {
            let Some((start, rest)) = text.split_once("<additional-data>") else {
                let cut = text.strip_prefix("<success xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">");
                return match cut {
                    Some(_) => "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(),
                    None => text,
                };
            };
            let (_, end) = rest.split_once("</additional-data>").unwrap();
            format!("{start}{end}")
        });
        assert_eq!(error(pair), ClientError::Sasl(SaslError::ServerSignature), "{sasl2}");
    }
}

#[test]
fn success_before_the_exchange_is_over_is_not_believed() {
    let pair = tampered(config(), |text| {
        if text.starts_with("<challenge") {
            "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@a.example/x\
             </authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>"
                .to_owned()
        } else {
            text
        }
    });
    assert_eq!(error(pair), ClientError::Sasl(SaslError::ServerSignature));
}

#[test]
fn an_address_of_somebody_else_is_not_accepted() {
    let pair = tampered(config(), |text| text.replace("alice@a.example/", "eve@a.example/"));
    assert!(matches!(error(pair), ClientError::Protocol(_)));
    let config = ClientConfig { prefer_sasl2: false, ..config() };
    let pair = tampered(config, |text| text.replace("alice@a.example/", "eve@a.example/"));
    assert!(matches!(error(pair), ClientError::Protocol(_)));
}

#[test]
fn stripped_starttls_sends_nothing_secret() {
    let server = Security::plaintext();
    let mut pair = Pair::new(server_config(), server.clone(), config(), server);
    pair.tamper = Box::new(|text| text.replace("starttls", "something"));
    pair.run();
    assert!(!pair.transcript.contains("alice"), "{}", pair.transcript);
    assert_eq!(error(pair), ClientError::TlsUnavailable);
}

#[test]
fn elements_at_the_wrong_time_end_the_negotiation() {
    let at_once = |text: String| {
        if text.starts_with("<challenge") { "<message/>".to_owned() } else { text }
    };
    assert!(matches!(error(tampered(config(), at_once)), ClientError::Protocol(_)));
    let stream_error = |text: String| {
        if text.starts_with("<challenge") {
            "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error>"
                .to_owned()
        } else {
            text
        }
    };
    let error = error(tampered(config(), stream_error));
    let ClientError::Stream(error) = error else { panic!("{error:?}") };
    assert_eq!(error.condition, longwire_stanza::StreamCondition::SystemShutdown);
}

#[test]
fn what_the_server_offers_is_read() {
    let mut server = server_config();
    server.extra_features = vec![longwire_xml::Element::new("urn:xmpp:features:rosterver", "ver")];
    let mut pair = Pair::new(server, quic(), config(), quic());
    pair.run();
    let [before, after] = &pair.features[..] else { panic!("{:?}", pair.features) };
    assert_eq!(before.max_bytes, Some(16 * 1024));
    assert!(before.bind2 && !before.bind && !before.starttls);
    assert_eq!(before.sasl1, before.sasl2);
    assert_eq!(before.sasl1.len(), Mechanism::ALL.len());
    assert_eq!((after.max_bytes, after.idle_seconds), (Some(256 * 1024), Some(600)));
    let element = after.element.as_ref().unwrap();
    assert!(element.find("urn:xmpp:features:rosterver", "ver").is_some());
}

#[test]
fn offered_names_are_bounded() {
    let read = |count: usize| {
        let pair = tampered(config(), move |text| {
            let more = "<mechanism>X</mechanism>".repeat(count - Mechanism::ALL.len());
            text.replace("</mechanisms>", &format!("{more}</mechanisms>"))
        });
        pair.features[0].sasl1.len()
    };
    assert_eq!(read(limits::OFFERED_NAMES - 1), limits::OFFERED_NAMES - 1);
    assert_eq!(read(limits::OFFERED_NAMES), limits::OFFERED_NAMES);
    assert_eq!(read(limits::OFFERED_NAMES + 1), limits::OFFERED_NAMES);
}
