//! A whole server on real sockets, and real clients.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longwire_accounts::{ENTROPY_BYTES, NewPassword, Password};
use longwire_client::{
    Client, ClientError, CloseReason, Config as ClientConfig, ConnectError, Environment as Here,
    Event, Mechanism, Secret, Server as Target, Streams, Transport, Trust,
};
use longwire_gateway::config::{Config, Host, Limits, Listener, TransportKind};
use longwire_gateway::{Environment, Server, self_signed};
use longwire_stanza::{BareJid, MessageType, PresenceType, Stanza, StreamCondition};
use longwire_store::{MemoryOptions, Options, Store};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Enough for the slowest machine; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    server: Server,
    trust: Vec<CertificateDer<'static>>,
}

impl Rig {
    /// One host, `localhost`, on every transport, with alice and bob; nothing touches the disk.
    async fn start(limits: Limits) -> Self {
        Self::start_in("unused".into(), limits, Some(MemoryOptions::default())).await
    }

    /// The same with the data in a folder, unless it is kept in memory.
    async fn start_in(folder: PathBuf, limits: Limits, memory: Option<MemoryOptions>) -> Self {
        let (identity, _) = self_signed(&["localhost"]).unwrap();
        let trust = vec![identity.cert[0].clone()];
        let host = Host { name: "localhost".to_owned(), identity: Some(Arc::new(identity)) };
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = vec![
            Listener::new(TransportKind::Quic, here),
            Listener::new(TransportKind::StartTls, here),
            Listener::new(TransportKind::Tls, here),
            Listener::new(TransportKind::StartTls, here).plaintext(),
        ];
        let mut config = Config::new(vec![host], listeners, folder);
        config.limits = limits;
        let environment = Environment { memory, ..Environment::default() };
        let server = Server::start(config, environment).await.unwrap();
        for name in ["alice", "bob"] {
            let password = Password::new(name).unwrap();
            let entropy = [name.len() as u8; ENTROPY_BYTES];
            let new = NewPassword { password: &password, iterations: 4_096, entropy: &entropy };
            longwire_accounts::create(server.store(), &account(name), new, 0).await.unwrap();
        }
        Self { server, trust }
    }

    fn address(&self, transport: Transport) -> SocketAddr {
        let listener = match transport {
            Transport::Quic => 0,
            Transport::StartTls => 1,
            Transport::Tls => 2,
            Transport::Plaintext => 3,
        };
        self.server.addresses()[listener].1
    }

    fn config(&self, name: &str, transport: Transport) -> ClientConfig {
        let mut config = ClientConfig::new(account(name), Secret::new(name));
        config.transport = transport;
        config.server = Target::Address(self.address(transport));
        config.trust = Trust::Certificates(self.trust.clone());
        config
    }

    async fn connect(&self, name: &str, transport: Transport) -> Client {
        Client::connect(self.config(name, transport), Here::default()).await.unwrap()
    }
}

fn account(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@localhost")).unwrap()
}

fn message(to: &str, body: &str) -> Stanza {
    Stanza::message(MessageType::Chat).to(account(to)).body(body).build()
}

async fn available(client: &Client) {
    client.send(Stanza::presence(PresenceType::Available).build()).await.unwrap();
}

