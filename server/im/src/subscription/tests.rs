//! Two accounts and their relation, as both of them see it.

use super::*;
use crate::limits::{SUBSCRIPTION_WINDOW, SUBSCRIPTIONS};
use crate::testing::{ROSTER, assert_error, befriend, online, roster, scene};
use longwire_core::testkit::{Device, Scene};
use std::time::Duration;

const ALICE: &str = "alice@a.example";
const BOB: &str = "bob@b.example";

fn pair(scene: &Scene) -> (Device, Device) {
    (online(scene, "alice@a.example/phone"), online(scene, "bob@b.example/desk"))
}

fn push(to: &str, item: &str) -> String {
    format!(
        "<iq type='set' id='*' to='{to}'><query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"
    )
}

//= test RFC 6121 §3.1
#[test]
fn asking_and_granting_shows_the_one_to_the_other() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    let ask =
        "<presence to='bob@b.example/desk' type='subscribe' id='s1'><status>hi</status></presence>";
    alice.send(ask);
    let item = "<item jid='bob@b.example' subscription='none' ask='subscribe'/>";
    alice.expect(&push("alice@a.example/phone", item));
    bob.expect(
        "<presence type='subscribe' id='s1' from='alice@a.example' to='bob@b.example'>\
         <status>hi</status></presence>",
    );
    bob.expect_nothing();
    assert_eq!(roster(&bob), Vec::<String>::new(), "a mere request is no entry");

    bob.send("<presence to='alice@a.example' type='subscribed'/>");
    let item = "<item jid='alice@a.example' subscription='from'/>";
    bob.expect(&push("bob@b.example/desk", item));
    bob.expect_nothing();
    alice.expect("<presence type='subscribed' from='bob@b.example' to='alice@a.example'/>");
    let item = "<item jid='bob@b.example' subscription='to'/>";
    alice.expect(&push("alice@a.example/phone", item));
    alice.expect("<presence from='bob@b.example/desk' to='alice@a.example'/>");
    alice.expect_nothing();
}

//= test RFC 6121 §3.1.3
#[test]
fn a_request_is_shown_to_every_new_session_until_it_is_answered() {
    let mut scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    scene.account(BOB);
    alice
        .send("<presence to='bob@b.example' type='subscribe'><status>it is me</status></presence>");
    let request = "<presence type='subscribe' from='alice@a.example' to='bob@b.example'>\
                   <status>it is me</status></presence>";
    for _ in 0..2 {
        let bob = scene.session("bob@b.example/desk");
        bob.expect_nothing();
        bob.send("<presence/>");
        bob.expect("<presence from='bob@b.example/desk' to='bob@b.example/desk'/>");
        bob.expect(request);
        bob.send("<presence><show>away</show></presence>");
        bob.receive_all();
        scene.crash();
    }
    let bob = online(&scene, "bob@b.example/desk");
    bob.send("<presence to='alice@a.example' type='unsubscribed'/>");
    let bob2 = scene.session("bob@b.example/sofa");
    bob2.send("<presence/>");
    let subscribe = PresenceType::Subscribe;
    assert!(bob2.receive_all().iter().all(|stanza| stanza.presence_type() != subscribe));
    let alice = scene.session("alice@a.example/phone");
    assert_eq!(roster(&alice), ["bob@b.example none"]);
}

#[test]
fn a_repeated_request_is_not_shown_again() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    for _ in 0..3 {
        alice.send("<presence to='bob@b.example' type='subscribe'/>");
    }
    bob.expect("<presence type='subscribe' from='alice@a.example' to='bob@b.example'/>");
    bob.expect_nothing();
    assert_eq!(alice.receive_all().len(), 1, "one push");
}

//= test RFC 6121 §3.4
#[test]
fn whoever_is_approved_in_advance_is_granted_without_asking() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    bob.send("<presence to='alice@a.example' type='subscribed'/>");
    let item = "<item jid='alice@a.example' subscription='none' approved='true'/>";
    bob.expect(&push("bob@b.example/desk", item));
    alice.expect_nothing();
    alice.send("<presence to='bob@b.example' type='subscribe'/>");
    let item = "<item jid='alice@a.example' subscription='from' approved='true'/>";
    bob.expect(&push("bob@b.example/desk", item));
    bob.expect_nothing();
    let item = "<item jid='bob@b.example' subscription='none' ask='subscribe'/>";
    alice.expect(&push("alice@a.example/phone", item));
    alice.expect("<presence type='subscribed' from='bob@b.example' to='alice@a.example'/>");
    let item = "<item jid='bob@b.example' subscription='to'/>";
    alice.expect(&push("alice@a.example/phone", item));
    alice.expect("<presence from='bob@b.example/desk' to='alice@a.example'/>");
}

