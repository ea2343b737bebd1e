//! Two clients and a server: what an outage does to them, and that a run repeats itself.

use std::{collections::BTreeSet, ops::Range, time::Duration};

use longwire_client::{Client, Event, Streams};
use longwire_stanza::{IqType, Payload, PresenceType, Stanza, xep};
use longwire_tests::{
    sim::{Path, each_seed, run},
    world::{World, body, chat, client_address, server_address},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const HOUR: Duration = Duration::from_secs(3600);
const MESSAGES: u32 = 80;
/// Nothing passes between alice and the server for 20 seconds.
const OUTAGE: Range<Duration> = Duration::from_secs(10)..Duration::from_secs(30);

fn path() -> Path {
    Path::new(Duration::from_millis(150)).jitter(Duration::from_millis(20)).loss(0.02)
}

/// What a run looked like.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// Everything that the network did.
    trace: u64,
    /// When it was over.
    end: Duration,
    /// Messages that reached alice while she was away from the network.
    in_outage: usize,
}

async fn enter(world: &World, number: u8, name: &str, streams: Streams) -> Client {
    world.account(name).await;
    let client = world.connect(number, world.login(name, streams)).await.unwrap();
    client.send(Stanza::presence(PresenceType::Available).build()).await.unwrap();
    let ping = Stanza::iq(IqType::Get).child(xep::ping::Ping.element()).build();
    client.request(ping).await.unwrap();
    client
}

/// Says numbers to somebody, with pauses of half a second on average.
async fn speak(client: &longwire_client::Sender, to: &str, seed: u64) {
    let mut random = Pcg64::seed_from_u64(seed);
    for number in 0..MESSAGES {
        client.send(chat(to, &number.to_string())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1000))).await;
    }
}

/// The next text that somebody says.
async fn hear(client: &mut Client) -> String {
    loop {
        let Some(Event::Stanza { stanza, .. }) = client.next().await else { panic!("lost") };
        if let Some(text) = body(&stanza) {
            return text;
        }
    }
}

/// Hears all numbers in their order, each once; when they came.
async fn listen(client: &mut Client, world: &World) -> Vec<Duration> {
    let mut heard = Vec::new();
    while heard.len() < MESSAGES as usize {
        let text = hear(client).await;
        assert_eq!(text, heard.len().to_string(), "lost, doubled or out of order");
        heard.push(world.net.now());
    }
    heard
}

async fn conversation(seed: u64) -> Run {
    let world = World::new(seed, path()).await;
    let streams = [Streams::Many, Streams::Untyped, Streams::One];
    let streams = |who: u64| streams[usize::try_from((seed + who) % 3).unwrap()];
    let mut alice = enter(&world, 1, "alice", streams(0)).await;
    let mut bob = enter(&world, 2, "bob", streams(1)).await;
    assert!(world.net.now() < OUTAGE.start, "the logins took {:?}", world.net.now());
    let away = path().outage(OUTAGE);
    world.net.paths(server_address(), client_address(1), away);
    let (of_alice, of_bob) = (alice.sender(), bob.sender());
    let ((), (), by_alice, _) = tokio::join!(
        speak(&of_alice, "bob", seed),
        speak(&of_bob, "alice", !seed),
        listen(&mut alice, &world),
        listen(&mut bob, &world),
    );
    // What left before the outage may arrive in its first moments, and nothing else.
    let quiet = OUTAGE.start + Duration::from_millis(200)..OUTAGE.end;
    let in_outage = by_alice.iter().filter(|at| quiet.contains(*at)).count();
    assert!(by_alice.iter().any(|at| *at > OUTAGE.end), "the outage came too late");
    Run { trace: world.net.trace_hash(), end: world.net.now(), in_outage }
}

#[test]
fn twenty_seconds_without_a_network_lose_nothing_double_nothing_and_keep_the_order() {
    each_seed(0..30, |seed| {
        let done = run(HOUR, conversation(seed));
        assert_eq!(done.in_outage, 0, "there was no outage");
        // A probe every few seconds finds the network again: RFC 9002 §6.2.
        assert!(done.end < Duration::from_secs(90), "{done:?}");
    });
}

#[test]
fn equal_seeds_give_equal_worlds_and_others_do_not() {
    let mut traces = BTreeSet::new();
    each_seed(0..6, |seed| {
        let first = run(HOUR, conversation(seed));
        for _ in 0..3 {
            assert_eq!(run(HOUR, conversation(seed)), first);
        }
        assert!(traces.insert(first.trace), "another seed gave the same trace");
    });
}

/// Two clients that fill a narrow line with long messages.
async fn busy(seed: u64) -> u64 {
    let path = Path::new(Duration::from_millis(100)).rate(1_000_000, 32_000).loss(0.01);
    let world = World::new(seed, path).await;
    let mut alice = enter(&world, 1, "alice", Streams::Many).await;
    let mut bob = enter(&world, 2, "bob", Streams::Many).await;
    let (of_alice, of_bob) = (alice.sender(), bob.sender());
    let speak = async |sender: &longwire_client::Sender, to: &str| {
        for number in 0..MESSAGES {
            let text = format!("{number} {}", "x".repeat(10_000));
            sender.send(chat(to, &text)).await.unwrap();
        }
    };
    let listen = async |client: &mut Client| {
        for number in 0..MESSAGES {
            let text = hear(client).await;
            assert!(text.starts_with(&format!("{number} ")), "out of order");
        }
    };
    tokio::join!(
        speak(&of_alice, "bob"),
        speak(&of_bob, "alice"),
        listen(&mut alice),
        listen(&mut bob),
    );
    world.net.trace_hash()
}

#[test]
fn a_busy_world_repeats_itself_as_well() {
    each_seed(0..3, |seed| {
        let first = run(HOUR, busy(seed));
        for _ in 0..3 {
            assert_eq!(run(HOUR, busy(seed)), first);
        }
    });
}
