//! What was said before the end of a session arrives, though the end itself could overtake it.

use std::time::Duration;

use longwire_client::{Client, CloseReason, Event, Streams};
use longwire_stanza::{Jid, StreamCondition};
use longwire_tests::{
    sim::{Path, each_seed, run},
    world::{World, body, chat},
};

/// Conversations with alice, each on a stream of its own.
const CONVERSATIONS: usize = 10;

/// Jitter lets the closing tag on the Primary stream overtake the messages on the others.
fn path() -> Path {
    Path::new(Duration::from_millis(60)).jitter(Duration::from_millis(50)).loss(0.1)
}

/// Who ends the session.
#[derive(Clone, Copy)]
enum End {
    /// Another session takes the resource.
    Conflict,
    /// The server stops.
    Shutdown,
}

async fn ended_session(seed: u64, end: End) {
    let world = World::new(seed, path()).await;
    world.account("alice").await;
    let mut speakers = Vec::new();
    for number in 0..CONVERSATIONS {
        speakers.push(world.local(&format!("c{number}")).await);
    }
    let mut client = connect(&world).await;
    let to = Jid::from(client.jid().clone());
    for (number, (speaker, _)) in speakers.iter().enumerate() {
        speaker.send(chat("alice", &number.to_string()).with_to(to.clone())).await.unwrap();
    }
    let resource = client.jid().resource().to_owned();
    let listening = listen(&mut client);
    match end {
        End::Conflict => {
            let account = to.bare();
            let router = world.server.router();
            let (bound, condition) =
                tokio::join!(router.bind(&account, Some(&resource)), listening);
            bound.unwrap();
            assert_eq!(condition, StreamCondition::Conflict);
        }
        End::Shutdown => {
            let ((), condition) = tokio::join!(world.server.shutdown(), listening);
            assert_eq!(condition, StreamCondition::SystemShutdown);
        }
    }
}

/// A handshake on such a link may take longer than the server waits: then again.
async fn connect(world: &World) -> Client {
    for attempt in 1.. {
        if let Ok(client) = world.connect(attempt, world.login("alice", Streams::Many)).await {
            return client;
        }
    }
    panic!("no connection");
}

/// Takes everything up to the end, which must not come before the last message.
async fn listen(client: &mut Client) -> StreamCondition {
    let mut heard = Vec::new();
    loop {
        match client.next().await {
            Some(Event::Stanza { stanza, .. }) => heard.extend(body(&stanza)),
            Some(Event::Closed(CloseReason::PeerError(error))) => {
                assert_eq!(heard.len(), CONVERSATIONS, "the end overtook messages: {heard:?}");
                return error.condition;
            }
            other => panic!("{other:?} after {heard:?}"),
        }
    }
}

#[test]
fn a_replaced_session_gets_what_was_said_before() {
    each_seed(0..50, |seed| {
        run(Duration::from_secs(3600), ended_session(seed, End::Conflict));
    });
}

#[test]
fn a_stopping_server_delivers_what_it_has_taken() {
    each_seed(0..50, |seed| {
        run(Duration::from_secs(3600), ended_session(seed, End::Shutdown));
    });
}
