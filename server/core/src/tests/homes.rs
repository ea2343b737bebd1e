//! Reading homes, letting them go, and what happens above the bounds.

use std::time::Duration;

use super::*;
use crate::limits::{HOMES_IDLE, Limits};
use crate::testkit::Setting;

fn tight(limits: Limits) -> Setting {
    Setting { limits, shards: 1, ..Setting::default() }
}

#[test]
fn unused_homes_go_and_come_back_with_everything() {
    for accounts in [3, 4, 5] {
        let limits = Limits { homes_idle: 4, ..Limits::default() };
        let scene = Scene::set(tight(limits), cast);
        let names: Vec<String> = (0..accounts).map(|n| format!("user{n}@a.example")).collect();
        for name in &names {
            scene.account(name);
            let note = name.clone();
            scene.in_home(name, move |turn| turn.put(&NOTE, &(), note));
        }
        let before = scene.router().counters().loads;
        for name in &names {
            let note = scene.in_home(name, |turn| turn.get(&NOTE, &()));
            assert_eq!(note.as_deref(), Some(name));
        }
        let reads = scene.router().counters().loads - before;
        assert_eq!(reads > 0, accounts > 4, "{accounts} homes, {reads} reads");
    }
    assert_eq!(Limits::default().homes_idle, HOMES_IDLE);
}

#[test]
fn a_home_with_a_session_stays() {
    let limits = Limits { homes_idle: 1, ..Limits::default() };
    let scene = Scene::set(tight(limits), cast);
    let alice = scene.session("alice@a.example/x");
    for n in 0..5 {
        scene.account(&format!("user{n}@a.example"));
    }
    let loads = scene.router().counters().loads;
    alice.ask("<iq type='set'><note xmlns='urn:test:note'>milk</note></iq>");
    assert_eq!(scene.router().counters().loads, loads);
}

#[test]
fn a_home_is_not_forgotten_before_its_writes_are_durable() {
    let limits = Limits { homes_idle: 1, ..Limits::default() };
    let delay = Duration::from_millis(200);
    let scene = Scene::set(Setting { commit_delay: delay, ..tight(limits) }, cast);
    for name in ["alice@a.example", "bob@a.example", "carol@a.example"] {
        scene.account(name);
    }
    let router = scene.router();
    let seen = scene.block_on(async {
        let alice = BareJid::new("alice@a.example").unwrap();
        let write = router.in_home(&alice, |turn| turn.put(&NOTE, &(), "milk".to_owned()));
        let read = async {
            // Others come by and push alice's home out, while her write is under way.
            tokio::time::sleep(Duration::from_millis(1)).await;
            for name in ["bob@a.example", "carol@a.example", "bob@a.example"] {
                let other = BareJid::new(name).unwrap();
                router.in_home(&other, |_| ()).await.unwrap();
            }
            router.in_home(&alice, |turn| turn.get(&NOTE, &())).await.unwrap()
        };
        let (written, seen) = tokio::join!(write, read);
        written.unwrap();
        seen
    });
    assert_eq!(seen.as_deref().map(String::as_str), Some("milk"));
}

#[test]
fn an_account_that_was_made_by_another_process_can_bind() {
    let scene = scene();
    let alice = scene.session("alice@a.example/x");
    say(&alice, "late@a.example", "anybody there?");
    assert!(alice.receive().expect("an error").is_error());
    let store = scene.router().store().clone();
    let marker = Table::<(), ()>::account("scene_accounts", 1);
    let mut batch = longwire_store::Batch::new();
    batch.put(&marker, "late@a.example", &(), &());
    scene.block_on(store.commit(batch)).unwrap();
    let router = scene.router();
    let late = BareJid::new("late@a.example").unwrap();
    let bound = scene.block_on(router.bind(&late, None));
    assert!(bound.is_ok(), "{bound:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let scene = Scene::set(Setting { seed, shards: 3, ..Setting::default() }, cast);
        let devices: Vec<Device> =
            (0..5).map(|n| scene.session(&format!("user{n}@a.example"))).collect();
        for (n, device) in devices.iter().enumerate() {
            let to = format!("user{}@a.example", (n * 2 + 1) % 5);
            for body in ["file", "typing", "keep"] {
                let xml = format!("<message to='{to}'><body>{body}</body></message>");
                device.try_send(&xml).unwrap();
            }
        }
        scene.settle();
        let all = devices.iter().flat_map(Device::receive_all);
        all.map(|stanza| stanza.to_xml()).collect::<Vec<_>>()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8), "the generated resources follow the seed");
}

#[test]
fn what_waited_for_a_home_is_handled_in_order() {
    let mut scene = scene();
    scene.account("bob@b.example");
    scene.restart();
    let alice = scene.session("alice@a.example/x");
    let bodies: Vec<String> = (0..10).map(|n| format!("file {n}")).collect();
    for body in &bodies {
        let xml = format!("<message to='bob@b.example'><body>{body}</body></message>");
        alice.try_send(&xml).unwrap();
    }
    scene.settle();
    let filed = scene.in_home("bob@b.example", |turn| turn.rows(&FILED));
    let filed: Vec<String> = filed.iter().map(|(_, body)| body.to_string()).collect();
    assert_eq!(filed, bodies);
}

#[test]
fn a_stop_waits_for_what_goes_from_shard_to_shard() {
    let limits = Limits { shard_handoffs: 1, ..Limits::default() };
    let setting = Setting { limits, shards: 4, ..Setting::default() };
    let mut scene = Scene::set(setting, cast);
    let devices: Vec<Device> =
        (0..8).map(|n| scene.session(&format!("user{n}@a.example/x"))).collect();
    for device in &devices {
        device
            .try_send("<message to='x@a.example'><body>file</body><fan xmlns='urn:test'>8</fan></message>")
            .unwrap();
    }
    scene.restart();
    for device in &devices {
        assert_eq!(heard_now(device).len(), 8);
    }
    for n in 0..8 {
        let filed = scene.in_home(&format!("user{n}@a.example"), |turn| turn.rows(&FILED).len());
        assert_eq!(filed, 8);
    }
}

#[test]
fn a_stop_waits_for_the_journal_of_the_last_shard_that_a_stanza_reaches() {
    for to in 0..8 {
        let mut scene = Scene::set(Setting { shards: 4, ..Setting::default() }, cast);
        let alice = scene.session("alice@a.example/x");
        let other = scene.session(&format!("user{to}@a.example/x"));
        let xml = format!("<message to='user{to}@a.example'><body>file</body></message>");
        alice.try_send(&xml).unwrap();
        scene.restart();
        assert_eq!(heard_now(&other), ["file"], "user{to}");
    }
}

#[test]
fn a_stop_waits_for_homes_that_are_being_read() {
    let mut scene = scene();
    scene.account("bob@b.example");
    scene.restart();
    let alice = scene.session("alice@a.example/x");
    alice.try_send("<message to='bob@b.example'><body>file</body></message>").unwrap();
    scene.restart();
    assert_eq!(scene.in_home("bob@b.example", |turn| turn.rows(&FILED).len()), 1);
}
