//! A client's life, against the smallest server there is: requests, endings, losses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use std::pin::pin;

use longwire_client::{
    Client, CloseReason, ConnectError, Disconnected, Event, Transport, limits,
    stanza::{IqType, Jid, MessageType, Payload, Stanza, xep},
};
use server::{ALICE, attempt, certificate, pair};

const TRANSPORTS: [Transport; 2] = [Transport::Quic, Transport::Plaintext];

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

fn message(to: &str, body: &str) -> Stanza {
    Stanza::message(MessageType::Chat).to(jid(to)).body(body).build()
}

fn ping(to: &str) -> Stanza {
    Stanza::iq(IqType::Get).to(jid(to)).child(xep::ping::Ping.element()).build()
}

async fn body(client: &mut Client) -> String {
    match client.next().await {
        Some(Event::Stanza { stanza, .. }) => stanza.child_text("body").unwrap().into_owned(),
        other => panic!("no message but {other:?}"),
    }
}

#[tokio::test]
async fn what_was_sent_before_the_client_is_dropped_arrives_before_the_end() {
    for transport in TRANSPORTS {
        let (client, mut peer) = pair(transport).await;
        for number in 0..60 {
            let to = format!("peer{}@localhost", number % 6);
            client.send(message(&to, &number.to_string())).await.unwrap();
        }
        // The other handle does not keep the session.
        let sender = client.sender();
        drop(client);
        let (mut bodies, reason) = peer.rest().await;
        bodies.sort_by_key(|body| body.parse::<u32>().unwrap());
        assert_eq!(bodies, (0..60).map(|n| n.to_string()).collect::<Vec<_>>(), "{transport:?}");
        assert!(matches!(reason, CloseReason::PeerClosed), "{transport:?}: {reason:?}");
        assert_eq!(sender.send(message("bob@localhost", "late")).await, Err(Disconnected));
    }
}

#[tokio::test]
async fn closing_waits_until_everything_was_said() {
    for transport in TRANSPORTS {
        let (client, mut peer) = pair(transport).await;
        client.send(message("bob@localhost", "goodbye")).await.unwrap();
        let ((), (bodies, reason)) = tokio::join!(client.close(), peer.rest());
        assert_eq!(bodies, ["goodbye"], "{transport:?}");
        assert!(matches!(reason, CloseReason::PeerClosed), "{transport:?}: {reason:?}");
    }
}

#[tokio::test]
async fn a_lost_transport_is_told_and_ends_requests() {
    for transport in TRANSPORTS {
        let (mut client, mut peer) = pair(transport).await;
        let sender = client.sender();
        let request = tokio::spawn(async move { sender.request(ping("bob@localhost")).await });
        peer.stanza().await;
        peer.vanish().await;
        assert_eq!(request.await.unwrap().err(), Some(Disconnected), "{transport:?}");
        let event = client.next().await;
        let is_lost = matches!(event, Some(Event::Closed(CloseReason::Lost)));
        assert!(is_lost, "{transport:?}: {event:?}");
        assert!(client.next().await.is_none());
        assert_eq!(client.send(message("bob@localhost", "x")).await, Err(Disconnected));
        client.close().await;
    }
}

#[tokio::test]
async fn a_server_that_closes_in_good_order_is_no_loss() {
    for transport in TRANSPORTS {
        let (mut client, mut peer) = pair(transport).await;
        let last = message(ALICE, "last");
        peer.send(&last.with_from(jid("bob@localhost/y")));
        // Only what has arrived counts: the answer to a request says so.
        let request = ping("bob@localhost/y");
        let (answer, ()) = tokio::join!(client.request(request), async {
            let request = peer.stanza().await;
            peer.send(&request.result(None).with_to(jid("alice@localhost/x")));
            peer.close().await;
        });
        answer.unwrap();
        assert_eq!(body(&mut client).await, "last", "{transport:?}");
        let event = client.next().await;
        let is_closed = matches!(event, Some(Event::Closed(CloseReason::PeerClosed)));
        assert!(is_closed, "{transport:?}: {event:?}");
    }
}

#[tokio::test]
async fn an_answer_comes_from_whom_was_asked_and_behind_what_came_before_it() {
    const EARLIER: usize = limits::INBOX_STANZAS + 100;
    for transport in TRANSPORTS {
        let (mut client, mut peer) = pair(transport).await;
        let sender = client.sender();
        let serve = async {
            let request = peer.stanza().await;
            let answer = request.result(None).with_to(jid("alice@localhost/x"));
            for liar in ["eve@localhost/y", "bob@localhost", "bob@localhost/z", ALICE] {
                peer.send(&answer.with_from(jid(liar)));
            }
            for number in 0..EARLIER {
                let earlier = message(ALICE, &number.to_string());
                peer.send(&earlier.with_from(jid("bob@localhost/y")));
            }
            peer.send(&answer);
            while peer.next().await.is_some() {}
        };
        let ask = async {
            let mut request = pin!(sender.request(ping("bob@localhost/y")));
            let mut events = 0;
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = &mut request => break answer.unwrap(),
                    Some(_) = client.next() => events += 1,
                }
            };
            assert_eq!(answer.from(), Some(&jid("bob@localhost/y")), "{transport:?}");
            events += std::iter::from_fn(|| client.try_next()).count();
            assert_eq!(events, EARLIER, "{transport:?}");
        };
        tokio::select! {
            () = ask => {}
            () = serve => panic!("the client closed"),
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named() {
    let (other, _) = certificate();
    let (client, _) = attempt(Transport::Quic, Some(other)).await;
    let error = client.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
}
