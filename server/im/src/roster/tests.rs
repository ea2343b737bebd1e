//! The roster as its clients see it.

use super::*;
use crate::testing::{ROSTER, assert_error, assert_like, roster, scene};
use longwire_core::testkit::{Device, Scene};

fn put(item: &str) -> String {
    format!("<iq type='set' id='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

fn interested(scene: &Scene, jid: &str) -> Device {
    let device = scene.session(jid);
    device.ask(ROSTER);
    device
}

fn version_of(device: &Device) -> String {
    let answer = device.ask(ROSTER);
    let query = answer.find("jabber:iq:roster", "query").unwrap();
    query.attribute("ver").unwrap().to_owned()
}

fn since(version: &str) -> String {
    format!("<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
}

//= test RFC 6121 §2.1.6
#[test]
fn a_change_is_pushed_to_every_session_that_asked_for_the_roster() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    let laptop = interested(&scene, "alice@a.example/laptop");
    let silent = scene.session("alice@a.example/silent");
    silent.send(&put("<item jid='bob@b.example/desk' name='Bob'><group>Friends</group></item>"));
    for device in [&phone, &laptop] {
        device.expect(&format!(
            "<iq type='set' id='*' to='{}'><query xmlns='jabber:iq:roster' ver='*'>\
             <item jid='bob@b.example' name='Bob' subscription='none'><group>Friends</group></item>\
             </query></iq>",
            device.jid()
        ));
        device.expect_nothing();
    }
    silent.expect("<iq type='result' id='set' to='alice@a.example/silent'/>");
    silent.expect_nothing();
    let answer = phone.ask(ROSTER);
    assert_like(
        &answer,
        "<iq type='result' id='*' to='alice@a.example/phone'>\
         <query xmlns='jabber:iq:roster' ver='*'>\
         <item jid='bob@b.example' name='Bob' subscription='none'><group>Friends</group></item>\
         </query></iq>",
    );
}

//= test RFC 6121 §2.3.2
#[test]
fn whoever_changes_the_roster_gets_the_answer_before_the_push() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.send(&put("<item jid='bob@b.example'/>"));
    let order: Vec<_> = phone.receive_all().iter().map(|it| it.iq_type()).collect();
    assert_eq!(order, [IqType::Result, IqType::Set]);
}

//= test RFC 6121 §2.5
#[test]
fn a_removed_contact_is_gone_and_cannot_be_removed_again() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.ask(&put("<item jid='bob@b.example'/>"));
    phone.receive_all();
    let remove = put("<item jid='bob@b.example' subscription='remove'/>");
    phone.send(&remove);
    phone.expect_all([
        "<iq type='result' id='set' to='alice@a.example/phone'/>",
        "<iq type='set' id='*' to='alice@a.example/phone'>\
         <query xmlns='jabber:iq:roster' ver='*'>\
         <item jid='bob@b.example' subscription='remove'/></query></iq>",
    ]);
    assert_eq!(roster(&phone), Vec::<String>::new());
    assert_error(&phone.ask(&remove), "item-not-found", "cancel");
    let never = put("<item jid='carol@b.example' subscription='remove'/>");
    assert_error(&phone.ask(&never), "item-not-found", "cancel");
}

//= test RFC 6121 §2.3.3
#[test]
fn what_is_not_an_entry_is_refused() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    let long = "x".repeat(1024);
    let cases = [
        ("", "bad-request", "modify"),
        ("<item jid='bob@b.example'/><item jid='carol@b.example'/>", "bad-request", "modify"),
        ("<item/>", "bad-request", "modify"),
        ("<item jid='@b.example'/>", "jid-malformed", "modify"),
        ("<item jid='alice@a.example'/>", "not-allowed", "cancel"),
        ("<item jid='alice@a.example/laptop'/>", "not-allowed", "cancel"),
        ("<item jid='bob@b.example'><group/></item>", "not-acceptable", "modify"),
        (
            "<item jid='bob@b.example'><group>A</group><group>A</group></item>",
            "bad-request",
            "modify",
        ),
    ];
    for (items, condition, kind) in cases {
        assert_error(&phone.ask(&put(items)), condition, kind);
    }
    let named = format!("<item jid='bob@b.example' name='{long}'/>");
    assert_error(&phone.ask(&put(&named)), "not-acceptable", "modify");
    let grouped = format!("<item jid='bob@b.example'><group>{long}</group></item>");
    assert_error(&phone.ask(&put(&grouped)), "not-acceptable", "modify");
    assert_eq!(roster(&phone), Vec::<String>::new());
    phone.expect_nothing();
}

