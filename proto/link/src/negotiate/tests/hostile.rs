//! Peers that do what they must not do.

use longwire_stanza::{Condition, StanzaError};
use longwire_xml::Element;
use proptest::prelude::*;

use super::raw::{BIND, Raw, auth, authenticate, last, sasl1};
use super::*;
use crate::sasl::{Mechanism, SaslCondition};

/// The SASL condition in the first `<failure/>` that was said.
fn failure(said: &[String]) -> String {
    let written = said.iter().find(|line| line.starts_with("<failure")).expect("a failure");
    let element = Element::parse(written).unwrap();
    element.child_elements().next().unwrap().name().to_owned()
}

#[test]
fn nothing_but_authentication_is_heard_before_it() {
    for xml in [
        "<message to='bob@a.example'/>",
        "<presence/>",
        BIND,
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<response xmlns='urn:xmpp:sasl:2'/>",
        "<authenticate xmlns='urn:xmpp:sasl:1' mechanism='PLAIN'/>",
    ] {
        assert_eq!(Raw::opened().send(xml), ["[fail not-authorized]"], "{xml}");
    }
    let mut raw = Raw::new(server_config(), quic());
    let said = raw.send("<presence/>");
    assert_eq!(last(&said), "[fail bad-format]", "an element before the header");
}

//= test RFC 6120 §5.4.2.2
#[test]
fn starttls_that_was_not_offered_fails_and_closes_the_stream() {
    let failed =
        ["<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>", "[fail policy-violation]"];
    let mut raw = Raw::opened();
    assert_eq!(raw.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), failed);
    assert!(raw.send(&authenticate("\0alice\0pencil", "")).is_empty(), "it is over");
}

//= test XEP-0386 §3.2
#[test]
fn stream_management_that_nobody_provides_is_answered_in_bound() {
    let bound = |request: &str, results: Vec<Element>| {
        let mut raw = Raw::opened();
        let bind = format!("<bind xmlns='urn:xmpp:bind:0'>{request}</bind>");
        raw.send(&authenticate("\0alice\0pencil", &bind));
        raw.reply(Reply::Verified(true));
        let jid = longwire_stanza::FullJid::new("alice@a.example/1").unwrap();
        let success = Element::parse(&raw.reply(Reply::BoundWith { jid, results })[0]).unwrap();
        success.find(longwire_stanza::ns::BIND2, "bound").unwrap().to_string()
    };
    let enable = "<enable xmlns='urn:xmpp:sm:3'/>";
    let said = bound(enable, Vec::new());
    assert!(said.contains("<failed xmlns=\"urn:xmpp:sm:3\"><feature-not-implemented"), "{said}");
    let said = bound(enable, vec![Element::new("urn:xmpp:sm:3", "enabled")]);
    assert!(said.contains("<enabled") && !said.contains("<failed"), "{said}");
    let said = bound("<enable xmlns='urn:xmpp:carbons:2'/>", Vec::new());
    assert!(!said.contains("<failed"), "{said}");
}

#[test]
fn stanzas_between_authentication_and_binding_end_the_stream() {
    for xml in ["<message/>", "<presence/>", "<iq type='get' id='x'/>", "<a xmlns='urn:x'/>"] {
        assert_eq!(Raw::authenticated().send(xml), ["[fail not-authorized]"], "{xml}");
    }
    // XEP-0388 §5.10: whoever is authenticated stays who he is.
    let again = Raw::authenticated().send(&authenticate("\0bob\0pencil", ""));
    assert_eq!(again, ["[fail not-authorized]"]);
}

#[test]
fn nobody_may_act_as_somebody_else() {
    for message in [
        "bob@a.example\0alice\0pencil",
        "alice@b.example\0alice\0pencil",
        "a.example\0alice\0pencil",
        "alice@a.example/desk\0alice\0pencil",
        "alice\0alice\0pencil",
        "@\0alice\0pencil",
    ] {
        let said = Raw::opened().send(&authenticate(message, ""));
        assert_eq!(failure(&said), "invalid-authzid", "{message:?}");
        let said = Raw::opened().send(&auth("PLAIN", message));
        assert_eq!(failure(&said), "invalid-authzid", "{message:?}");
    }
    let said = Raw::opened().send(&auth("SCRAM-SHA-1", "n,a=bob@a.example,n=alice,r=abc"));
    assert_eq!(failure(&said), "invalid-authzid");
    // One's own address, in any spelling, is fine.
    let said = Raw::opened().send(&authenticate("Alice@A.example\0alice\0pencil", ""));
    assert_eq!(said, ["[verify alice@a.example]"]);
}

