//! Nothing leaves before the journal covers it, and nothing that was promised is lost.

use std::time::Duration;

use super::*;
use crate::testkit::Setting;

/// A commit takes 100 ms, so that a test can look before it.
fn slow() -> Scene {
    let setting = Setting { commit_delay: Duration::from_millis(100), ..Setting::default() };
    Scene::set(setting, cast)
}

const BLINK: Duration = Duration::from_millis(1);

#[test]
fn a_delivery_waits_for_the_journal_in_the_recipients_home() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.try_send("<message to='bob@b.example'><body>file it</body></message>").unwrap();
    scene.advance(BLINK);
    assert_eq!(heard_now(&bob), Vec::<String>::new());
    scene.settle();
    assert_eq!(heard_now(&bob), ["file it"]);
}

#[test]
fn a_delivery_waits_for_the_journal_of_the_sender_as_well() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.try_send("<message to='bob@b.example'><body>keep it</body></message>").unwrap();
    scene.advance(BLINK);
    assert_eq!(heard_now(&bob), Vec::<String>::new());
    scene.settle();
    assert_eq!(heard_now(&bob), ["keep it"]);
}

#[test]
fn what_writes_nothing_leaves_at_once_but_overtakes_nothing() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.try_send("<message to='bob@b.example'><body>typing</body></message>").unwrap();
    scene.advance(BLINK);
    assert_eq!(heard_now(&bob), ["typing"]);
    for body in ["file 1", "typing", "file 2", "typing"] {
        let xml = format!("<message to='bob@b.example'><body>{body}</body></message>");
        alice.try_send(&xml).unwrap();
    }
    scene.advance(BLINK);
    assert_eq!(heard_now(&bob), Vec::<String>::new());
    scene.settle();
    assert_eq!(heard_now(&bob), ["file 1", "typing", "file 2", "typing"]);
}

#[test]
fn what_was_read_is_shown_when_it_is_durable() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    alice.try_send("<iq type='set' id='1'><note xmlns='urn:test:note'>milk</note></iq>").unwrap();
    bob.try_send("<iq type='get' id='2' to='alice@a.example'><note xmlns='urn:test:note'/></iq>")
        .unwrap();
    scene.advance(BLINK);
    assert!(bob.receive_now().is_none(), "a note that a crash could take back was shown");
    assert!(alice.receive_now().is_none());
    bob.expect(
        "<iq type='result' id='2' from='alice@a.example' to='bob@b.example/y'>\
         <note xmlns='urn:test:note'>milk</note></iq>",
    );
    alice.expect("<iq type='result' id='1' to='alice@a.example/x'/>");
}

#[test]
fn a_job_is_done_when_it_is_durable() {
    let mut scene = slow();
    scene.account("alice@a.example");
    scene.in_home("alice@a.example", |turn| turn.put(&NOTE, &(), "milk".to_owned()));
    scene.crash();
    let note = scene.in_home("alice@a.example", |turn| turn.get(&NOTE, &()));
    assert_eq!(note.as_deref().map(String::as_str), Some("milk"));
}

#[test]
fn a_crash_takes_back_only_what_nobody_saw() {
    let mut scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    say(&alice, "bob@b.example", "file one");
    assert_eq!(heard_now(&bob), ["file one"]);
    alice.try_send("<message to='bob@b.example'><body>file two</body></message>").unwrap();
    scene.advance(BLINK);
    scene.crash();
    assert_eq!(heard_now(&bob), Vec::<String>::new());
    let filed = scene.in_home("bob@b.example", |turn| turn.rows(&FILED));
    let filed: Vec<&str> = filed.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(filed, ["file one"]);
}

fn both_sides(scene: &Scene) -> (bool, u64) {
    let asked = scene
        .in_home("alice@a.example", |turn| turn.get(&ASKED, &"bob@b.example".to_owned()).is_some());
    let asking = scene.in_home("bob@b.example", |turn| {
        turn.get(&ASKING, &"alice@a.example".to_owned()).map_or(0, |times| *times)
    });
    (asked, asking)
}