//= test RFC 6121 §2.1.2.5
#[test]
fn a_client_cannot_write_its_own_subscriptions() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    for wish in ["both", "from", "to"] {
        phone.ask(&put(&format!(
            "<item jid='bob@b.example' subscription='{wish}' approved='true' ask='subscribe'/>"
        )));
    }
    assert_eq!(roster(&phone), ["bob@b.example none"]);
}

//= test RFC 6121 §2.3.3
#[test]
fn nobody_reads_or_writes_the_roster_of_another() {
    let scene = scene();
    let alice = interested(&scene, "alice@a.example/phone");
    let mallory = scene.session("mallory@a.example/x");
    let ask = "<iq type='get' to='alice@a.example'><query xmlns='jabber:iq:roster'/></iq>";
    assert_error(&mallory.ask(ask), "service-unavailable", "cancel");
    let set = "<iq type='set' to='alice@a.example'><query xmlns='jabber:iq:roster'>\
               <item jid='mallory@a.example'/></query></iq>";
    assert_error(&mallory.ask(set), "forbidden", "auth");
    assert_eq!(roster(&alice), Vec::<String>::new());
}

//= test RFC 6121 §2.6.3
#[test]
fn a_client_that_missed_nothing_gets_an_empty_answer() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.ask(&put("<item jid='bob@b.example'/>"));
    phone.receive_all();
    phone.send(&since(&version_of(&phone)));
    phone.expect("<iq type='result' id='get' to='alice@a.example/phone'/>");
    phone.expect_nothing();
}

//= test RFC 6121 §2.6.3
#[test]
fn a_client_that_comes_back_is_told_what_it_missed_after_its_answer() {
    let mut scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.ask(&put("<item jid='old@b.example'/>"));
    let before = version_of(&phone);
    phone.ask(&put("<item jid='bob@b.example'/>"));
    phone.ask(&put("<item jid='old@b.example' subscription='remove'/>"));
    phone.ask(&put("<item jid='bob@b.example' name='Bob'/>"));
    let latest = version_of(&phone);
    scene.restart();
    let phone = scene.session("alice@a.example/phone");
    phone.send(&since(&before));
    phone.expect("<iq type='result' id='get' to='alice@a.example/phone'/>");
    phone.expect(
        "<iq type='set' id='*' to='alice@a.example/phone'>\
         <query xmlns='jabber:iq:roster' ver='*'>\
         <item jid='old@b.example' subscription='remove'/></query></iq>",
    );
    phone.expect(&format!(
        "<iq type='set' id='*' to='alice@a.example/phone'>\
         <query xmlns='jabber:iq:roster' ver='{latest}'>\
         <item jid='bob@b.example' name='Bob' subscription='none'/></query></iq>"
    ));
    phone.expect_nothing();
}

#[test]
fn a_client_with_an_unknown_version_gets_the_whole_roster() {
    let scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.ask(&put("<item jid='bob@b.example'/>"));
    for unknown in ["", "0-0", "nonsense"] {
        let answer = phone.ask(&since(unknown));
        let query = answer.find("jabber:iq:roster", "query").unwrap();
        assert_eq!(query.child_elements().count(), 1, "{unknown:?}");
    }
}

/// Runs in the home of alice, whose session exists.
fn fill(scene: &Scene, count: usize) {
    scene.in_home("alice@a.example", move |turn| {
        for at in 0..count {
            save(turn, Item::new(BareJid::new(&format!("c{at}@b.example")).unwrap()));
        }
    });
}

