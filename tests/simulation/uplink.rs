//! A lost packet of one conversation delays no other: from the client to the server.

use std::{collections::BTreeMap, time::Duration};

use longwire_client::{Client, Streams};
use longwire_core::Outbox;
use longwire_stanza::{PresenceType, Stanza};
use longwire_tests::{
    sim::{Path, run},
    world::{World, body, chat, client_address, server_address},
};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
/// Half of the round trip of 300 ms.
const ONE_WAY: Duration = Duration::from_millis(150);
/// Alice's contacts; the first one is A.
const CONTACTS: u32 = 20;
/// A round: alice speaks to A in its first milliseconds, then to the others, one by one.
const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: u32 = 20;
/// How long she speaks to nobody but A.
const ALONE: Duration = Duration::from_millis(8);
/// The milliseconds in which the packets with the words for A leave.
const LEAVES: Duration = Duration::from_millis(2);

/// Time from saying to hearing, by (contact, round).
type Delays = BTreeMap<(u32, u32), Duration>;

fn slot(contact: u32, round: u32) -> Duration {
    let own = if contact == 0 { Duration::ZERO } else { ALONE + 8 * MS * contact };
    ROUND * round + own
}

fn name(contact: u32) -> String {
    format!("c{contact}")
}

async fn measure(streams: Streams, drops: bool) -> Delays {
    let world = World::new(1, Path::new(ONE_WAY).rate(50_000_000, 1 << 20)).await;
    world.account("alice").await;
    let (mut sessions, mut outboxes) = (Vec::new(), Vec::new());
    for contact in 0..CONTACTS {
        let (session, outbox) = world.local(&name(contact)).await;
        session.send(Stanza::presence(PresenceType::Available).build()).await.unwrap();
        sessions.push(session);
        outboxes.push(outbox);
    }
    let client = world.connect(1, world.login("alice", streams)).await.unwrap();
    // Every conversation has its stream before anything is lost.
    for contact in 0..CONTACTS {
        client.send(chat(&name(contact), "hello")).await.unwrap();
    }
    for outbox in &mut outboxes {
        while hear(outbox).await != "hello" {}
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (start, origin) = (Instant::now(), world.net.now());
    if drops {
        for round in 0..ROUNDS {
            let from = origin + slot(0, round);
            world.net.drop_window(client_address(1), server_address(), from..from + LEAVES);
        }
    }
    let listening: Vec<_> = outboxes
        .into_iter()
        .zip(0..)
        .map(|(outbox, contact)| tokio::spawn(listen(outbox, contact, start)))
        .collect();
    speak(&client, start).await;
    let mut delays = Delays::new();
    for listening in listening {
        delays.extend(listening.await.unwrap());
    }
    delays
}

async fn speak(client: &Client, start: Instant) {
    for round in 0..ROUNDS {
        for contact in 0..CONTACTS {
            tokio::time::sleep_until(start + slot(contact, round)).await;
            client.send(chat(&name(contact), &round.to_string())).await.unwrap();
        }
    }
}

/// The next text.
async fn hear(outbox: &mut Outbox) -> String {
    loop {
        let outbound = outbox.recv().await.unwrap();
        if let Some(text) = body(&outbound.stanza) {
            return text;
        }
    }
}

async fn listen(mut outbox: Outbox, contact: u32, start: Instant) -> Delays {
    let mut delays = Delays::new();
    for round in 0..ROUNDS {
        assert_eq!(hear(&mut outbox).await, round.to_string(), "{contact}: out of order");
        delays.insert((contact, round), (start + slot(contact, round)).elapsed());
    }
    delays
}

fn compare(streams: Streams) -> (Delays, Delays) {
    let limit = Duration::from_secs(600);
    (run(limit, measure(streams, false)), run(limit, measure(streams, true)))
}

#[test]
fn lost_words_for_one_contact_delay_those_for_no_other() {
    for streams in [Streams::Many, Streams::Untyped] {
        let (clean, lossy) = compare(streams);
        for ((contact, round), delay) in &lossy {
            if *contact > 0 {
                let before = clean[&(*contact, *round)];
                // One packet time: the timers of the simulation have whole milliseconds.
                let same = *delay <= before + MS;
                assert!(same, "{contact} in round {round}: {before:?} -> {delay:?}");
            } else {
                // Found lost after three later packets or 9/8 of a round trip, then sent again.
                let recovery = 2 * ONE_WAY * 9 / 8 + ROUND;
                assert!(*delay >= ONE_WAY * 2, "round {round} was not lost: {delay:?}");
                assert!(*delay <= ONE_WAY + recovery, "A in round {round}: {delay:?}");
            }
        }
    }
}

#[test]
fn on_one_stream_everybody_waits_for_the_lost_words() {
    let (clean, lossy) = compare(Streams::One);
    let late = |(key, delay): &(&(u32, u32), &Duration)| **delay > clean[*key] + 50 * MS;
    let late = lossy.iter().filter(|entry| entry.0.0 > 0).filter(late).count();
    let others = lossy.len() - usize::try_from(ROUNDS).unwrap();
    assert!(late * 2 > others, "only {late} of {others} messages were late");
}
