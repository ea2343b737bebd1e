//! Every bound of the router: one below it, at it, and one above.

use std::sync::Mutex;
use std::task::{Context, Waker};

use longwire_stanza::Condition;

use super::*;
use crate::event::Event;
use crate::limits::{
    BACKLOG, EVENTS, LOADING, Limits, SHARD_HANDOFFS, SHARD_INPUT, WAITING, WAITING_DURABLE,
};
use crate::testkit::Setting;

fn tight(limits: Limits) -> Setting {
    Setting { limits, shards: 1, ..Setting::default() }
}

#[test]
fn the_limits_in_force_are_the_named_ones() {
    let limits = Limits::default();
    assert_eq!(
        [
            (limits.backlog, BACKLOG),
            (limits.loading, LOADING),
            (limits.shard_handoffs, SHARD_HANDOFFS),
            (limits.shard_input, SHARD_INPUT),
            (limits.waiting, WAITING),
            (limits.waiting_durable, WAITING_DURABLE),
        ]
        .map(|(value, name)| value == name),
        [true; 6]
    );
}

/// A scene in which Alice has a session, and the homes of the other accounts are not in memory.
fn cold(limits: Limits, accounts: &[String]) -> (Scene, Device) {
    let mut scene = Scene::set(tight(limits), cast);
    scene.account("alice@a.example");
    accounts.iter().for_each(|account| scene.account(account));
    scene.restart();
    let alice = scene.session("alice@a.example/x");
    (scene, alice)
}

/// How many of Alice's stanzas came back with `resource-constraint`.
fn refused(alice: &Device) -> usize {
    let answers = alice.receive_all();
    assert!(answers.iter().all(|answer| {
        answer.stanza_error().map(|error| error.condition) == Some(Condition::ResourceConstraint)
    }));
    answers.len()
}

#[test]
fn so_many_stanzas_wait_for_a_home_and_no_more() {
    for (count, over) in [(7, 0), (8, 0), (9, 1)] {
        let limits = Limits { waiting: 8, ..Limits::default() };
        let (scene, alice) = cold(limits, &["bob@a.example".to_owned()]);
        for _ in 0..count {
            alice.try_send("<message to='bob@a.example'><body>file</body></message>").unwrap();
        }
        assert_eq!(refused(&alice), over, "{count}");
        let filed = scene.in_home("bob@a.example", |turn| turn.rows(&FILED).len());
        assert_eq!(filed, count - over);
    }
}

#[test]
fn so_many_durable_handoffs_wait_for_a_home_and_the_rest_for_the_next_start() {
    for (count, over) in [(3, 0), (4, 0), (5, 1)] {
        let limits = Limits { waiting_durable: 4, waiting: 0, ..Limits::default() };
        let (mut scene, alice) = cold(limits, &["bob@a.example".to_owned()]);
        for _ in 0..count {
            alice.try_send("<presence type='subscribe' to='bob@a.example'/>").unwrap();
        }
        scene.settle();
        let times = |scene: &Scene| {
            scene.in_home("bob@a.example", |turn| {
                *turn.get(&ASKING, &"alice@a.example".to_owned()).expect("a request")
            })
        };
        assert_eq!(times(&scene), count - over);
        assert_eq!(scene.router().counters().postponed, over);
        scene.crash();
        assert_eq!(times(&scene), count);
    }
}

#[test]
fn so_many_homes_are_being_read_and_no_more() {
    for (count, over) in [(3, 0), (4, 0), (5, 1)] {
        let accounts: Vec<String> = (0..count).map(|n| format!("user{n}@a.example")).collect();
        let limits = Limits { loading: 4, loads: 2, ..Limits::default() };
        let (_scene, alice) = cold(limits, &accounts);
        for account in &accounts {
            alice
                .try_send(&format!("<message to='{account}'><body>file</body></message>"))
                .unwrap();
        }
        assert_eq!(refused(&alice), over, "{count}");
    }
}

#[test]
fn so_many_homes_are_read_at_the_same_time_and_no_more() {
    for (count, at_once) in [(1, 1), (2, 2), (3, 2)] {
        let accounts: Vec<String> = (0..count).map(|n| format!("user{n}@a.example")).collect();
        let (scene, alice) = cold(Limits { loads: 2, ..Limits::default() }, &accounts);
        alice.send(&format!(
            "<message to='x@a.example'><fan xmlns='urn:test'>{count}</fan></message>"
        ));
        assert_eq!(scene.router().counters().loads_at_once, at_once, "{count}");
    }
}

