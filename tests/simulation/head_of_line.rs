//! A lost packet of one conversation delays no other.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use longwire_client::{Client, Event, Streams};
use longwire_core::SessionRef;
use longwire_stanza::{Jid, Stanza};
use longwire_tests::{
    sim::{Path, run},
    world::{World, body, chat, client_address, server_address},
};

const MS: Duration = Duration::from_millis(1);
/// Half of the round trip of 300 ms.
const ONE_WAY: Duration = Duration::from_millis(150);
/// Conversations with alice; the first one is A.
const CONVERSATIONS: usize = 20;
/// A round: A speaks in its first milliseconds, then the others, one after the other.
const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: u32 = 20;
/// How long A speaks alone.
const SPEAKS_ALONE: Duration = Duration::from_millis(8);
/// How long the client may wait with an acknowledgement (RFC 9000 §18.2).
const ACK_DELAY: Duration = Duration::from_millis(25);
/// The milliseconds in which the packets with A's words leave.
const LEAVES: Duration = Duration::from_millis(2);

/// Arrival of each message after it was sent, by (conversation, round).
type Delays = BTreeMap<(usize, u32), Duration>;

async fn measure(streams: Streams, drops: bool) -> Delays {
    let world = World::new(1, Path::new(ONE_WAY).rate(50_000_000, 1 << 20)).await;
    world.account("alice").await;
    let mut speakers = Vec::new();
    for number in 0..CONVERSATIONS {
        speakers.push(world.local(&format!("c{number}")).await);
    }
    let mut client = world.connect(1, world.login("alice", streams)).await.unwrap();
    // Every conversation has its stream before anything is lost.
    let to = Jid::from(client.jid().clone());
    for (speaker, _) in &speakers {
        speaker.send(chat("alice", "hello").with_to(to.clone())).await.unwrap();
    }
    for _ in &speakers {
        client.next().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = tokio::time::Instant::now();
    let origin = world.net.now();
    if drops {
        for round in 0..ROUNDS {
            let from = origin + ROUND * round;
            world.net.drop_window(server_address(), client_address(1), alone(from));
        }
    }
    let sessions: Vec<_> = speakers.iter().map(|(session, _)| session).collect();
    let (delays, ()) = tokio::join!(listen(&mut client, start), speak(&sessions, &to, start));
    delays
}

fn alone(from: Duration) -> Range<Duration> {
    from..from + LEAVES
}

/// When conversation `number` speaks in a round: A first and alone, the others after it.
fn slot(number: usize) -> Duration {
    match number {
        0 => Duration::ZERO,
        number => SPEAKS_ALONE + 8 * MS * u32::try_from(number).unwrap(),
    }
}

async fn speak(sessions: &[&SessionRef], to: &Jid, start: tokio::time::Instant) {
    for round in 0..ROUNDS {
        for (number, session) in sessions.iter().enumerate() {
            let at = ROUND * round + slot(number);
            tokio::time::sleep_until(start + at).await;
            let text = format!("{number} {round}");
            session.send(chat("alice", &text).with_to(to.clone())).await.unwrap();
        }
    }
}

async fn listen(client: &mut Client, start: tokio::time::Instant) -> Delays {
    let mut delays = Delays::new();
    while delays.len() < CONVERSATIONS * usize::try_from(ROUNDS).unwrap() {
        let Some(Event::Stanza { stanza, .. }) = client.next().await else { panic!("lost") };
        let (number, round) = read(&stanza);
        let sent = start + ROUND * round + slot(number);
        assert!(delays.insert((number, round), sent.elapsed()).is_none(), "doubled");
    }
    delays
}

fn read(stanza: &Stanza) -> (usize, u32) {
    let text = body(stanza).unwrap();
    let (number, round) = text.split_once(' ').unwrap();
    (number.parse().unwrap(), round.parse().unwrap())
}

fn compare(streams: Streams) -> (Delays, Delays) {
    let limit = Duration::from_secs(600);
    (run(limit, measure(streams, false)), run(limit, measure(streams, true)))
}

#[test]
fn lost_packets_of_one_conversation_delay_no_other() {
    let (clean, lossy) = compare(Streams::Many);
    for ((number, round), delay) in &lossy {
        if *number > 0 {
            let before = clean[&(*number, *round)];
            // One packet time: the timers of the simulation have whole milliseconds.
            assert!(*delay <= before + MS, "{number} in round {round}: {before:?} -> {delay:?}");
        } else {
            // Found lost after three later packets or 9/8 of a round trip, then sent again.
            let recovery = 2 * ONE_WAY * 9 / 8 + ACK_DELAY;
            assert!(*delay >= ONE_WAY * 2, "A's packet in round {round} was not lost: {delay:?}");
            assert!(*delay <= ONE_WAY + recovery, "A in round {round}: {delay:?}");
        }
    }
}

#[test]
fn on_one_stream_the_others_wait_for_the_lost_packet() {
    let (clean, lossy) = compare(Streams::One);
    let late = |(key, delay): &(&(usize, u32), &Duration)| **delay > clean[*key] + 50 * MS;
    let late = lossy.iter().filter(|entry| entry.0.0 > 0).filter(late).count();
    let others = lossy.len() - usize::try_from(ROUNDS).unwrap();
    assert!(late * 2 > others, "only {late} of {others} messages were late");
}
