//! Binding, and what ends a session.

use longwire_stanza::{Condition, StreamCondition};

use super::*;
use crate::SendError;
use crate::limits::RESOURCES;
use crate::testkit::Setting;

fn refusal(scene: &Scene, account: &str, resource: Option<&str>) -> Option<Condition> {
    let router = scene.router();
    let account = BareJid::new(account).unwrap();
    scene.block_on(router.bind(&account, resource)).err().map(|error| error.condition)
}

#[test]
fn only_accounts_of_ours_that_exist_can_bind() {
    let scene = scene();
    scene.account("alice@a.example");
    assert_eq!(refusal(&scene, "alice@a.example", None), None);
    for other in ["nobody@a.example", "alice@elsewhere.example", "a.example"] {
        assert_eq!(refusal(&scene, other, None), Some(Condition::NotAllowed), "{other}");
    }
    let long = "x".repeat(1024);
    for resource in ["", "\u{1}", &long] {
        let refusal = refusal(&scene, "alice@a.example", Some(resource));
        assert_eq!(refusal, Some(Condition::BadRequest), "{resource:?}");
    }
}

#[test]
fn the_server_makes_resources_that_differ() {
    let scene = scene();
    let one = scene.session("alice@a.example");
    let two = scene.session("alice@a.example");
    assert_ne!(one.jid(), two.jid());
    assert!(one.jid().resource().len() >= 20);
    let again = Scene::with(cast).session("alice@a.example");
    assert_eq!(again.jid(), one.jid(), "the same seed makes the same resource");
    let other = Setting { seed: 2, ..Setting::default() };
    assert_ne!(Scene::set(other, cast).session("alice@a.example").jid(), one.jid());
}

#[test]
fn an_account_has_so_many_resources_and_no_more() {
    let scene = scene();
    let mut devices: Vec<Device> =
        (0..RESOURCES - 1).map(|n| scene.session(&format!("alice@a.example/{n}"))).collect();
    devices.push(scene.session("alice@a.example/last"));
    let full = Some(Condition::ResourceConstraint);
    assert_eq!(refusal(&scene, "alice@a.example", Some("more")), full);
    assert_eq!(refusal(&scene, "alice@a.example", None), full);
    // A resource that is bound can still be taken over.
    devices.push(scene.session("alice@a.example/last"));
    devices.remove(0).close();
    assert_eq!(refusal(&scene, "alice@a.example", Some("more")), None);
}

#[test]
fn a_resource_that_is_bound_again_ends_the_older_session() {
    //= test RFC 6120 §7.7.2.2
    let scene = scene();
    let [other, old] = scene.sessions("alice@a.example", ["other", "phone"]);
    other.receive_all();
    let new = scene.session("alice@a.example/phone");
    old.expect_end(StreamCondition::Conflict);
    other.expect("<message type='headline'><went xmlns='urn:test'>replaced 0</went></message>");
    other.expect("<message type='headline'><came xmlns='urn:test'/></message>");
    // What the old connection still sends is nobody's.
    old.send("<message to='alice@a.example/other'><body>ghost</body></message>");
    other.expect_nothing();
    say(&other, "alice@a.example/phone", "hi");
    assert_eq!(heard_now(&new), ["hi"]);
    assert_eq!(heard_now(&old), Vec::<String>::new());
    // Nor does its end touch the new one.
    old.lose();
    say(&other, "alice@a.example/phone", "again");
    assert_eq!(heard_now(&new), ["again"]);
}

#[test]
fn what_a_session_sent_before_its_end_still_arrives() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/x")];
    for n in 0..20 {
        let xml = format!("<message to='bob@b.example'><body>{n}</body></message>");
        alice.try_send(&xml).unwrap();
    }
    alice.lose();
    assert_eq!(heard_now(&bob).len(), 20);
}

#[test]
fn listeners_hear_why_a_session_ended_and_what_it_never_got() {
    let scene = scene();
    let [phone, laptop, desk] = scene.sessions("alice@a.example", ["phone", "laptop", "desk"]);
    phone.receive_all();
    laptop.receive_all();
    desk.close();
    phone.expect("<message type='headline'><went xmlns='urn:test'>closed 0</went></message>");
    laptop.receive_all();
    say(&phone, "alice@a.example/laptop", "one");
    say(&phone, "alice@a.example/laptop", "two");
    laptop.lose();
    phone.expect("<message type='headline'><went xmlns='urn:test'>lost 2</went></message>");
    let id = phone.id();
    scene.in_home("alice@a.example", move |turn| {
        turn.end_session(id, longwire_stanza::StreamError::new(StreamCondition::PolicyViolation));
    });
    phone.expect_end(StreamCondition::PolicyViolation);
    assert_eq!(scene.in_home("alice@a.example", |turn| turn.sessions().len()), 0);
}

