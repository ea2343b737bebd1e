//! What one connection costs per message, without TLS and without sockets: the bytes of a message
//! until the server's link hands out the stanza, and a stanza until the link hands out bytes.

#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use longwire_link::negotiate::{
    Ask, ClientConfig, Reply, Security, ServerConfig, Transport as Carried,
};
use longwire_link::sasl::{Secret, StoredCredential, TlsInfo};
use longwire_link::{
    Action, Class, Direction, Entropy, Event, Link, Mode, SessionId, StreamId, Ticket,
};
use longwire_stanza::{BareJid, Jid, MessageType, Stanza};

const PASSWORD: &str = "measured";

/// Both ends of a connection on which alice has logged in.
struct Pair {
    server: Link,
    client: Link,
    /// The session at the server and at the client.
    sessions: [Option<SessionId>; 2],
    /// How many streams each end has opened, by direction.
    opened: BTreeMap<(bool, bool), u64>,
    now: Instant,
}

impl Pair {
    fn new(carried: Carried) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any instant will do as the start")]
        let now = Instant::now();
        let tls = TlsInfo { exporter: Some([3; 32]), end_point: None, version13: true };
        let security = Security::encrypted(carried, tls);
        let hosts = vec![BareJid::new("a.example").expect("a domain")];
        let config = Arc::new(ServerConfig::new(hosts, [5; 32]));
        let entropy: Entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(9));
        let alice = BareJid::new("alice@a.example").expect("an address");
        let login = ClientConfig::new(alice, Secret::new(PASSWORD));
        let server = Link::server(config, security.clone(), Arc::clone(&entropy), now);
        let client = Link::client(login, security, Mode::Multistream, entropy, now);
        let opened = BTreeMap::new();
        let mut pair = Self { server, client, sessions: [None, None], opened, now };
        while pair.turn(true) | pair.turn(false) {}
        assert!(pair.sessions.iter().all(Option::is_some), "the login failed");
        pair
    }

    /// Carries what one end has to say to the other; false when it said nothing.
    fn turn(&mut self, from_client: bool) -> bool {
        let mut said = false;
        loop {
            let Self { server, client, now, .. } = self;
            let (own, other) = if from_client { (client, server) } else { (server, client) };
            if let Some(event) = own.poll_event() {
                self.take(event, from_client);
            } else if let Some(action) = own.poll_action() {
                match action {
                    Action::Write { stream, bytes } => other.handle_bytes(stream, bytes, *now),
                    Action::Open { ticket, direction } => {
                        self.open(ticket, direction, from_client);
                    }
                    _ => {}
                }
            } else {
                return said;
            }
            said = true;
        }
    }

    /// Grants every stream that is asked for, numbered as QUIC does (RFC 9000 §2.1).
    fn open(&mut self, ticket: Ticket, direction: Direction, from_client: bool) {
        let is_uni = direction == Direction::Uni;
        let count = self.opened.entry((from_client, is_uni)).or_default();
        let stream = StreamId(*count * 4 + u64::from(is_uni) * 2 + u64::from(!from_client));
        *count += 1;
        let Self { server, client, now, .. } = self;
        let (own, other) = if from_client { (client, server) } else { (server, client) };
        other.handle_stream(stream, direction, *now);
        own.handle_opened(ticket, Ok(stream), *now);
    }

    fn take(&mut self, event: Event, at_client: bool) {
        match event {
            Event::Ask { session, ask } => {
                self.server.handle_reply(session, answer(ask), self.now);
            }
            Event::Bound { session, .. } => {
                self.sessions[usize::from(at_client)] = Some(session);
            }
            Event::Authenticated { .. } => {}
            other => panic!("the login goes wrong: {other:?}"),
        }
    }

    /// What the client writes for a message, and on which stream, after the first one, which
    /// opened the stream of the conversation.
    fn written(&mut self, message: &Stanza) -> (StreamId, Bytes) {
        let session = self.sessions[1].expect("a session");
        self.client.send(session, message, Class::Chat, self.now);
        self.turn(true);
        while self.server.poll_event().is_some() {}
        self.client.send(session, message, Class::Chat, self.now);
        match self.client.poll_action() {
            Some(Action::Write { stream, bytes }) => (stream, bytes),
            other => panic!("the client does not write but {other:?}"),
        }
    }

    fn receive(&mut self, stream: StreamId, bytes: Bytes) -> Stanza {
        self.server.handle_bytes(stream, bytes, self.now);
        match self.server.poll_event() {
            Some(Event::Stanza { stanza, .. }) => stanza,
            other => panic!("no stanza but {other:?}"),
        }
    }

    fn send(&mut self, message: &Stanza) -> Bytes {
        let session = self.sessions[0].expect("a session");
        self.server.send(session, message, Class::Chat, self.now);
        match self.server.poll_action() {
            Some(Action::Write { bytes, .. }) => bytes,
            other => panic!("the server does not write but {other:?}"),
        }
    }
}

/// A host that knows alice.
fn answer(ask: Ask) -> Reply {
    match ask {
        Ask::Credential { hash, .. } => {
            let stored = StoredCredential::derive(hash, &Secret::new(PASSWORD), &[1; 16], 4_096);
            Reply::Credential(stored.ok())
        }
        Ask::Verify { .. } => Reply::Verified(false),
        Ask::Bind { account, .. } => {
            Reply::Bound(Ok(account.with_resource("desk").expect("a resource")))
        }
    }
}

/// A message that has 400 bytes when alice writes it.
fn message(from: &str, to: &str) -> Stanza {
    let build = |body: &str| {
        let to = Jid::new(to).expect("an address");
        let from = Jid::new(from).expect("an address");
        let message = Stanza::message(MessageType::Chat).from(from).to(to);
        message.id("3f1e5d3c-7a4b-4a55-9d7e-2f60a7b0c111").body(body).build()
    };
    let frame = build("w").to_bytes().len() - 1;
    build(&"words ".repeat(70)[..400 - frame])
}

fn benches(c: &mut Criterion) {
    let outgoing = message("alice@a.example/desk", "bob@a.example");
    let incoming = message("bob@a.example/desk", "alice@a.example");
    for (name, carried) in [("tcp", Carried::Tcp), ("quic", Carried::Quic)] {
        let mut pair = Pair::new(carried);
        let mut group = c.benchmark_group(format!("link/{name}"));
        let (stream, bytes) = pair.written(&outgoing);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("bytes to stanza", |b| {
            b.iter(|| pair.receive(stream, black_box(bytes.clone())));
        });
        // The first one opens the stream of the conversation.
        pair.server.send(pair.sessions[0].expect("a session"), &incoming, Class::Chat, pair.now);
        pair.turn(false);
        group.bench_function("stanza to bytes", |b| b.iter(|| pair.send(black_box(&incoming))));
        group.finish();
    }
}

criterion_group!(link_benches, benches);
criterion_main!(link_benches);