#[test]
fn a_subscription_that_was_half_done_at_a_crash_is_finished_at_the_start() {
    // Every turn is a commit of its own, so that the crash comes between the two as well.
    let journal = longwire_store::JournalLimits { group_batches: 1, ..Default::default() };
    for microseconds in (0..400_000).step_by(10_000) {
        let commit_delay = Duration::from_millis(100);
        let mut scene = Scene::set(Setting { commit_delay, journal, ..Setting::default() }, cast);
        scene.account("bob@b.example");
        let alice = scene.session("alice@a.example/x");
        alice.try_send("<presence type='subscribe' to='bob@b.example'/>").unwrap();
        scene.advance(Duration::from_micros(microseconds));
        scene.crash();
        let (asked, asking) = both_sides(&scene);
        assert_eq!(asked, asking > 0, "after {microseconds} us only one side knows");
        scene.crash();
        assert_eq!(both_sides(&scene), (asked, asking), "it is handled once");
    }
}

#[test]
fn a_handoff_in_the_journal_is_replayed_in_order_and_then_gone() {
    let mut scene = slow();
    scene.account("bob@b.example");
    let store = scene.router().store().clone();
    let mut batch = longwire_store::Batch::new();
    for (row, from) in [(7_u64, "carol@a.example"), (5, "alice@a.example"), (6, "carol@a.example")]
    {
        let xml = format!(
            "<presence xmlns='jabber:client' type='subscribe' from='{from}' to='bob@b.example'/>"
        );
        let record = bytes::Bytes::from(xml);
        batch.put(&crate::handoff::TABLE, "bob@b.example", &row, &record);
    }
    scene.block_on(store.commit(batch)).unwrap();
    drop(store);
    for _ in 0..2 {
        scene.crash();
        let asking = scene.in_home("bob@b.example", |turn| turn.rows(&ASKING));
        let asking: Vec<(&str, u64)> = asking.iter().map(|(jid, n)| (jid.as_str(), **n)).collect();
        assert_eq!(asking, [("alice@a.example", 1), ("carol@a.example", 2)]);
    }
    let router = scene.router();
    let left = router.store().scan(&crate::handoff::TABLE, None, None, 10);
    assert_eq!(scene.block_on(left).unwrap(), []);
}

#[test]
fn a_handoff_whose_stage_panics_is_answered_and_not_tried_for_ever() {
    let scene = scene();
    scene.account("bob@b.example");
    let alice = scene.session("alice@a.example/x");
    alice.send(
        "<presence type='subscribe' to='bob@b.example'><late-boom xmlns='urn:test'/></presence>",
    );
    alice.expect(
        "<presence type='error' from='bob@b.example' to='alice@a.example/x'>\
         <error type='cancel'>\
         <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    let router = scene.router();
    let left = router.store().scan(&crate::handoff::TABLE, None, None, 10);
    assert_eq!(scene.block_on(left).unwrap(), []);
    assert_eq!(router.counters().panics, 1);
}

#[test]
fn a_full_disk_stops_writing_and_not_reading() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    scene.disk().set_full(true);
    say(&alice, "bob@b.example", "typing");
    assert_eq!(heard_now(&bob), ["typing"]);
    say(&alice, "bob@b.example", "file it");
    assert_eq!(heard_now(&bob), Vec::<String>::new());
    scene.disk().set_full(false);
    scene.advance(Duration::from_secs(2));
    assert_eq!(heard_now(&bob), ["file it"]);
}

#[test]
fn what_arrives_while_the_server_stops_is_answered() {
    let scene = slow();
    let [alice, bob] = [scene.session("alice@a.example/x"), scene.session("bob@b.example/y")];
    scene.disk().set_full(true);
    say(&alice, "bob@b.example", "file it");
    let router = scene.router();
    scene.block_on(async {
        // The journal cannot go on, so the router waits for it until it is given up.
        let stopping = tokio::time::timeout(Duration::from_millis(50), router.shutdown());
        assert!(stopping.await.is_err());
    });
    alice.send("<message to='bob@b.example' type='chat' id='late'><body>late</body></message>");
    alice.expect(
        "<message type='error' id='late' from='bob@b.example' to='alice@a.example/x'><body>late</body>\
         <error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    alice.send("<presence/>");
    alice.expect_nothing();
    assert_eq!(heard_now(&bob), Vec::<String>::new());
}
