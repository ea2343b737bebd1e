//! A session whose connection does not read: bounded, and killed only when it would miss what it
//! can never know of.

use longwire_stanza::{Condition, Stanza};

use super::*;
use crate::limits::{Limits, OUTBOX_ANSWERS, OUTBOX_BYTES, OUTBOX_STANZAS};
use crate::testkit::Setting;
use crate::{Class, Outbox};

/// Alice sends `count` stanzas to Bob, who does not read, and counts the refusals.
fn refused(scene: &Scene, count: usize, xml: &str) -> (usize, Device) {
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    for _ in 0..count {
        alice.try_send(xml).unwrap();
    }
    let answers = alice.receive_all();
    for answer in &answers {
        let error = answer.stanza_error().expect("an error");
        assert_eq!(error.condition, Condition::ResourceConstraint);
        assert_eq!(error.kind, longwire_stanza::ErrorKind::Wait);
    }
    (answers.len(), bob)
}

#[test]
fn so_many_messages_wait_for_a_session_and_no_more() {
    for (count, over) in [(OUTBOX_STANZAS - 1, 0), (OUTBOX_STANZAS, 0), (OUTBOX_STANZAS + 1, 1)] {
        let scene = scene();
        let message = "<message to='bob@b.example/y'><body>hi</body></message>";
        let (answers, bob) = refused(&scene, count, message);
        assert_eq!(answers, over, "{count}");
        assert_eq!(heard_now(&bob).len(), count - over);
    }
}

#[test]
fn so_many_bytes_wait_for_a_session_and_no_more() {
    let xml = |body: usize| {
        format!("<message to='bob@b.example/y'><body>{}</body></message>", "x".repeat(body))
    };
    // The same message as the home sees it, to know its size.
    let size = |body: usize| {
        let raw = bytes::Bytes::from(xml(body));
        let context = longwire_xml::Context::client();
        let stanza = Stanza::parse(raw, &context, &longwire_xml::Limits::CLIENT).unwrap();
        let from = longwire_stanza::FullJid::new("alice@a.example/x").unwrap();
        stanza.with_from(&from).wire_len()
    };
    let spare = OUTBOX_BYTES / 4 - size(0);
    assert_eq!(size(spare), OUTBOX_BYTES / 4);
    assert_eq!(refused(&scene(), 4, &xml(spare - 1)).0, 0);
    assert_eq!(refused(&scene(), 4, &xml(spare)).0, 0);
    assert_eq!(refused(&scene(), 4, &xml(spare + 1)).0, 1);
}

fn small(stanzas: usize) -> Scene {
    let limits = Limits { outbox_stanzas: stanzas, ..Limits::default() };
    Scene::set(Setting { limits, ..Setting::default() }, cast)
}

#[test]
fn requests_are_refused_and_the_session_lives_on() {
    let scene = small(3);
    let request = "<iq type='get' id='1' to='bob@b.example/y'><q xmlns='urn:any'/></iq>";
    let (answers, bob) = refused(&scene, 5, request);
    assert_eq!(answers, 2);
    assert_eq!(bob.receive_all().len(), 3);
    let alice = scene.session("alice@a.example/z");
    say(&alice, "bob@b.example/y", "better now?");
    assert_eq!(heard_now(&bob), ["better now?"]);
}

/// Nothing tells a client later which push it has missed: it must come again and ask.
#[test]
fn a_session_without_room_for_a_push_ends_and_knows_why() {
    for (pushes, ends) in [(2, false), (3, false), (4, true)] {
        let scene = small(3);
        let bob = scene.session("bob@b.example/y");
        scene.in_home("bob@b.example", move |turn| {
            let session = turn.sessions()[0].id();
            for id in 0..pushes {
                let push = Stanza::iq(longwire_stanza::IqType::Set)
                    .id(&id.to_string())
                    .child(Element::new("urn:test", "push"));
                turn.deliver(session, push.build());
            }
        });
        assert_eq!(bob.receive_all().len(), pushes.min(3));
        if ends {
            bob.expect_end(longwire_stanza::StreamCondition::ResourceConstraint);
        } else {
            say(&bob, "bob@b.example/y", "still here");
            assert_eq!(heard_now(&bob), ["still here"], "{pushes}");
        }
    }
}

