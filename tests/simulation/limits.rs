//! Limits that are about time, measured where time is exact.

use std::time::Duration;

use longwire_client::{CloseReason, Event, Streams};
use longwire_gateway::config::{ByteSize, Limits, Rate};
use longwire_stanza::{IqType, Jid, Payload, PresenceType, Stanza, StreamCondition, xep};
use longwire_tests::{
    sim::{Path, run},
    world::{World, body, chat, client_address, server_address},
};
use tokio::time::Instant;

const ONE_WAY: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_handshake_that_does_not_end_gives_its_place_back_in_time() {
    run(HOUR, async {
        let world = World::new(1, Path::new(ONE_WAY)).await;
        // The client never gets an answer.
        world.net.drop_window(server_address(), client_address(1), Duration::ZERO..HOUR);
        let login = world.login("alice", Streams::Many);
        let ((), attempt) = tokio::join!(
            async {
                let limit = Limits::default().handshake_time.duration();
                world.net.until(ONE_WAY + limit - Duration::from_millis(1)).await;
                assert_eq!(world.server.connections(), 1, "too early");
                world.net.until(ONE_WAY + limit + Duration::from_millis(5)).await;
                assert_eq!(world.server.connections(), 0, "too late");
                // Whatever the client sends later belongs to no connection, or to a new one.
                world.net.until(Duration::from_secs(300)).await;
                assert_eq!(world.server.connections(), 0, "a place is lost");
            },
            world.connect(1, login),
        );
        assert!(attempt.is_err());
    });
}

#[test]
fn an_account_gets_its_rate_and_nobody_else_waits_for_it() {
    const MESSAGES: usize = 200;
    const RATE: u64 = 10_000;
    const BURST: u64 = 16 * 1024;
    run(HOUR, async {
        let limits = Limits {
            account_rate: Rate::bytes_per_second(RATE),
            account_burst: ByteSize::bytes(BURST),
            ..Limits::default()
        };
        let world = World::limited(1, Path::new(ONE_WAY), limits).await;
        world.account("alice").await;
        world.account("carol").await;
        let (bob, mut heard) = world.local("bob").await;
        bob.send(Stanza::presence(PresenceType::Available).build()).await.unwrap();
        let alice = world.connect(1, world.login("alice", Streams::Many)).await.unwrap();
        let carol = world.connect(2, world.login("carol", Streams::Many)).await.unwrap();
        // Bytes that the login used are back.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let message = chat("bob", &"x".repeat(900));
        let bytes = (message.to_bytes().len() * MESSAGES) as u64;
        let start = Instant::now();
        let speak = async {
            for _ in 0..MESSAGES {
                alice.send(message.clone()).await.unwrap();
            }
        };
        let listen = async {
            let mut arrived = 0;
            while arrived < MESSAGES {
                arrived += usize::from(body(&heard.recv().await.unwrap().stanza).is_some());
            }
            start.elapsed()
        };
        let others = async {
            for _ in 0..20 {
                let asked = Instant::now();
                let ping = Stanza::iq(IqType::Get).child(xep::ping::Ping.element()).build();
                carol.request(ping).await.unwrap();
                let took = asked.elapsed();
                assert!(took <= ONE_WAY * 2 + Duration::from_millis(2), "carol waited {took:?}");
            }
        };
        let ((), took, ()) = tokio::join!(speak, listen, others);
        let exact = (bytes - BURST) as f64 / RATE as f64;
        let took = took.as_secs_f64();
        // A read is counted after it happened: the last ones come for nothing.
        assert!(took > exact * 0.8 && took < exact * 1.1, "{took} s instead of {exact} s");
    });
}

#[test]
fn a_client_that_was_busy_finds_what_had_arrived_before_the_server_left() {
    const MESSAGES: usize = 400;
    run(HOUR, async {
        let world = World::new(1, Path::new(ONE_WAY)).await;
        world.account("alice").await;
        let (bob, _outbox) = world.local("bob").await;
        let mut client = world.connect(1, world.login("alice", Streams::Many)).await.unwrap();
        let to = Jid::from(client.jid().clone());
        for number in 0..MESSAGES {
            bob.send(chat("alice", &number.to_string()).with_to(to.clone())).await.unwrap();
        }
        // It takes nothing while the server says goodbye and closes the connection.
        world.server.shutdown().await;
        for number in 0..MESSAGES {
            let Some(Event::Stanza { stanza, .. }) = client.next().await else {
                panic!("{number} messages of {MESSAGES}");
            };
            assert_eq!(body(&stanza).unwrap(), number.to_string());
        }
        let end = client.next().await;
        let Some(Event::Closed(CloseReason::PeerError(error))) = end else { panic!("{end:?}") };
        assert_eq!(error.condition, StreamCondition::SystemShutdown);
    });
}
