//! Who learns of whom, and when.

use super::*;
use crate::testing::{assert_error, befriend, online, scene};

//= test RFC 6121 §4.2
#[test]
fn a_new_session_is_seen_and_sees_who_is_there() {
    let scene = scene();
    let phone = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&phone, &bob);
    let laptop = scene.session("alice@a.example/laptop");
    laptop.send("<presence><show>chat</show></presence>");
    phone.expect(
        "<presence from='alice@a.example/laptop' to='alice@a.example/phone'>\
         <show>chat</show></presence>",
    );
    bob.expect(
        "<presence from='alice@a.example/laptop' to='bob@b.example'><show>chat</show></presence>",
    );
    laptop.expect_all([
        "<presence from='alice@a.example/laptop' to='alice@a.example/laptop'>\
         <show>chat</show></presence>",
        "<presence from='alice@a.example/phone' to='alice@a.example/laptop'/>",
        "<presence from='bob@b.example/desk' to='alice@a.example/laptop'/>",
    ]);
    for device in [&phone, &laptop, &bob] {
        device.expect_nothing();
    }
}

//= test RFC 6121 §4.4
#[test]
fn a_later_presence_is_told_and_asks_nobody() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&alice, &bob);
    alice.send("<presence><show>away</show></presence>");
    alice.expect(
        "<presence from='alice@a.example/phone' to='alice@a.example/phone'>\
         <show>away</show></presence>",
    );
    alice.expect_nothing();
    bob.expect(
        "<presence from='alice@a.example/phone' to='bob@b.example'><show>away</show></presence>",
    );
    bob.expect_nothing();
}

//= test RFC 6121 §4.5
#[test]
fn goodbye_is_told_to_contacts_and_to_all_own_sessions() {
    let scene = scene();
    let [phone, laptop] =
        ["phone", "laptop"].map(|it| online(&scene, &format!("alice@a.example/{it}")));
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&phone, &bob);
    laptop.receive_all();
    let goodbye = "<presence type='unavailable'><status>bye</status></presence>";
    phone.send(goodbye);
    let told = |to: &str| {
        format!(
            "<presence type='unavailable' from='alice@a.example/phone' to='{to}'>\
             <status>bye</status></presence>"
        )
    };
    phone.expect(&told("alice@a.example/phone"));
    laptop.expect(&told("alice@a.example/laptop"));
    bob.expect(&told("bob@b.example"));
    phone.send(goodbye);
    for device in [&phone, &laptop, &bob] {
        device.expect_nothing();
    }
}

//= test RFC 6121 §4.5.2
#[test]
fn a_session_that_breaks_or_closes_is_said_goodbye_for() {
    let scene = scene();
    let bob = online(&scene, "bob@b.example/desk");
    let goodbye = "<presence type='unavailable' from='alice@a.example/phone' to='bob@b.example'/>";
    let phone = online(&scene, "alice@a.example/phone");
    befriend(&phone, &bob);
    phone.lose();
    bob.expect(goodbye);
    let phone = online(&scene, "alice@a.example/phone");
    bob.receive_all();
    phone.close();
    bob.expect(goodbye);
    bob.expect_nothing();
    let silent = scene.session("alice@a.example/silent");
    silent.close();
    bob.expect_nothing();
}

#[test]
fn a_session_without_presence_is_told_nothing() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let silent = scene.session("alice@a.example/silent");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&alice, &bob);
    bob.send("<presence><show>dnd</show></presence>");
    alice.expect(
        "<presence from='bob@b.example/desk' to='alice@a.example'><show>dnd</show></presence>",
    );
    silent.expect_nothing();
}

//= test RFC 6121 §4.7.2.3
#[test]
fn a_priority_is_one_number_of_one_byte() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    for (priority, fits) in [
        ("<priority>-129</priority>", false),
        ("<priority>-128</priority>", true),
        ("<priority>-127</priority>", true),
        ("<priority>126</priority>", true),
        ("<priority>127</priority>", true),
        ("<priority>128</priority>", false),
        ("<priority/>", false),
        ("<priority>high</priority>", false),
        ("<priority>1</priority><priority>2</priority>", false),
    ] {
        alice.send(&format!("<presence id='p'>{priority}</presence>"));
        let answer = alice.receive().unwrap().to_element();
        if fits {
            assert_eq!(answer.attribute("type"), None, "{priority}");
        } else {
            assert_error(&answer, "bad-request", "modify");
        }
        alice.expect_nothing();
    }
}