//= test RFC 6121 §3.4.2
#[test]
fn an_approval_can_be_taken_back_before_it_is_used() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    bob.send("<presence to='alice@a.example' type='subscribed'/>");
    bob.send("<presence to='alice@a.example' type='unsubscribed'/>");
    assert_eq!(roster(&bob), ["alice@a.example none"]);
    bob.receive_all();
    alice.send("<presence to='bob@b.example' type='subscribe'/>");
    bob.expect("<presence type='subscribe' from='alice@a.example' to='bob@b.example'/>");
}

//= test RFC 6121 §3.1.3
#[test]
fn the_server_answers_a_request_that_is_already_granted() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    befriend(&alice, &bob);
    alice.send("<presence to='bob@b.example' type='subscribe'/>");
    bob.expect_nothing();
    // The answer changes nothing for alice, who sees bob once more.
    alice.expect("<presence from='bob@b.example/desk' to='alice@a.example'/>");
    alice.expect_nothing();
    assert_eq!(roster(&alice), ["bob@b.example both"]);
}

//= test RFC 6121 §3.2
#[test]
fn whoever_loses_a_grant_sees_the_other_vanish_first() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    befriend(&alice, &bob);
    bob.send("<presence to='alice@a.example' type='unsubscribed'/>");
    bob.expect(&push("bob@b.example/desk", "<item jid='alice@a.example' subscription='to'/>"));
    alice.expect("<presence type='unavailable' from='bob@b.example/desk' to='alice@a.example'/>");
    alice.expect("<presence type='unsubscribed' from='bob@b.example' to='alice@a.example'/>");
    alice.expect(&push("alice@a.example/phone", "<item jid='bob@b.example' subscription='from'/>"));
    alice.expect_nothing();
    bob.send("<presence><show>away</show></presence>");
    alice.expect_nothing();
}

//= test RFC 6121 §3.3
#[test]
fn whoever_gives_up_a_subscription_sees_the_other_vanish() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    befriend(&alice, &bob);
    alice.send("<presence to='bob@b.example' type='unsubscribe'/>");
    alice.expect(&push("alice@a.example/phone", "<item jid='bob@b.example' subscription='from'/>"));
    alice.expect("<presence type='unavailable' from='bob@b.example/desk' to='alice@a.example'/>");
    alice.expect_nothing();
    bob.expect("<presence type='unsubscribe' from='alice@a.example' to='bob@b.example'/>");
    bob.expect(&push("bob@b.example/desk", "<item jid='alice@a.example' subscription='to'/>"));
    bob.expect_nothing();
}

//= test RFC 6121 §2.5.2
#[test]
fn removing_a_contact_ends_the_relation_in_both_directions() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    befriend(&alice, &bob);
    alice.ask(
        "<iq type='set'><query xmlns='jabber:iq:roster'>\
         <item jid='bob@b.example' subscription='remove'/></query></iq>",
    );
    bob.expect("<presence type='unavailable' from='alice@a.example/phone' to='bob@b.example'/>");
    bob.expect("<presence type='unsubscribe' from='alice@a.example' to='bob@b.example'/>");
    bob.expect(&push("bob@b.example/desk", "<item jid='alice@a.example' subscription='to'/>"));
    bob.expect("<presence type='unsubscribed' from='alice@a.example' to='bob@b.example'/>");
    bob.expect(&push("bob@b.example/desk", "<item jid='alice@a.example' subscription='none'/>"));
    bob.expect_nothing();
    assert_eq!(roster(&alice), Vec::<String>::new());
    assert_eq!(roster(&bob), ["alice@a.example none"]);
}

#[test]
fn removing_a_contact_that_waits_denies_its_request() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    let item =
        "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='alice@a.example'/></query></iq>";
    bob.ask(item);
    alice.send("<presence to='bob@b.example' type='subscribe'/>");
    bob.ask(&item.replace("/></query>", " subscription='remove'/></query>"));
    assert_eq!(roster(&alice), ["bob@b.example none"]);
    let sofa = scene.session("bob@b.example/sofa");
    sofa.send("<presence/>");
    let subscribe = PresenceType::Subscribe;
    assert!(sofa.receive_all().iter().all(|stanza| stanza.presence_type() != subscribe));
}