/// The body of the next message.
async fn body(client: &mut Client) -> String {
    let next = async {
        loop {
            match client.next().await.expect("the session goes on") {
                Event::Stanza { stanza, .. } => {
                    if let Some(body) = stanza.child_text("body") {
                        return body.into_owned();
                    }
                }
                Event::Closed(reason) => panic!("closed: {reason:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a message arrives")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_over_every_pair_of_transports() {
    let rig = Rig::start(Limits::unmetered()).await;
    let all = [Transport::Quic, Transport::Tls, Transport::StartTls, Transport::Plaintext];
    for from in all {
        for to in all {
            let alice = rig.connect("alice", from).await;
            let mut bob = rig.connect("bob", to).await;
            available(&bob).await;
            // The answer to the ping proves that the presence has been handled.
            ping(&bob).await;
            alice.send(message("bob", &format!("{from:?} to {to:?}"))).await.unwrap();
            assert_eq!(body(&mut bob).await, format!("{from:?} to {to:?}"));
            alice.close().await;
            bob.close().await;
        }
    }
    rig.server.shutdown().await;
}

async fn ping(client: &Client) {
    let ping = longwire_xml::Element::new("urn:xmpp:ping", "ping");
    let request = Stanza::iq(longwire_stanza::IqType::Get).id("p").child(ping).build();
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await;
    assert!(!answer.expect("the ping is answered").unwrap().is_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_login_works() {
    let rig = Rig::start(Limits::unmetered()).await;
    for transport in [Transport::Quic, Transport::Tls, Transport::StartTls] {
        for mechanism in Mechanism::ALL {
            for prefer_sasl2 in [true, false] {
                let mut config = rig.config("alice", transport);
                config.mechanisms = vec![mechanism];
                config.prefer_sasl2 = prefer_sasl2;
                let client = Client::connect(config, Here::default()).await;
                let client = client.unwrap_or_else(|error| {
                    panic!("{transport:?} {mechanism:?} sasl2 {prefer_sasl2}: {error}")
                });
                client.close().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_account_look_the_same() {
    let rig = Rig::start(Limits::unmetered()).await;
    let mut reasons = Vec::new();
    for (name, password) in [("alice", "wrong"), ("nobody", "wrong")] {
        let mut config = rig.config(name, Transport::Quic);
        config.password = Secret::new(password);
        match Client::connect(config, Here::default()).await {
            Err(ConnectError::Refused(ClientError::Refused { condition, text })) => {
                reasons.push(format!("{condition:?} {text:?}"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reasons[0], reasons[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_refused_in_the_handshake() {
    let rig = Rig::start(Limits::unmetered()).await;
    for transport in [Transport::Quic, Transport::Tls] {
        let mut config = rig.config("alice", transport);
        config.account = BareJid::new("alice@elsewhere.example").unwrap();
        let refused = Client::connect(config, Here::default()).await.unwrap_err();
        let expected = matches!(refused, ConnectError::Quic(_) | ConnectError::Network(_));
        assert!(expected, "{transport:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_says_so_to_everybody_and_loses_nothing() {
    let rig = Rig::start(Limits::unmetered()).await;
    let mut clients = Vec::new();
    for transport in [Transport::Quic, Transport::Tls, Transport::StartTls, Transport::Plaintext] {
        let client = rig.connect("bob", transport).await;
        available(&client).await;
        ping(&client).await;
        clients.push(client);
    }
    let mut stranger = TcpStream::connect(rig.address(Transport::Plaintext)).await.unwrap();
    greet(&mut stranger).await;
    tokio::time::timeout(Duration::from_secs(20), rig.server.shutdown())
        .await
        .expect("a shutdown takes at most 20 seconds");
    for mut client in clients {
        let reason = loop {
            match tokio::time::timeout(PATIENCE, client.next()).await.expect("an end") {
                Some(Event::Closed(reason)) => break reason,
                Some(Event::Stanza { .. }) => {}
                None => panic!("no reason"),
            }
        };
        let CloseReason::PeerError(error) = reason else { panic!("{reason:?}") };
        assert_eq!(error.condition, StreamCondition::SystemShutdown);
    }
    let mut said = String::new();
    tokio::time::timeout(PATIENCE, stranger.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.contains("system-shutdown"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_beyond_the_bound_are_turned_away_until_one_leaves() {
    let limits = Limits { unauthenticated_per_address: 3, ..Limits::unmetered() };
    let rig = Rig::start(limits).await;
    let address = rig.address(Transport::Plaintext);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        greet(&mut stream).await;
        waiting.push(stream);
    }
    let mut turned_away = TcpStream::connect(address).await.unwrap();
    let read = turned_away.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");

    let refused = Client::connect(rig.config("alice", Transport::Quic), Here::default()).await;
    assert!(matches!(refused, Err(ConnectError::Quic(_))), "{refused:?}");

    drop(waiting.pop());
    let config = rig.config("alice", Transport::Quic);
    let connected = async {
        loop {
            // The server notices the end of the connection in its own time.
            match Client::connect(config.clone(), Here::default()).await {
                Ok(client) => break client,
                Err(ConnectError::Quic(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let alice = tokio::time::timeout(PATIENCE, connected).await.expect("a place becomes free");
    // A known user does not count as a stranger.
    let _bob = rig.connect("bob", Transport::Quic).await;
    alice.close().await;
}

async fn greet(stream: &mut TcpStream) {
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    stream.write_all(header.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("</stream:features>") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "closed after {seen}");
        seen += std::str::from_utf8(&chunk[..read]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_arrives_whole_and_in_order() {
    let rig = Rig::start(Limits::unmetered()).await;
    for (transport, streams) in [
        (Transport::Quic, Streams::Many),
        (Transport::Quic, Streams::Untyped),
        (Transport::Quic, Streams::One),
        (Transport::Tls, Streams::One),
    ] {
        let mut config = rig.config("alice", transport);
        config.streams = streams;
        let alice = Client::connect(config, Here::default()).await.unwrap();
        let mut bob = rig.connect("bob", transport).await;
        available(&bob).await;
        ping(&bob).await;
        // More than any queue on the way holds: windows, shard, outbox. Bob says when he has
        // seen a batch, since a server may bounce what a receiver does not read.
        let filler = "x".repeat(1_000);
        for batch in 0..20 {
            for index in 0..100 {
                let text = format!("{batch}/{index} {filler}");
                alice.send(message("bob", &text)).await.unwrap();
            }
            for index in 0..100 {
                let got = body(&mut bob).await;
                let head = got.split(' ').next().unwrap_or_default();
                assert_eq!(head, format!("{batch}/{index}"), "{transport:?} {streams:?}");
            }
        }
        alice.close().await;
        bob.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_above_its_rate_is_slowed_down_and_loses_nothing() {
    let limits = Limits {
        account_rate: longwire_gateway::config::Rate::bytes_per_second(200_000),
        account_burst: longwire_gateway::config::ByteSize::kib(16),
        ..Limits::default()
    };
    let rig = Rig::start(limits).await;
    let alice = rig.connect("alice", Transport::Quic).await;
    let mut bob = rig.connect("bob", Transport::Tls).await;
    available(&bob).await;
    ping(&bob).await;
    let started = tokio::time::Instant::now();
    let filler = "x".repeat(10_000);
    for index in 0..30 {
        alice.send(message("bob", &format!("{index} {filler}"))).await.unwrap();
    }
    for index in 0..30 {
        assert!(body(&mut bob).await.starts_with(&format!("{index} ")));
    }
    // 300 kB at 200 kB/s with 16 KiB and one chunk ahead: at least a second.
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_stanza_beyond_the_configured_size_ends_the_stream() {
    let limits = Limits {
        stanza_unauthenticated: longwire_gateway::config::ByteSize::bytes(12_000),
        ..Limits::unmetered()
    };
    let rig = Rig::start(limits).await;
    for (size, refused) in [(11_999, false), (12_000, false), (12_001, true)] {
        let mut stream = TcpStream::connect(rig.address(Transport::Plaintext)).await.unwrap();
        greet(&mut stream).await;
        let start = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
        let end = "</auth>";
        let filler = "A".repeat(size - start.len() - end.len());
        let request = format!("{start}{filler}{end}</stream:stream>");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await;
        read.expect("the stream ends").unwrap();
        assert_eq!(said.contains("policy-violation"), refused, "{size}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_answers_are_not_taken_is_not_read_either() {
    /// Far more than the buffers of the system hold, in both directions.
    const ENOUGH: usize = 48 << 20;
    let rig = Rig::start(Limits::unmetered()).await;
    let mut stream = TcpStream::connect(rig.address(Transport::Plaintext)).await.unwrap();
    greet(&mut stream).await;
    // PLAIN as alice.
    let login = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
                 <initial-response>AGFsaWNlAGFsaWNl</initial-response>\
                 <bind xmlns='urn:xmpp:bind:0'/></authenticate>";
    stream.write_all(login.as_bytes()).await.unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).contains("<success"));
    // The link answers each of these by itself, with ten times its size.
    let flood = "<iq id='1' type='get' to='@@'/>".repeat(2_000);
    let mut taken = 0;
    let blocked = loop {
        let rest = &flood.as_bytes()[taken % flood.len()..];
        match tokio::time::timeout(Duration::from_secs(2), stream.write(rest)).await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => break true,
        }
        if taken > ENOUGH {
            break false;
        }
    };
    assert!(blocked, "{taken} bytes were taken");
    // Whoever reads again is read again.
    let (mut reading, mut writing) = stream.into_split();
    let sink = tokio::spawn(async move {
        let mut chunk = vec![0; 1 << 20];
        while reading.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
    });
    let rest = &flood.as_bytes()[taken % flood.len()..];
    let more = async {
        writing.write_all(rest).await.unwrap();
        for _ in 0..50 {
            writing.write_all(flood.as_bytes()).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("the server reads on");
    sink.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_log_in_in_time_is_told_so() {
    let text = "[[host]]\nname = \"localhost\"\n[[listener]]\ntransport = \"starttls\"\n\
                address = \"127.0.0.1:0\"\nplaintext = \"loopback\"\n\
                [limits]\nauthentication_time = \"200ms\"\n";
    let config = Config::parse("longwire.toml".as_ref(), text).unwrap();
    let memory = Some(MemoryOptions::default());
    let environment = Environment { memory, ..Environment::default() };
    let server = Server::start(config, environment).await.unwrap();
    let mut stream = TcpStream::connect(server.addresses()[0].1).await.unwrap();
    greet(&mut stream).await;
    let mut said = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await;
    read.expect("the stream ends").unwrap();
    assert!(said.contains("connection-timeout"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_a_tool_deletes_loses_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start_in(folder.path().to_owned(), Limits::default(), None).await;
    let mut alice = rig.connect("alice", Transport::Quic).await;
    let bob = rig.connect("bob", Transport::Quic).await;
    let tables = rig.server.router().registry().tables();
    let tool = Store::open_sqlite(folder.path(), &tables, Options::tool()).unwrap();
    let erased = rig.server.router().registry().account_tables();
    longwire_accounts::delete(&tool, &account("alice"), &erased).await.unwrap();
    let end = async {
        loop {
            match alice.next().await {
                Some(Event::Closed(reason)) => break reason,
                Some(_) => {}
                None => panic!("no reason"),
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert!(matches!(reason, CloseReason::PeerError(_)), "{reason:?}");
    ping(&bob).await;
}

/// Carries the datagrams of one client, and looks at what the server says.
struct Tap {
    address: SocketAddr,
    /// The first byte of the server's first datagram.
    first: tokio::sync::watch::Receiver<Option<u8>>,
}

impl Tap {
    /// A muted one lets the client wait for ever.
    async fn new(server: SocketAddr, muted: bool) -> Self {
        let [front, back] = [bind().await, bind().await];
        back.connect(server).await.unwrap();
        let address = front.local_addr().unwrap();
        let (seen, first) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            let mut client = None;
            let (mut up, mut down) = ([0; 2_048], [0; 2_048]);
            loop {
                tokio::select! {
                    Ok((bytes, from)) = front.recv_from(&mut up) => {
                        client = Some(from);
                        let _ = back.send(&up[..bytes]).await;
                    }
                    Ok(bytes) = back.recv(&mut down) => {
                        seen.send_modify(|first| *first = first.or(Some(down[0])));
                        if let Some(client) = client.filter(|_| !muted) {
                            let _ = front.send_to(&down[..bytes], client).await;
                        }
                    }
                }
            }
        });
        Self { address, first }
    }

    /// Whether the server's first answer is a Retry (RFC 9000 §17.2.5).
    async fn is_retry(&mut self) -> bool {
        let first = self.first.wait_for(Option::is_some);
        let first = tokio::time::timeout(PATIENCE, first).await.expect("an answer").unwrap();
        first.is_some_and(|byte| byte & 0xb0 == 0xb0)
    }
}

async fn bind() -> tokio::net::UdpSocket {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Whether a client proves its address first while `waiting` others are in their handshakes.
async fn must_prove_its_address(limits: Limits, waiting: usize) -> bool {
    let rig = Rig::start(limits).await;
    let server = rig.address(Transport::Quic);
    for _ in 0..waiting {
        let mut tap = Tap::new(server, true).await;
        let mut config = rig.config("bob", Transport::Quic);
        config.server = Target::Address(tap.address);
        tokio::spawn(Client::connect(config, Here::default()));
        tap.is_retry().await;
    }
    let mut tap = Tap::new(server, false).await;
    let mut config = rig.config("alice", Transport::Quic);
    config.server = Target::Address(tap.address);
    let alice = Client::connect(config, Here::default()).await.unwrap();
    ping(&alice).await;
    tap.is_retry().await
}

//= test RFC 9000 §8.1.2
#[tokio::test(flavor = "multi_thread")]
async fn above_so_many_unproven_addresses_newcomers_get_a_retry() {
    for (waiting, retried) in [(1, false), (2, true), (3, true)] {
        let limits = Limits { quic_unvalidated: 2, ..Limits::unmetered() };
        assert_eq!(must_prove_its_address(limits, waiting).await, retried, "{waiting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_addresses_take_half_of_the_places_of_their_owners_and_no_more() {
    for (waiting, retried) in [(1, false), (2, true), (9, true)] {
        let limits = Limits { unauthenticated_per_address: 4, ..Limits::unmetered() };
        assert_eq!(must_prove_its_address(limits, waiting).await, retried, "{waiting}");
    }
}