//= test RFC 6121 §4.6.3
#[test]
fn whoever_got_directed_presence_learns_of_the_end() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    alice.send("<presence to='bob@b.example/desk'><status>psst</status></presence>");
    bob.expect(
        "<presence from='alice@a.example/phone' to='bob@b.example/desk'>\
         <status>psst</status></presence>",
    );
    alice.send("<presence><show>away</show></presence>");
    bob.expect_nothing();
    alice.send("<presence type='unavailable'/>");
    bob.expect(
        "<presence type='unavailable' from='alice@a.example/phone' to='bob@b.example/desk'/>",
    );
    alice.lose();
    bob.expect_nothing();
}

#[test]
fn whoever_was_said_goodbye_to_is_not_told_again() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    alice.send("<presence to='bob@b.example/desk'/>");
    alice.send("<presence to='bob@b.example/desk' type='unavailable'/>");
    assert_eq!(bob.receive_all().len(), 2);
    alice.close();
    bob.expect_nothing();
}

#[test]
fn a_contact_is_told_of_the_end_once() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&alice, &bob);
    alice.send("<presence to='bob@b.example/desk'/>");
    bob.receive_all();
    alice.lose();
    assert_eq!(bob.receive_all().len(), 1);
}

#[test]
fn directed_presence_of_a_session_without_broadcast_ends_with_it() {
    let scene = scene();
    let alice = scene.session("alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    alice.send("<presence to='bob@b.example/desk'/>");
    bob.expect("<presence from='alice@a.example/phone' to='bob@b.example/desk'/>");
    alice.lose();
    bob.expect(
        "<presence type='unavailable' from='alice@a.example/phone' to='bob@b.example/desk'/>",
    );
}

#[test]
fn directed_presence_is_remembered_for_so_many_and_not_more() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let refused = |at: usize| {
        alice.send(&format!("<presence to='c{at}@b.example' id='p'/>"));
        alice.receive_all().iter().any(|stanza| stanza.stanza_error().is_some())
    };
    for at in 0..DIRECTED {
        assert!(!refused(at), "number {at}");
    }
    assert!(refused(DIRECTED));
    assert!(!refused(0), "one more to the same is nothing new");
}

//= test RFC 6121 §4.3.2
#[test]
fn a_probe_is_answered_to_those_who_may_know() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    let mallory = online(&scene, "mallory@b.example/x");
    befriend(&alice, &bob);
    bob.send("<presence to='alice@a.example' type='probe'/>");
    bob.expect("<presence from='alice@a.example/phone' to='bob@b.example/desk'/>");
    bob.send("<presence to='alice@a.example/nowhere' type='probe'/>");
    bob.expect("<presence type='unavailable' from='alice@a.example' to='bob@b.example/desk'/>");
    mallory.send("<presence to='alice@a.example' type='probe'/>");
    mallory.send("<presence to='alice@a.example/phone' type='probe'/>");
    mallory.expect_nothing();
    alice.send("<presence type='unavailable'/>");
    bob.receive_all();
    bob.send("<presence to='alice@a.example' type='probe'/>");
    bob.expect("<presence type='unavailable' from='alice@a.example' to='bob@b.example/desk'/>");
    alice.receive_all();
    alice.expect_nothing();
}

//= test RFC 6121 §4.3.2
#[test]
fn a_stranger_who_probes_learns_that_he_is_not_subscribed() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&alice, &bob);
    // Bob's half says that he sees alice, hers says otherwise.
    scene.in_home("alice@a.example", |turn| {
        let mut item = roster::entry(turn, &BareJid::new("bob@b.example").unwrap()).unwrap();
        item.inward = false;
        roster::save(turn, item);
    });
    let sofa = scene.session("bob@b.example/sofa");
    sofa.send("<presence/>");
    bob.expect("<presence from='bob@b.example/sofa' to='bob@b.example/desk'/>");
    bob.expect("<presence type='unsubscribed' from='alice@a.example' to='bob@b.example'/>");
    assert_eq!(crate::testing::roster(&bob), ["alice@a.example from"]);
}