#[test]
fn chat_states_are_dropped_without_an_answer() {
    let state = "<message to='bob@b.example/y'>\
                 <composing xmlns='http://jabber.org/protocol/chatstates'/>\
                 <no-store xmlns='urn:xmpp:hints'/></message>";
    let (answers, bob) = refused(&small(3), 5, state);
    assert_eq!(answers, 0);
    assert_eq!(bob.receive_all().len(), 3);
}

#[test]
fn the_newest_presence_of_a_sender_replaces_the_older_one() {
    let scene = small(3);
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    let carol = scene.session("carol@b.example/z");
    alice.send("<presence to='bob@b.example'><show>away</show></presence>");
    say(&alice, "bob@b.example", "one");
    say(&alice, "bob@b.example", "two");
    alice.send("<presence to='bob@b.example'><show>dnd</show></presence>");
    carol.send("<presence to='bob@b.example'/>");
    bob.expect("<presence from='alice@a.example/x' to='bob@b.example'><show>dnd</show></presence>");
    assert_eq!(heard_now(&bob), ["one", "two"]);
    assert_eq!(scene.router().counters().outbox_dropped, 1, "carol's had nothing to replace");
    alice.expect_nothing();
    carol.expect_nothing();
}

#[test]
fn answers_have_room_of_their_own() {
    for (count, lost) in [(OUTBOX_ANSWERS - 1, 0), (OUTBOX_ANSWERS, 0), (OUTBOX_ANSWERS + 1, 1)] {
        let scene = small(1);
        let alice = scene.session("alice@a.example/x");
        say(&alice, "alice@a.example/x", "full");
        for _ in 0..count {
            alice.try_send("<iq type='get' id='1'><note xmlns='urn:test:note'/></iq>").unwrap();
        }
        assert_eq!(alice.receive_all().len(), 1 + count - lost);
        assert_eq!(scene.router().counters().outbox_dropped, lost as u64);
    }
}

#[test]
fn a_message_that_one_of_two_sessions_took_is_not_refused() {
    let scene = small(1);
    let alice = scene.session("alice@a.example/x");
    let [full, free] = scene.sessions("bob@b.example", ["full", "free"]);
    full.receive_all();
    say(&alice, "bob@b.example/full", "one");
    say(&alice, "bob@b.example", "two");
    alice.expect_nothing();
    assert_eq!(heard_now(&free), ["two"]);
    assert_eq!(heard_now(&full), ["one"]);
}

#[test]
fn a_stanza_is_classed_by_its_header() {
    let scene = scene();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    for (xml, class) in [
        ("<message type='chat' to='bob@b.example/y'/>", Class::Chat),
        ("<message type='groupchat' to='bob@b.example/y'/>", Class::Room),
        ("<presence to='bob@b.example'/>", Class::Presence),
        ("<iq type='get' id='1' to='bob@b.example/y'><q xmlns='urn:any'/></iq>", Class::Chat),
    ] {
        alice.send(xml);
        assert_eq!(bob.receive_classed().expect("a stanza").class, class, "{xml}");
    }
    bob.send("<message type='chat' to='bob@b.example/y'/>");
    assert_eq!(bob.receive_classed().expect("a stanza").class, Class::Own);
    bob.send("<iq type='get' id='2' to='b.example'><note xmlns='urn:test:note'/></iq>");
    assert_eq!(bob.receive_classed().expect("an answer").class, Class::Own);
    let id = bob.id();
    scene.in_home("bob@b.example", move |turn| {
        let page = Stanza::message(longwire_stanza::MessageType::Normal).build();
        turn.deliver_as(id, page, Class::Bulk);
    });
    assert_eq!(bob.receive_classed().expect("a page").class, Class::Bulk);
}

#[test]
fn a_connection_that_waits_is_woken() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    let account = BareJid::new("bob@b.example").unwrap();
    scene.account("bob@b.example");
    let router = scene.router();
    scene.block_on(async {
        let (session, mut outbox): (_, Outbox) = router.bind(&account, Some("y")).await.unwrap();
        let reader = tokio::spawn(async move {
            let mut seen = 0;
            while outbox.recv().await.is_some() {
                seen += 1;
            }
            (seen, outbox.reason().is_none())
        });
        tokio::task::yield_now().await;
        for _ in 0..3 {
            let me = Stanza::message(longwire_stanza::MessageType::Chat)
                .to(session.jid())
                .body("note to self")
                .build();
            session.send(me).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        session.close(Down::Closed).await;
        assert_eq!(reader.await.unwrap(), (3, true));
    });
    alice.expect_nothing();
}