//= test XEP-0388 §2.3
#[test]
fn the_header_and_the_credentials_must_name_the_same_account() {
    let attempt = |from: &str, user: &str| {
        let mut raw = Raw::new(server_config(), quic());
        raw.open(&format!("to='a.example' version='1.0' from='{from}'"));
        raw.send(&authenticate(&format!("\0{user}\0pencil"), ""))
    };
    assert_eq!(attempt("alice@a.example", "alice"), ["[verify alice@a.example]"]);
    assert_eq!(attempt("alice@a.example/desk", "alice"), ["[verify alice@a.example]"]);
    assert_eq!(attempt("a.example", "alice"), ["[verify alice@a.example]"]);
    assert_eq!(failure(&attempt("alice@a.example", "bob")), "invalid-authzid");
}

#[test]
fn plain_and_sasl_wait_for_encryption() {
    let mut raw = Raw::new(server_config(), Security::plaintext());
    let said = raw.open("to='a.example' version='1.0'");
    assert!(said[1].contains("<starttls") && said[1].contains("<required"), "{said:?}");
    assert!(!said[1].contains("mechanism"), "{said:?}");
    assert_eq!(failure(&raw.send(&auth("PLAIN", "\0alice\0pencil"))), "encryption-required");
    assert_eq!(failure(&raw.send(&authenticate("\0alice\0pencil", ""))), "encryption-required");
}

#[test]
fn without_any_mechanism_no_authentication_is_offered() {
    let config = ServerConfig { mechanisms: Vec::new(), ..server_config() };
    let said = Raw::new(config, quic()).open("to='a.example' version='1.0'");
    for word in ["mechanism", "authentication", "config-version", "channel-binding"] {
        assert!(!said[1].contains(word), "{word}: {said:?}");
    }
    // Without channel data, PLUS goes but the rest stays.
    let behind_proxy = Security { tls: None, ..quic() };
    let said = Raw::new(server_config(), behind_proxy).open("to='a.example' version='1.0'");
    assert!(said[1].contains(">SCRAM-SHA-256<") && !said[1].contains("-PLUS"), "{said:?}");
    assert!(!said[1].contains("channel-binding"), "{said:?}");
}

#[test]
fn mechanisms_that_were_not_offered_are_refused() {
    let config = ServerConfig { mechanisms: vec![Mechanism::SCRAM[1]], ..server_config() };
    let mut raw = Raw::new(config, quic());
    raw.open("to='a.example' version='1.0'");
    assert_eq!(failure(&raw.send(&auth("PLAIN", "\0alice\0pencil"))), "invalid-mechanism");
    let weaker = auth("SCRAM-SHA-256", "n,,n=alice,r=abc");
    assert_eq!(failure(&raw.send(&weaker)), "invalid-mechanism");
    // A profile that is off does not exist.
    let config = ServerConfig { sasl1: false, ..server_config() };
    let mut raw = Raw::new(config, quic());
    raw.open("to='a.example' version='1.0'");
    assert_eq!(raw.send(&auth("PLAIN", "\0alice\0pencil")), ["[fail not-authorized]"]);
}

#[test]
fn invented_salts_are_the_same_every_time() {
    let salt = || {
        let said = Raw::opened().send(&auth("SCRAM-SHA-256", "n,,n=nobody,r=abc"));
        assert_eq!(said, ["[credential nobody@a.example sha-256]"]);
        let mut raw = Raw::opened();
        raw.send(&auth("SCRAM-SHA-256", "n,,n=nobody,r=abc"));
        let said = raw.reply(Reply::Credential(None));
        let challenge = Element::parse(&said[0]).unwrap();
        let data = crate::sasl::decode_base64(&challenge.text_content()).unwrap();
        let text = String::from_utf8(data).unwrap();
        text.split(',').find(|part| part.starts_with("s=")).unwrap().to_owned()
    };
    assert_eq!(salt(), salt());
    assert_eq!(salt().len(), "s=".len() + 24, "sixteen bytes, as real accounts have");
}

#[test]
fn what_is_sent_behind_starttls_is_never_heard() {
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let mut raw = Raw::new(server_config(), Security::plaintext());
    raw.open("to='a.example' version='1.0'");
    let said = raw.send(starttls);
    assert_eq!(said, ["<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>", "[starttls]"]);
    assert!(raw.server.is_waiting());
    assert_eq!(raw.send(&authenticate("\0alice\0pencil", "")), ["[fail policy-violation]"]);
    raw.server.handle_tls(tls());
    assert_eq!(raw.open("to='a.example' version='1.0'"), [""; 0], "the connection is dead");

    let mut raw = Raw::new(server_config(), Security::plaintext());
    raw.open("to='a.example' version='1.0'");
    raw.send(starttls);
    let said = raw.open("to='a.example' version='1.0'");
    assert_eq!(said, ["[fail policy-violation]"], "not even a header");
}