#[test]
fn an_account_that_is_removed_leaves_no_half_relation() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    let carol = online(&scene, "carol@b.example/x");
    befriend(&alice, &bob);
    carol.send("<presence to='alice@a.example' type='subscribe'/>");
    scene.in_home(ALICE, |turn| turn.erase_account());
    assert_eq!(roster(&bob), ["alice@a.example none"]);
    assert_eq!(roster(&carol), ["alice@a.example none"]);
}

#[test]
fn who_cannot_be_asked_is_an_error_and_no_entry() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    for (to, verb, condition, kind) in [
        ("to='bob@far.example'", "subscribe", "remote-server-not-found", "cancel"),
        ("to='bob@far.example'", "subscribed", "remote-server-not-found", "cancel"),
        ("to='a.example'", "subscribe", "service-unavailable", "cancel"),
        ("to='alice@a.example'", "subscribe", "not-allowed", "cancel"),
        ("", "subscribe", "bad-request", "modify"),
    ] {
        alice.send(&format!("<presence {to} type='{verb}' id='p'/>"));
        let answer = alice.receive().unwrap_or_else(|| panic!("{verb} {to} was not answered"));
        assert_error(&answer.to_element(), condition, kind);
        alice.expect_nothing();
    }
    assert_eq!(roster(&alice), Vec::<String>::new());
}

#[test]
fn an_account_that_does_not_exist_tells_nothing() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    alice.send("<presence to='nobody@b.example' type='subscribe'/>");
    alice.expect(&push(
        "alice@a.example/phone",
        "<item jid='nobody@b.example' subscription='none' ask='subscribe'/>",
    ));
    alice.expect_nothing();
}

#[test]
fn an_hour_has_room_for_thirty_new_subscriptions() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let refused = |at: usize| {
        alice.send(&format!("<presence to='c{at}@b.example' type='subscribe' id='p'/>"));
        alice.receive_all().iter().any(|stanza| stanza.stanza_error().is_some())
    };
    for at in 0..SUBSCRIPTIONS {
        assert!(!refused(at), "number {at}");
    }
    assert!(!refused(0), "asking again is nothing new");
    assert!(refused(SUBSCRIPTIONS));
    assert_eq!(roster(&alice).len(), SUBSCRIPTIONS);
    scene.advance(SUBSCRIPTION_WINDOW);
    assert!(!refused(SUBSCRIPTIONS));
}

#[test]
fn a_request_may_be_so_long_and_not_longer() {
    let scene = scene();
    let (alice, bob) = pair(&scene);
    let request = |filler: usize| {
        let text = "x".repeat(filler);
        format!("<presence to='bob@b.example' type='subscribe'><status>{text}</status></presence>")
    };
    let length = |filler: usize| {
        let raw = request(filler).into_bytes().into();
        let context = longwire_core::xml::Context::client();
        let stanza = Stanza::parse(raw, &context, &longwire_core::xml::Limits::CLIENT).unwrap();
        stanza.with_from(alice.jid()).wire_len()
    };
    let fitting = REQUEST_BYTES - length(0);
    alice.send(&request(fitting + 1));
    assert_error(&alice.receive().unwrap().to_element(), "not-acceptable", "modify");
    bob.expect_nothing();
    alice.send(&request(fitting));
    assert_eq!(bob.receive_all().len(), 1);
}

#[test]
fn only_so_many_requests_wait_for_an_account() {
    for (waiting, fits) in [(REQUESTS - 2, true), (REQUESTS - 1, true), (REQUESTS, false)] {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        scene.account(BOB);
        scene.in_home(BOB, move |turn| {
            for at in 0..waiting {
                turn.put(&REQUESTS_IN, &format!("c{at}@a.example"), Vec::new());
            }
        });
        alice.send("<presence to='bob@b.example' type='subscribe'/>");
        let is_kept = scene.in_home(BOB, |turn| is_waiting(turn, &BareJid::new(ALICE).unwrap()));
        assert_eq!(is_kept, fits, "{waiting} waiting");
    }
}