#[test]
fn so_many_handoffs_are_kept_for_a_shard_and_no_more() {
    for (count, over) in [(7, 0), (8, 0), (9, 1)] {
        let accounts: Vec<String> = (0..count).map(|n| format!("user{n}@a.example")).collect();
        let (scene, alice) = cold(Limits { backlog: 8, ..Limits::default() }, &accounts);
        alice.send(&format!(
            "<message to='x@a.example'><fan xmlns='urn:test'>{count}</fan></message>"
        ));
        assert_eq!(scene.router().counters().dropped, over, "{count}");
        alice.expect_nothing();
    }
}

#[test]
fn a_full_channel_between_shards_loses_nothing_and_blocks_nobody() {
    for shard_handoffs in [1, 2, 3] {
        // One turn's handoffs fit; a shard that has any of them left takes no further stanza.
        let limits = Limits { shard_input: 2, shard_handoffs, backlog: 8, ..Limits::default() };
        let scene = Scene::set(Setting { limits, shards: 4, ..Setting::default() }, cast);
        let devices: Vec<Device> =
            (0..8).map(|n| scene.session(&format!("user{n}@a.example/x"))).collect();
        for round in 0..10 {
            for device in &devices {
                let xml = format!(
                    "<message to='user0@a.example'><body>{round}</body>\
                     <fan xmlns='urn:test'>8</fan></message>"
                );
                device.try_send(&xml).unwrap();
            }
        }
        scene.settle();
        for device in &devices {
            assert_eq!(heard_now(device).len(), 10 * devices.len());
        }
        assert_eq!(scene.router().counters().dropped, 0);
    }
}

#[test]
fn a_connection_waits_when_its_shard_has_so_much_to_do() {
    let scene = Scene::set(tight(Limits { shard_input: 3, ..Limits::default() }), cast);
    scene.account("alice@a.example");
    let router = scene.router();
    let alice = BareJid::new("alice@a.example").unwrap();
    let waits = scene.block_on(async {
        let (session, _outbox) = router.bind(&alice, None).await.unwrap();
        // The shard does not run before this block waits for something.
        (0..4)
            .map(|_| {
                let stanza =
                    longwire_stanza::Stanza::message(longwire_stanza::MessageType::Chat).build();
                let mut sending = std::pin::pin!(session.send(stanza));
                let mut context = Context::from_waker(Waker::noop());
                sending.as_mut().poll(&mut context).is_pending()
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(waits, [false, false, false, true]);
}

/// Counts what it is told.
#[derive(Default)]
struct Count(Mutex<usize>);

struct Tick;

impl Event for Tick {}

impl Feature for Count {
    const NAME: &'static str = "count";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self::default()
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.on(&self, |count: &Self, turn, _: &Tick| {
            *count.0.lock().unwrap() += 1;
            let counted = *count.0.lock().unwrap() as u64;
            turn.put(&TICKS, &(), counted);
        });
        r.table(&TICKS);
    }
}

const TICKS: Table<(), u64> = Table::account("ticks", 1);

#[test]
fn so_many_events_are_told_in_a_turn_and_no_more() {
    for (count, told) in [(EVENTS - 1, EVENTS - 1), (EVENTS, EVENTS), (EVENTS + 1, EVENTS)] {
        let scene = Scene::with(|r| {
            r.add::<Count>();
        });
        scene.in_home("alice@a.example", move |turn| {
            (0..count).for_each(|_| turn.emit(Tick));
        });
        let ticks = scene.in_home("alice@a.example", |turn| turn.get(&TICKS, &()));
        assert_eq!(ticks.map(|ticks| *ticks), Some(told as u64));
    }
}

#[test]
fn a_job_that_panics_says_so() {
    let scene = scene();
    let router = scene.router();
    let alice = BareJid::new("alice@a.example").unwrap();
    let job = scene.block_on(router.in_home(&alice, |turn| {
        turn.put(&NOTE, &(), "half".to_owned());
        panic!("a planted fault");
    }));
    let _: Result<(), _> = job;
    assert_eq!(job, Err(crate::JobError::Panicked));
    assert!(scene.in_home("alice@a.example", |turn| turn.get(&NOTE, &()).is_none()));
}

#[test]
fn a_store_without_the_features_tables_is_refused() {
    let scene = scene();
    let registry = Scene::registry(cast);
    let tables: Vec<_> =
        registry.tables().into_iter().filter(|table| table.name != "notes").collect();
    let refused = scene.block_on(async {
        let store = longwire_store::Store::memory(&tables, Default::default()).unwrap();
        let clock = Arc::new(crate::TokioClock::new(0));
        crate::Router::start(crate::RouterConfig::default(), registry, store, clock, [0; 32]).await
    });
    assert!(matches!(refused, Err(crate::StartError::Table("notes"))));
}
