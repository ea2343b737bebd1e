//! Order per Bare JID Pair, while streams are opened, refused, retired and used again.

use std::{collections::BTreeMap, time::Duration};

use longwire_client::{Client, Config as Login, Event, Streams};
use longwire_core::{Outbox, SessionRef};
use longwire_stanza::Jid;
use longwire_tests::{
    sim::{Path, each_seed, run},
    world::{World, body, chat},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// More conversations than streams.
const CONVERSATIONS: usize = 9;
const GRANTED: u32 = 3;
const BURSTS: u32 = 4;
const BURST: u32 = 4;
const TOTAL: u32 = BURSTS * BURST;

#[test]
fn every_pair_keeps_its_order() {
    each_seed(0..1000, |seed| run(Duration::from_secs(3600), scenario(seed)));
}

/// A link that loses, reorders, and is away for longer than a lane takes to fall quiet: what was
/// said last is still on its way when its lane is retired.
fn path(seed: u64) -> Path {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut path =
        Path::new(Duration::from_millis(60)).jitter(Duration::from_millis(50)).loss(0.05);
    for second in [1, 5, 9] {
        let start = Duration::from_millis(second * 1000 + random.random_range(0..2000));
        path = path.outage(start..start + Duration::from_millis(random.random_range(1000..2000)));
    }
    path
}

async fn scenario(seed: u64) {
    let world = World::new(seed, path(seed)).await;
    world.account("alice").await;
    let mut contacts = Vec::new();
    for number in 0..CONVERSATIONS {
        contacts.push(world.local(&format!("c{number}")).await);
    }
    let streams = if seed.is_multiple_of(2) { Streams::Many } else { Streams::Untyped };
    let mut login = world.login("alice", streams);
    login.streams_granted = GRANTED;
    let mut client = connect(&world, &login).await;
    let to = Jid::from(client.jid().clone());
    let sender = client.sender();
    let (sessions, outboxes): (Vec<_>, Vec<_>) = contacts.into_iter().unzip();
    // Contacts must be there for alice's messages.
    for session in &sessions {
        let presence = longwire_stanza::Stanza::presence(longwire_stanza::PresenceType::Available);
        session.send(presence.build()).await.unwrap();
    }
    let outward = async {
        let mut random = Pcg64::seed_from_u64(seed);
        for count in 0..TOTAL {
            for number in 0..CONVERSATIONS {
                sender.send(chat(&format!("c{number}"), &count.to_string())).await.unwrap();
            }
            pause(&mut random, count).await;
        }
    };
    tokio::join!(speak(&sessions, &to, seed), listen(&mut client), outward, async {
        for outbox in outboxes {
            listen_inside(outbox).await;
        }
    },);
}

/// A handshake that meets an outage may take longer than the server waits: then again.
async fn connect(world: &World, login: &Login) -> Client {
    for attempt in 1.. {
        if let Ok(client) = world.connect(attempt, login.clone()).await {
            return client;
        }
    }
    panic!("no connection");
}

/// Between bursts long enough for lanes to fall quiet, within them hardly at all.
async fn pause(random: &mut Pcg64, count: u32) {
    let millis = match (count + 1) % BURST {
        0 => random.random_range(900..2500),
        _ => random.random_range(0..300),
    };
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn speak(sessions: &[SessionRef], to: &Jid, seed: u64) {
    let mut random = Pcg64::seed_from_u64(!seed);
    let mut counts = vec![0_u32; sessions.len()];
    while counts.iter().any(|count| *count < TOTAL) {
        let number = random.random_range(0..sessions.len());
        if counts[number] < TOTAL {
            let text = counts[number].to_string();
            sessions[number].send(chat("alice", &text).with_to(to.clone())).await.unwrap();
            counts[number] += 1;
        }
        let total: u32 = counts.iter().sum();
        pause(&mut random, total / u32::try_from(sessions.len()).unwrap()).await;
    }
}

async fn listen(client: &mut Client) {
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    let mut received = 0;
    while received < TOTAL * u32::try_from(CONVERSATIONS).unwrap() {
        let Some(Event::Stanza { stanza, .. }) = client.next().await else { panic!("lost") };
        let Some(text) = body(&stanza) else { continue };
        let from = stanza.from().unwrap().bare().to_string();
        let expected = next.entry(from.clone()).or_default();
        assert_eq!(text, expected.to_string(), "from {from}");
        *expected += 1;
        received += 1;
    }
}

async fn listen_inside(mut outbox: Outbox) {
    let mut expected = 0;
    while expected < TOTAL {
        let outbound = outbox.recv().await.unwrap();
        let Some(text) = body(&outbound.stanza) else { continue };
        assert_eq!(text, expected.to_string());
        expected += 1;
    }
}