#[test]
fn tls_forgets_what_was_said_before() {
    let mut raw = Raw::new(server_config(), Security::plaintext());
    raw.open("to='b.example' version='1.0' from='eve@b.example'");
    raw.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    raw.server.handle_tls(tls());
    let said = raw.open("to='a.example' version='1.0'");
    assert!(said[0].contains("from=\"a.example\""), "{said:?}");
    assert!(said[1].contains("SCRAM-SHA-256-PLUS") && !said[1].contains("starttls"), "{said:?}");
    let said = raw.send(&authenticate("\0alice\0pencil", ""));
    assert_eq!(said, ["[verify alice@a.example]"]);
    // A handshake nobody asked for changes nothing.
    raw.server.handle_tls(tls());
    assert!(last(&raw.reply(Reply::Verified(true))).starts_with("<stream:features>"));
}

#[test]
fn stripped_or_faked_channel_binding_is_refused() {
    let attempt =
        |mechanism: &str, message: &str| failure(&Raw::opened().send(&auth(mechanism, message)));
    assert_eq!(attempt("SCRAM-SHA-256", "y,,n=alice,r=abc"), "not-authorized");
    assert_eq!(attempt("SCRAM-SHA-256", "p=tls-exporter,,n=alice,r=abc"), "malformed-request");
    assert_eq!(attempt("SCRAM-SHA-256-PLUS", "n,,n=alice,r=abc"), "malformed-request");
    assert_eq!(attempt("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=alice,r=abc"), "not-authorized");
    assert_eq!(attempt("SCRAM-SHA-256", "n,,m=x,n=alice,r=abc"), "malformed-request");
    let said = Raw::opened().send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
    assert_eq!(said, ["[credential alice@a.example sha-256]"]);
    // Where no PLUS was offered, "y" is the truth.
    let behind_proxy = Security { tls: None, ..quic() };
    let mut raw = Raw::new(server_config(), behind_proxy);
    raw.open("to='a.example' version='1.0'");
    let said = raw.send(&auth("SCRAM-SHA-256", "y,,n=alice,r=abc"));
    assert_eq!(said, ["[credential alice@a.example sha-256]"]);
}

#[test]
fn names_that_no_account_can_have_fail_like_wrong_passwords() {
    let mut raw = Raw::opened();
    let said = raw.send(&auth("SCRAM-SHA-256", "n,,n=not@here,r=abc"));
    assert!(said[0].starts_with("<challenge"), "{said:?}");
    let said = Raw::opened().send(&authenticate("\0not@here\0pencil", ""));
    assert_eq!(failure(&said), "not-authorized");
}

#[test]
fn data_that_is_no_data_is_refused() {
    let send = |xml: &str| failure(&Raw::opened().send(xml));
    let text = |text: &str| {
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
    };
    assert_eq!(send(&text("!!!!")), "incorrect-encoding");
    assert_eq!(send(&text("AGFs aWNl")), "incorrect-encoding");
    assert_eq!(send(&text("=")), "malformed-request");
    assert_eq!(send(&text("YQ==")), "malformed-request");
    assert_eq!(send(&auth("DIGEST-MD5", "x")), "invalid-mechanism");
    assert_eq!(send(&auth("plain", "\0alice\0pencil")), "invalid-mechanism");
    assert_eq!(send("<authenticate xmlns='urn:xmpp:sasl:2'/>"), "invalid-mechanism");
    let long = "A".repeat(crate::sasl::limits::MESSAGE_BYTES * 2);
    assert_eq!(send(&text(&long)), "malformed-request");
    let requests = "<e xmlns='urn:x'/>".repeat(limits::BIND_REQUESTS + 1);
    let bind = format!("<bind xmlns='urn:xmpp:bind:0'>{requests}</bind>");
    assert_eq!(send(&authenticate("\0alice\0pencil", &bind)), "malformed-request");
}