/// After a crash a handoff may arrive twice.
#[test]
fn the_second_arrival_of_the_same_presence_changes_nothing() {
    for verb in [Verb::Subscribe, Verb::Subscribed, Verb::Unsubscribe, Verb::Unsubscribed] {
        let arrive = |times: usize| {
            let scene = scene();
            let (alice, bob) = pair(&scene);
            if matches!(verb, Verb::Unsubscribe | Verb::Unsubscribed) {
                befriend(&alice, &bob);
            }
            if verb == Verb::Subscribed {
                bob.send("<presence to='alice@a.example' type='subscribe'/>");
                bob.receive_all();
            }
            scene.in_home(ALICE, move |turn| {
                for _ in 0..times {
                    let from = turn.home().clone();
                    let told = Stanza::presence(kind(verb)).from(from).to(bob_jid()).build();
                    turn.route_durable(told);
                }
            });
            scene.settle();
            let state = scene
                .in_home(BOB, |turn| Relation::of(turn, &BareJid::new(ALICE).unwrap()).state());
            let seen: Vec<String> =
                bob.receive_all().iter().map(|stanza| stanza.with_id("x").to_xml()).collect();
            (state, seen, roster(&bob))
        };
        assert_eq!(arrive(1), arrive(2), "{verb:?}");
    }
}

fn bob_jid() -> BareJid {
    BareJid::new(BOB).unwrap()
}

/// The state of one account's half of a relation.
fn half(scene: &Scene, account: &str, contact: &str) -> State {
    let contact = BareJid::new(contact).unwrap();
    scene.in_home(account, move |turn| Relation::of(turn, &contact).state())
}

/// The plug is pulled at every moment of a request: afterwards both know of it, or neither. Some
/// of the contacts live in another shard than alice.
#[test]
fn a_crash_never_leaves_half_a_relation() {
    let mut outcomes = [0, 0];
    for contact in ["bob@b.example", "carol@b.example", "dave@b.example"] {
        for moment in 0..40 {
            let mut scene = scene();
            let alice = online(&scene, "alice@a.example/phone");
            scene.account(contact);
            alice.try_send(&format!("<presence to='{contact}' type='subscribe'/>")).unwrap();
            scene.advance(Duration::from_micros(moment * 500));
            scene.crash();
            scene.settle();
            match (half(&scene, ALICE, contact), half(&scene, contact, ALICE)) {
                (State::None, State::None) => outcomes[0] += 1,
                (State::NonePendingOut, State::NonePendingIn) => outcomes[1] += 1,
                halves => panic!("{contact} after {moment} half milliseconds: {halves:?}"),
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "both outcomes were seen: {outcomes:?}");
}

/// What two people may do to each other, in an order that a seed chooses.
#[test]
fn the_two_halves_agree_whatever_both_do() {
    for seed in 1..=40_u64 {
        let scene = scene();
        let (alice, bob) = pair(&scene);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut done = Vec::new();
        for _ in 0..20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (device, contact) = if random & 1 == 0 { (&alice, BOB) } else { (&bob, ALICE) };
            let verb = (random >> 8) % 5;
            done.push((contact, verb));
            match ["subscribe", "subscribed", "unsubscribe", "unsubscribed"].get(verb as usize) {
                Some(verb) => device.send(&format!("<presence to='{contact}' type='{verb}'/>")),
                None => drop(device.ask(&format!(
                    "<iq type='set'><query xmlns='jabber:iq:roster'>\
                     <item jid='{contact}' subscription='remove'/></query></iq>"
                ))),
            }
            let (alice, bob) = (half(&scene, ALICE, BOB), half(&scene, BOB, ALICE));
            let trace = format!("seed {seed}: {done:?}");
            assert_eq!(alice.outward(), bob.inward(), "{trace}");
            assert_eq!(alice.inward(), bob.outward(), "{trace}");
        }
    }
}

#[test]
fn a_request_to_somebody_without_a_session_waits_in_his_home() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    scene.account(BOB);
    alice.send("<presence to='bob@b.example' type='subscribe'/>");
    assert!(scene.in_home(BOB, |turn| is_waiting(turn, &BareJid::new(ALICE).unwrap())));
    let bob = scene.session("bob@b.example/desk");
    let entries = bob.ask(ROSTER);
    assert!(!entries.to_string().contains("alice"), "{entries}");
}