#[test]
fn a_client_that_missed_too_much_gets_the_whole_roster() {
    for (missed, whole) in
        [(ROSTER_CATCH_UP - 1, false), (ROSTER_CATCH_UP, false), (ROSTER_CATCH_UP + 1, true)]
    {
        let scene = scene();
        let phone = interested(&scene, "alice@a.example/phone");
        let before = version_of(&phone);
        fill(&scene, missed);
        phone.receive_all();
        let answer = phone.ask(&since(&before));
        assert_eq!(answer.child_elements().count() == 1, whole, "{missed} missed");
        let pushes = phone.receive_all().len();
        assert_eq!(pushes, if whole { 0 } else { missed });
    }
}

#[test]
fn a_roster_is_full_at_its_limit() {
    for (entries, fits) in
        [(ROSTER_ENTRIES - 2, true), (ROSTER_ENTRIES - 1, true), (ROSTER_ENTRIES, false)]
    {
        let scene = scene();
        let phone = interested(&scene, "alice@a.example/phone");
        phone.ask(&put("<item jid='bob@b.example'/>"));
        scene.in_home("alice@a.example", move |turn| {
            let version = Version { entries, ..version(turn) };
            turn.put(&VERSION, &(), version);
        });
        phone.receive_all();
        let answer = phone.ask(&put("<item jid='carol@b.example'/>"));
        assert_eq!(answer.attribute("type") == Some("result"), fits, "{entries} entries");
        let asked = "<presence to='dave@b.example' type='subscribe' id='p'/>";
        phone.receive_all();
        phone.send(asked);
        let refused = phone.receive_all().iter().any(|stanza| stanza.stanza_error().is_some());
        assert_eq!(refused, entries + 1 >= ROSTER_ENTRIES, "{entries} entries");
        // What is there can still be changed.
        let answer = phone.ask(&put("<item jid='bob@b.example' name='Bob'/>"));
        assert_eq!(answer.attribute("type"), Some("result"));
    }
}

#[test]
fn the_oldest_removal_is_forgotten_first() {
    let scene = scene();
    let _phone = interested(&scene, "alice@a.example/phone");
    for (removals, floor) in
        [(ROSTER_TOMBSTONES - 1, 0), (ROSTER_TOMBSTONES, 0), (ROSTER_TOMBSTONES + 1, 2)]
    {
        let account = format!("alice{removals}@a.example");
        let _device = scene.session(&account);
        scene.in_home(&account, move |turn| {
            for at in 0..removals {
                let item = Item::new(BareJid::new(&format!("c{at}@b.example")).unwrap());
                save(turn, item.clone());
                remove(turn, item);
            }
            let version = version(turn);
            assert_eq!(version.floor, floor, "{removals} removals");
            assert_eq!(version.entries, 0);
            assert_eq!(version.tombstones, removals.min(ROSTER_TOMBSTONES));
            assert_eq!(turn.rows(&ITEMS).len() as u32, version.tombstones);
        });
    }
}

#[test]
fn counts_follow_entries_that_come_and_go_and_come_back() {
    let scene = scene();
    let _phone = interested(&scene, "alice@a.example/phone");
    scene.in_home("alice@a.example", |turn| {
        let item = Item::new(BareJid::new("bob@b.example").unwrap());
        save(turn, item.clone());
        save(turn, item.clone());
        assert_eq!((version(turn).entries, version(turn).tombstones), (1, 0));
        remove(turn, item.clone());
        assert_eq!((version(turn).entries, version(turn).tombstones), (0, 1));
        save(turn, item);
        assert_eq!((version(turn).entries, version(turn).tombstones), (1, 0));
    });
}

#[test]
fn the_roster_survives_a_crash() {
    let mut scene = scene();
    let phone = interested(&scene, "alice@a.example/phone");
    phone.ask(&put("<item jid='bob@b.example' name='Bob'/>"));
    scene.crash();
    let phone = scene.session("alice@a.example/phone");
    assert_eq!(roster(&phone), ["bob@b.example none"]);
}