//= test RFC 6120 §8.2.3
#[test]
fn a_request_that_a_lost_session_never_got_is_answered() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.send("<iq to='bob@b.example/y' type='get' id='1'><what xmlns='urn:test'/></iq>");
    alice.send("<iq to='bob@b.example/y' type='result' id='2'/>");
    bob.lose();
    let answer = alice.receive().unwrap();
    assert_eq!(answer.id(), Some("1"));
    let error = answer.stanza_error().unwrap();
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    alice.expect_nothing();
}

#[test]
fn a_stanza_must_come_from_its_session() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    for from in ["", "from='alice@a.example'", "from='alice@a.example/x'"] {
        alice.send(&format!("<message {from} to='bob@b.example/y'/>"));
        bob.expect("<message from='alice@a.example/x' to='bob@b.example/y'/>");
    }
    for from in ["bob@b.example/y", "bob@b.example", "alice@a.example/y", "a.example"] {
        let sent = alice.try_send(&format!("<message from='{from}' to='bob@b.example/y'/>"));
        assert_eq!(sent, Err(SendError::InvalidFrom), "{from}");
    }
    let error = SendError::InvalidFrom.stream_error();
    assert_eq!(error.condition, StreamCondition::InvalidFrom);
    bob.expect_nothing();
}

#[test]
fn a_session_keeps_presence_priority_and_what_features_put_there() {
    #[derive(Debug, PartialEq)]
    struct Mark(u8);
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    let id = alice.id();
    let priority = |scene: &Scene| {
        scene.in_home("alice@a.example", move |turn| turn.session(id).unwrap().priority())
    };
    assert_eq!(priority(&scene), None);
    for (xml, expected) in [
        ("<presence/>", 0),
        ("<presence><priority>-5</priority></presence>", -5),
        ("<presence><priority> 7 </priority></presence>", 7),
        ("<presence><priority>1000</priority></presence>", 0),
    ] {
        alice.send(xml);
        assert_eq!(priority(&scene), Some(expected), "{xml}");
    }
    alice.send("<presence type='unavailable'/>");
    assert_eq!(priority(&scene), None);
    scene.in_home("alice@a.example", move |turn| {
        turn.update_session(id, |session| session.set(Mark(1)));
        turn.update_session(id, |session| session.set(Mark(2)));
    });
    scene.in_home("alice@a.example", move |turn| {
        assert_eq!(turn.session(id).unwrap().get(), Some(&Mark(2)));
        turn.update_session(id, |session| session.remove::<Mark>());
        assert_eq!(turn.session(id).unwrap().get::<Mark>(), None);
    });
}

#[test]
fn a_server_that_stops_finishes_what_it_took_and_says_so() {
    let mut scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    for n in 0..30 {
        let xml = format!("<message to='bob@b.example'><body>keep file {n}</body></message>");
        alice.try_send(&xml).unwrap();
    }
    scene.restart();
    assert_eq!(heard_now(&bob).len(), 30);
    alice.expect_end(StreamCondition::SystemShutdown);
    bob.expect_end(StreamCondition::SystemShutdown);
    let late = alice.try_send("<message to='bob@b.example'/>");
    assert_eq!(late, Err(SendError::Stopped));
    assert_eq!(scene.in_home("alice@a.example", |turn| turn.rows(&SENT).len()), 30);
}

#[test]
fn an_erased_account_is_gone_with_its_rows_and_sessions() {
    let mut scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.ask("<iq type='set'><note xmlns='urn:test:note'>milk</note></iq>");
    say(&alice, "bob@b.example", "keep");
    scene.in_home("alice@a.example", |turn| turn.erase_account());
    alice.expect_end(StreamCondition::NotAuthorized);
    assert_eq!(refusal(&scene, "alice@a.example", None), Some(Condition::NotAllowed));
    bob.send("<iq type='get' id='9' to='alice@a.example'><note xmlns='urn:test:note'/></iq>");
    bob.receive();
    bob.expect(&unavailable("bob@b.example/y", "alice@a.example", "9"));
    scene.restart();
    assert_eq!(refusal(&scene, "alice@a.example", None), Some(Condition::NotAllowed));
    assert!(scene.in_home("alice@a.example", |turn| turn.get(&NOTE, &()).is_none()));
}
