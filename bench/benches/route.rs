//! What it costs to route a message: alice's session, her home, bob's home, the outbox of his
//! session; with the features of the server, on the in-memory store, without any connection.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longwire_accounts::{ACCOUNTS, account::Account};
use longwire_core::{
    Feature, Hosts, NoConfig, Outbox, Phase, Registrar, Registry, Router, RouterConfig, SessionRef,
    TokioClock, Turn,
};
use longwire_stanza::{BareJid, Jid, Kind, MessageType, PresenceType, Stanza};
use longwire_store::{Batch, MemoryOptions, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Messages on their way at once in the second benchmark.
const FLOCK: u64 = 64;

/// Thirty stages on each path that look at the message and do nothing.
struct Onlookers;

impl Onlookers {
    fn look(&self, turn: &mut Turn<'_>) {
        black_box(turn.stanza().kind());
    }
}

impl Feature for Onlookers {
    const NAME: &'static str = "onlookers";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        for phase in [Phase::Stamp, Phase::Archive, Phase::Index, Phase::Copy, Phase::Notify] {
            for _ in 0..6 {
                r.on_send(phase, &self, Self::look);
                r.on_receive(phase, &self, Self::look);
            }
        }
    }
}

fn registry(onlookers: bool) -> Registry {
    let mut registrar = Registrar::new();
    longwire_accounts::features(&mut registrar);
    longwire_im::features(&mut registrar);
    if onlookers {
        registrar.add::<Onlookers>();
    }
    registrar.finish().expect("features that fit together")
}

/// A router with alice and bob in it.
struct Site {
    runtime: Runtime,
    alice: (SessionRef, Outbox),
    bob: (SessionRef, Outbox),
    message: Stanza,
    _router: Router,
}

impl Site {
    fn new(onlookers: bool) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (router, alice, bob) = runtime.block_on(async {
            let registry = registry(onlookers);
            let store = Store::memory(&registry.tables(), MemoryOptions::default());
            let store = store.expect("a store");
            let mut batch = Batch::new();
            for name in ["alice", "bob"] {
                batch.put(&ACCOUNTS, jid(name).as_str(), &(), &Account { created: 0 });
            }
            store.commit(batch).await.expect("accounts");
            let hosts = Hosts::new([BareJid::new("a.example").expect("a domain")]);
            let config = RouterConfig { hosts, shards: 2, ..RouterConfig::default() };
            let clock = Arc::new(TokioClock::new(0));
            let router = Router::start(config, registry, store, clock, [7; 32]).await;
            let router = router.expect("a router");
            let alice = bind(&router, "alice").await;
            let bob = bind(&router, "bob").await;
            (router, alice, bob)
        });
        Self { runtime, alice, bob, message: message(), _router: router }
    }

    /// The time for `count` messages, `at_once` of them on their way at a time.
    fn send(&mut self, count: u64, at_once: u64) -> Duration {
        let Self { runtime, alice: (alice, _), bob: (_, outbox), message, .. } = self;
        runtime.block_on(async {
            let began = Instant::now();
            for _ in 0..count {
                for _ in 0..at_once {
                    alice.send(message.clone()).await.expect("the router runs");
                }
                for _ in 0..at_once {
                    black_box(outbox.recv().await.expect("the router runs"));
                }
            }
            began.elapsed()
        })
    }
}

fn jid(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@a.example")).expect("an address")
}

/// A session that has said that it is there, and has heard itself say so.
async fn bind(router: &Router, name: &str) -> (SessionRef, Outbox) {
    let (session, mut outbox) = router.bind(&jid(name), Some("desk")).await.expect("a session");
    let presence = Stanza::presence(PresenceType::Available).build();
    session.send(presence).await.expect("the router runs");
    while outbox.recv().await.is_some_and(|heard| heard.stanza.kind() != Kind::Presence) {}
    (session, outbox)
}

fn message() -> Stanza {
    let body = "Shall I compare thee to a summer's day? Thou art more lovely and more temperate";
    Stanza::message(MessageType::Chat).to(Jid::from(jid("bob"))).id("3f1e5d3c").body(body).build()
}

fn benches(c: &mut Criterion) {
    for (name, onlookers) in [("features of today", false), ("and 30 stages on each path", true)] {
        let mut site = Site::new(onlookers);
        let mut group = c.benchmark_group(format!("route a message/{name}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("one at a time", |b| b.iter_custom(|count| site.send(count, 1)));
        group.throughput(Throughput::Elements(FLOCK));
        group.bench_function("64 at a time", |b| b.iter_custom(|count| site.send(count, FLOCK)));
        group.finish();
    }
}

criterion_group!(route_benches, benches);
criterion_main!(route_benches);