#[test]
fn bind_requests_up_to_the_bound_are_passed_on() {
    for count in [limits::BIND_REQUESTS - 1, limits::BIND_REQUESTS] {
        let requests = "<e xmlns='urn:x'/>".repeat(count);
        let bind = format!("<bind xmlns='urn:xmpp:bind:0'>{requests}</bind>");
        let mut raw = Raw::opened();
        raw.send(&authenticate("\0alice\0pencil", &bind));
        raw.server.handle_reply(Reply::Verified(true));
        let asked = std::iter::from_fn(|| raw.server.poll()).find_map(|output| match output {
            Output::Ask(Ask::Bind { requests, .. }) => Some(requests.len()),
            _ => None,
        });
        assert_eq!(asked, Some(count));
    }
}

#[test]
fn the_third_failure_ends_the_stream() {
    let mut raw = Raw::opened();
    for attempt in 1..=limits::ATTEMPTS {
        raw.send(&auth("PLAIN", "\0alice\0wrong"));
        let said = raw.reply(Reply::Verified(false));
        assert_eq!(failure(&said), "not-authorized");
        assert_eq!(said[1], "[refused alice@a.example not-authorized]");
        let ended = said.get(2).map(String::as_str) == Some("[fail policy-violation]");
        assert_eq!(ended, attempt == limits::ATTEMPTS, "attempt {attempt}");
    }
}

#[test]
fn an_abort_ends_the_exchange_and_counts() {
    let mut raw = Raw::opened();
    for attempt in 1..=limits::ATTEMPTS {
        raw.send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
        raw.reply(Reply::Credential(Some(stored(Hash::Sha256))));
        let said = raw.send(&sasl1("abort"));
        assert_eq!(failure(&said), "aborted");
        assert_eq!(last(&said) == "[fail policy-violation]", attempt == limits::ATTEMPTS);
    }
    // An abort of the other profile is no abort.
    let mut raw = Raw::opened();
    raw.send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
    raw.reply(Reply::Credential(None));
    assert_eq!(raw.send("<abort xmlns='urn:xmpp:sasl:2'/>"), ["[fail not-authorized]"]);
}

#[test]
fn a_second_authentication_inside_of_the_first_ends_the_stream() {
    for second in [auth("PLAIN", "\0alice\0pencil"), authenticate("\0alice\0pencil", "")] {
        // While the proof is awaited ...
        let mut raw = Raw::opened();
        raw.send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
        raw.reply(Reply::Credential(Some(stored(Hash::Sha256))));
        assert_eq!(raw.send(&second), ["[fail not-authorized]"]);
        // ... and while the credential is looked up.
        let mut raw = Raw::opened();
        raw.send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
        assert_eq!(raw.send(&second), [""; 0]);
        let said = raw.reply(Reply::Credential(Some(stored(Hash::Sha256))));
        assert_eq!(last(&said), "[fail not-authorized]");
    }
}

#[test]
fn stanzas_inside_of_an_authentication_end_the_stream() {
    for xml in ["<message/>", "<presence/>", "<response xmlns='urn:x'/>"] {
        let mut raw = Raw::opened();
        raw.send(&auth("SCRAM-SHA-256", "n,,n=alice,r=abc"));
        raw.reply(Reply::Credential(None));
        assert_eq!(raw.send(xml), ["[fail not-authorized]"], "{xml}");
    }
}

#[test]
fn the_queue_behind_a_question_is_bounded_in_elements() {
    for (count, ends) in [
        (limits::QUEUED_ELEMENTS - 1, false),
        (limits::QUEUED_ELEMENTS, false),
        (limits::QUEUED_ELEMENTS + 1, true),
    ] {
        let mut raw = Raw::opened();
        raw.send(&authenticate("\0alice\0pencil", ""));
        let mut said = Vec::new();
        for _ in 0..count {
            said.extend(raw.send("<presence/>"));
        }
        assert_eq!(last(&said) == "[fail policy-violation]", ends, "{count}");
    }
}

#[test]
fn the_queue_behind_a_question_is_bounded_in_bytes() {
    let frame = "<message><body></body></message>".len();
    for (bytes, ends) in [
        (limits::QUEUED_BYTES - 1, false),
        (limits::QUEUED_BYTES, false),
        (limits::QUEUED_BYTES + 1, true),
    ] {
        let mut raw = Raw::opened();
        raw.send(&authenticate("\0alice\0pencil", ""));
        let mut said = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let size = if left >= 16_000 + frame { 16_000 } else { left };
            let body = "x".repeat(size - frame);
            said.extend(raw.send(&format!("<message><body>{body}</body></message>")));
            left -= size;
        }
        assert_eq!(last(&said) == "[fail policy-violation]", ends, "{bytes}");
    }
}