#[test]
fn a_probe_does_not_answer_a_request() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    bob.send("<presence to='alice@a.example' type='subscribe'/>");
    bob.send("<presence to='alice@a.example' type='probe'/>");
    assert_eq!(crate::testing::roster(&bob), ["alice@a.example none ask"]);
    assert_eq!(alice.receive_all().len(), 1, "the request");
}

#[test]
fn whoever_got_directed_presence_may_probe() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    for to in ["bob@b.example/desk", "bob@b.example"] {
        alice.send(&format!("<presence to='{to}'/>"));
        bob.receive_all();
        bob.send("<presence to='alice@a.example' type='probe'/>");
        bob.expect("<presence from='alice@a.example/phone' to='bob@b.example/desk'/>");
        alice.send(&format!("<presence to='{to}' type='unavailable'/>"));
        bob.receive_all();
    }
}

//= test RFC 6121 §4.4.2
#[test]
fn a_contact_that_answers_with_an_error_is_left_alone() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    let bob = online(&scene, "bob@b.example/desk");
    befriend(&alice, &bob);
    let error = "<presence to='alice@a.example/phone' type='error'><error type='cancel'>\
                 <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
    bob.send(&error.replace("/phone", ""));
    alice.expect_nothing();
    bob.send(error);
    let came = alice.receive().unwrap();
    assert_eq!(came.presence_type(), PresenceType::Error);
    alice.send("<presence><show>away</show></presence>");
    bob.expect_nothing();
    alice.send("<presence type='unavailable'/>");
    bob.expect_nothing();
    alice.send("<presence/>");
    bob.expect("<presence from='alice@a.example/phone' to='bob@b.example'/>");
}

//= test RFC 6121 §8.5
#[test]
fn presence_reaches_the_session_it_is_for_or_nobody() {
    let scene = scene();
    let phone = online(&scene, "alice@a.example/phone");
    let silent = scene.session("alice@a.example/silent");
    let bob = online(&scene, "bob@b.example/desk");
    bob.send("<presence to='alice@a.example/silent'/>");
    silent.expect("<presence from='bob@b.example/desk' to='alice@a.example/silent'/>");
    bob.send("<presence to='alice@a.example/gone'/>");
    bob.send("<presence to='nobody@a.example/x'/>");
    bob.send("<presence to='nobody@a.example' type='probe'/>");
    for device in [&phone, &silent, &bob] {
        device.expect_nothing();
    }
    bob.send("<presence to='bob@far.example/x' id='p'/>");
    assert_error(&bob.receive().unwrap().to_element(), "remote-server-not-found", "cancel");
}

#[test]
fn presence_that_needs_an_address_is_refused_without() {
    let scene = scene();
    let alice = online(&scene, "alice@a.example/phone");
    alice.send("<presence type='probe' id='p'/>");
    assert_error(&alice.receive().unwrap().to_element(), "bad-request", "modify");
    alice.send("<presence type='error'/>");
    alice.expect_nothing();
}

#[test]
fn failures_are_remembered_for_so_many_and_not_more() {
    for (known, noted) in [(FAILED - 1, FAILED), (FAILED, FAILED)] {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let id = alice.id();
        let count = scene.in_home("alice@a.example", move |turn| {
            let contact = |at: usize| BareJid::new(&format!("c{at}@b.example")).unwrap();
            turn.update_session(id, |session| {
                session.set(Failed((0..known).map(contact).collect()));
            });
            let error = Stanza::presence(PresenceType::Error).from(contact(FAILED + 1)).build();
            note_failure(turn, id, &error);
            turn.session(id).unwrap().get::<Failed>().unwrap().0.len()
        });
        assert_eq!(count, noted);
    }
}
