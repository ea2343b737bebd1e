//! Every profile with every mechanism on every transport.

use super::pair::{Outcome, Pair};
use super::*;
use crate::sasl::Mechanism;

/// (name, server's view, client's view) of every way to carry a stream.
fn transports() -> Vec<(&'static str, Security, Security)> {
    let direct = Security { transport: Transport::Tcp, ..quic() };
    vec![
        ("quic", quic(), quic()),
        (
            "webtransport",
            Security::encrypted(Transport::WebTransport, tls()),
            Security::encrypted(Transport::WebTransport, tls()),
        ),
        (
            "websocket",
            Security::encrypted(Transport::WebSocket, tls()),
            Security::encrypted(Transport::WebSocket, tls()),
        ),
        ("direct tls", direct.clone(), direct),
        ("starttls", Security::plaintext(), Security::plaintext()),
    ]
}

fn client(mechanism: Mechanism, sasl2: bool) -> ClientConfig {
    ClientConfig {
        mechanisms: vec![mechanism],
        prefer_sasl2: sasl2,
        resource: Some("desk".to_owned()),
        tag: Some("test".to_owned()),
        ..ClientConfig::new(jid("alice@a.example"), Secret::new(PASSWORD))
    }
}

fn success(resource: &str) -> Outcome {
    let jid = Some(format!("alice@a.example/{resource}"));
    Outcome { client: jid.clone(), server: jid, ..Outcome::default() }
}

#[test]
fn every_combination_ends_in_the_same_resource_on_both_sides() {
    for (name, server, own) in transports() {
        for mechanism in Mechanism::ALL {
            for sasl2 in [true, false] {
                let config = client(mechanism, sasl2);
                let mut pair = Pair::new(server_config(), server.clone(), config, own.clone());
                let wanted = success(if sasl2 { "test/4711" } else { "desk" });
                let label = format!("{name} {} sasl2={sasl2}", mechanism.name());
                pair.run();
                assert_eq!(pair.outcome, wanted, "{label}\n{}", pair.transcript);
            }
        }
    }
}

#[test]
fn a_wrong_password_fails_in_every_combination() {
    for (name, server, own) in transports() {
        for mechanism in Mechanism::ALL {
            for sasl2 in [true, false] {
                let config =
                    ClientConfig { password: Secret::new("pencils"), ..client(mechanism, sasl2) };
                let mut pair = Pair::new(server_config(), server.clone(), config, own.clone());
                let label = format!("{name} {} sasl2={sasl2}", mechanism.name());
                let outcome = pair.run();
                let condition = crate::sasl::SaslCondition::NotAuthorized;
                let wanted = ClientError::Refused { condition, text: None };
                assert_eq!(outcome.client_error.as_ref(), Some(&wanted), "{label}");
                assert_eq!((&outcome.client, &outcome.server), (&None, &None), "{label}");
            }
        }
    }
}

#[test]
fn an_unknown_account_looks_like_a_wrong_password() {
    let run = |account: &str, password: &str| {
        let config = ClientConfig {
            account: jid(account),
            password: Secret::new(password),
            ..client(Mechanism::SCRAM[4], true)
        };
        let mut pair = Pair::new(server_config(), quic(), config, quic());
        pair.run();
        let shape: Vec<String> = pair
            .transcript
            .lines()
            .map(|line| line.replace(account, "X").replace(account.split('@').next().unwrap(), "X"))
            .collect();
        (shape, pair.outcome.client_error)
    };
    assert_eq!(run("alice@a.example", "wrong"), run("nobod@a.example", "wrong"));
}

#[test]
fn a_man_in_the_middle_with_his_own_certificate_is_noticed_by_the_server() {
    let own = Security::encrypted(
        Transport::Quic,
        TlsInfo { exporter: Some([3; 32]), end_point: Some(vec![4; 32]), version13: true },
    );
    for mechanism in Mechanism::ALL.into_iter().filter(|m| m.is_plus()) {
        let mut pair = Pair::new(server_config(), quic(), client(mechanism, true), own.clone());
        let outcome = pair.run();
        assert!(matches!(outcome.client_error, Some(ClientError::Refused { .. })));
        assert_eq!(outcome.server, None);
    }
}

#[test]
fn without_sasl2_on_the_server_the_client_falls_back() {
    let config = ServerConfig { sasl2: false, ..server_config() };
    let own = client(Mechanism::SCRAM[1], true);
    let mut pair = Pair::new(config, quic(), own, quic());
    assert_eq!(pair.run(), &success("desk"));
    let config = ServerConfig { sasl1: false, ..server_config() };
    let own = client(Mechanism::SCRAM[1], false);
    let mut pair = Pair::new(config, quic(), own, quic());
    assert_eq!(pair.run(), &success("test/4711"));
}

#[test]
fn the_loopback_needs_no_tls_when_both_sides_say_so() {
    for sasl2 in [true, false] {
        let config = ClientConfig { require_tls: false, ..client(Mechanism::Plain, sasl2) };
        let here = Security { starttls_possible: false, ..loopback() };
        let mut pair = Pair::new(server_config(), here.clone(), config, here);
        assert_eq!(pair.run().client_error, None);
        assert!(pair.outcome.server.is_some());
    }
}