#[test]
fn refused_resources_leave_the_stream_open_until_the_third() {
    let mut raw = Raw::authenticated();
    for attempt in 1..=limits::BIND_ATTEMPTS {
        assert_eq!(raw.send(BIND), ["[bind alice@a.example desk -]"]);
        let said = raw.reply(Reply::Bound(Err(StanzaError::new(Condition::Conflict))));
        assert!(said[0].contains("<conflict"), "{said:?}");
        assert_eq!(last(&said) == "[fail policy-violation]", attempt == limits::BIND_ATTEMPTS);
    }
}

#[test]
fn a_session_of_somebody_else_is_never_announced() {
    let mut raw = Raw::authenticated();
    raw.send(BIND);
    let bob = jid("bob@a.example").with_resource("desk").unwrap();
    let said = raw.reply(Reply::Bound(Ok(bob)));
    assert!(said[0].contains("internal-server-error") && said.len() == 1, "{said:?}");
}

#[test]
fn stale_feature_lists_cost_no_attempt_but_not_for_ever() {
    let stale = "<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='old'/>";
    let mut raw = Raw::opened();
    for attempt in 1..=limits::STALE_ATTEMPTS {
        let said = raw.send(&authenticate("\0alice\0pencil", stale));
        assert!(said[0].contains("<config-version-mismatch xmlns=\"urn:xmpp:iap:0\"/>"));
        assert_eq!(failure(&said), "aborted");
        assert!(!said.iter().any(|line| line.starts_with("[refused")), "{said:?}");
        assert_eq!(last(&said) == "[fail policy-violation]", attempt == limits::STALE_ATTEMPTS);
    }
}

#[test]
fn the_drivers_refusals_reach_the_client() {
    let refused = |reply: Reply| {
        let mut raw = Raw::opened();
        raw.send(&auth("PLAIN", "\0alice\0pencil"));
        failure(&raw.reply(reply))
    };
    assert_eq!(refused(Reply::Throttled), "temporary-auth-failure");
    assert_eq!(refused(Reply::TemporaryFailure), "temporary-auth-failure");
    for condition in SaslCondition::ALL {
        assert_eq!(refused(Reply::Refused(condition)), condition.name());
    }
    let mut raw = Raw::opened();
    raw.send(&auth("PLAIN", "\0alice\0pencil"));
    let wrong = raw.reply(Reply::Bound(Err(StanzaError::new(Condition::Conflict))));
    assert_eq!(wrong, ["[fail internal-server-error]"], "an answer to another question");
}

#[test]
fn a_late_answer_after_a_failure_changes_nothing() {
    let mut raw = Raw::opened();
    raw.send(&auth("PLAIN", "\0alice\0pencil"));
    raw.server.fail(longwire_stanza::StreamCondition::NotWellFormed.into());
    assert_eq!(raw.said(), ["[fail not-well-formed]"]);
    assert_eq!(raw.reply(Reply::Verified(true)), [""; 0]);
    let mut raw = Raw::new(server_config(), quic());
    raw.server.fail(longwire_stanza::StreamCondition::NotWellFormed.into());
    let said = raw.said();
    assert!(said[0].starts_with("<stream:stream "), "an error needs a stream: {said:?}");
    assert_eq!(last(&said), "[fail not-well-formed]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No order of well-formed elements binds a session, or authenticates, without a password.
    #[test]
    fn nobody_gets_in_without_a_password(
        steps in prop::collection::vec((0_usize..9, 0_usize..3), 1..12),
        mechanism in prop::sample::select(&Mechanism::ALL[..]),
    ) {
        const PROOF: &str = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             Yz1iaXdzLHI9YWJjLHA9QUFBQQ==</response>";
        let inline = "<bind xmlns='urn:xmpp:bind:0'/>";
        let mut raw = Raw::opened();
        for (step, variant) in steps {
            let said = match step {
                0 => raw.open("to='a.example' version='1.0'"),
                1 => raw.send(&auth(mechanism.name(), "n,,n=alice,r=abc")),
                2 => raw.send(&authenticate(["\0alice\0x", "alice", ""][variant], inline)),
                3 => raw.send(BIND),
                4 => raw.send(&sasl1(["abort", "response", "success"][variant])),
                5 => raw.send(PROOF),
                6 => raw.reply(match variant {
                    0 => Reply::Verified(false),
                    1 => Reply::Credential(None),
                    _ => Reply::Throttled,
                }),
                7 => {
                    raw.server.handle_tls(tls());
                    raw.said()
                }
                _ => raw.send("<presence/>"),
            };
            for line in said {
                let inside = line.starts_with("[authenticated") || line.starts_with("[bound")
                    || line.starts_with("[bind") || line.contains("<success");
                prop_assert!(!inside, "{line}");
            }
        }
    }
}
