//! The smallest server there is: the other end of the link on a socket of this machine.

use std::{
    future::{Future, pending},
    net::Ipv4Addr,
    pin::pin,
    sync::Arc,
    time::Instant,
};

use longwire_client::{
    Client, Config, ConnectError, Environment, Secret, Server, Transport, Trust,
    stanza::{BareJid, Stanza},
};
use longwire_link::{
    Class, CloseReason, Entropy, Event, Link, SessionId,
    negotiate::{Ask, Reply, Security, ServerConfig, Transport as Carried},
    sasl::{Hash, StoredCredential},
};
use longwire_transport::{ByteStream, Carrier, Quic, Upgrade, Windows, feed};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

pub(crate) const ALICE: &str = "alice@localhost";
const PASSWORD: &str = "correct horse";

/// One accepted connection.
pub(crate) struct Peer {
    link: Link,
    carrier: Carrier,
    session: Option<SessionId>,
    is_closing: bool,
}

/// A self-signed certificate for `localhost`.
pub(crate) fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    (made.cert.der().clone(), key)
}

/// Connects a client with a server over `transport`: loopback TCP or QUIC.
pub(crate) async fn pair(transport: Transport) -> (Client, Peer) {
    let (client, peer) = attempt(transport, None).await;
    (client.unwrap(), peer.unwrap())
}

/// As [`pair`], trusting `trust` instead of the right certificate.
pub(crate) async fn attempt(
    transport: Transport,
    trust: Option<CertificateDer<'static>>,
) -> (Result<Client, ConnectError>, Option<Peer>) {
    let mut config = Config::new(BareJid::new(ALICE).unwrap(), Secret::new(PASSWORD));
    config.transport = transport;
    match transport {
        Transport::Quic => {
            let (certificate, key) = certificate();
            let endpoint = quic(certificate.clone(), key);
            config.server = Server::Address(endpoint.local_addr().unwrap());
            config.trust = Trust::Certificates(vec![trust.unwrap_or(certificate)]);
            let accepting = async {
                let connection = endpoint.accept().await?.await.ok()?;
                let tls = Quic::tls_info(&connection, None);
                let windows =
                    Windows { bidi_streams: 64, uni_streams: 64, connection_bytes: 1 << 20 };
                let carrier = Carrier::Quic(Box::new(Quic::new(connection, windows)));
                let peer = Peer::new(carrier, Security::encrypted(Carried::Quic, tls));
                Some(peer)
            };
            meet(config, accepting).await
        }
        _ => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            config.server = Server::Address(listener.local_addr().unwrap());
            let accepting = async {
                let (socket, _) = listener.accept().await.ok()?;
                let stream = ByteStream::plain(socket, Upgrade::None, Box::new(|_| None));
                let security = Security {
                    loopback_plaintext: true,
                    starttls_possible: false,
                    ..Security::plaintext()
                };
                let peer = Peer::new(Carrier::Stream(Box::new(stream)), security);
                Some(peer)
            };
            meet(config, accepting).await
        }
    }
}

/// Runs both ends until the client has its session, or none.
async fn meet(
    config: Config,
    accepting: impl Future<Output = Option<Peer>>,
) -> (Result<Client, ConnectError>, Option<Peer>) {
    let mut connecting = pin!(Client::connect(config, Environment::default()));
    let mut accepted = None;
    let client = tokio::select! {
        client = &mut connecting => client,
        () = async {
            let peer = accepted.insert(accepting.await);
            match peer {
                // What it has to say goes out while it waits for more.
                Some(peer) => while peer.log_in().await.is_some() {},
                None => pending().await,
            }
        } => connecting.await,
    };
    (client, accepted.flatten())
}

fn quic(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> quinn::Endpoint {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let crypto = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Peer {
    fn new(carrier: Carrier, security: Security) -> Self {
        let hosts = vec![BareJid::new("localhost").unwrap()];
        let config = Arc::new(ServerConfig::new(hosts, [7; 32]));
        let entropy: Entropy = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let link = Link::server(config, security, entropy, now());
        Self { link, carrier, session: None, is_closing: false }
    }

    async fn log_in(&mut self) -> Option<()> {
        if let Event::Bound { session, .. } = self.next().await? {
            self.session = Some(session);
        }
        Some(())
    }

    /// Carries out what is to be done and takes one input.
    async fn turn(&mut self) {
        self.is_closing |= self.carrier.apply_all(&mut self.link, now()).is_some();
        let input = self.carrier.next().await;
        feed(&mut self.link, input, now());
    }

    /// The next event of the session; `None` when the connection is to be closed.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            self.is_closing |= self.carrier.apply_all(&mut self.link, now()).is_some();
            match self.link.poll_event() {
                Some(Event::Ask { session, ask }) => {
                    self.link.handle_reply(session, answer(&ask), now());
                }
                Some(event) => return Some(event),
                None if self.is_closing => return None,
                None => {
                    let input = self.carrier.next().await;
                    feed(&mut self.link, input, now());
                }
            }
        }
    }

    /// The next stanza.
    pub(crate) async fn stanza(&mut self) -> Stanza {
        loop {
            match self.next().await {
                Some(Event::Stanza { stanza, .. }) => return stanza,
                Some(_) => {}
                None => panic!("the client closed"),
            }
        }
    }

    /// The bodies of all messages until the session ends, and how it ended.
    pub(crate) async fn rest(&mut self) -> (Vec<String>, CloseReason) {
        let mut bodies = Vec::new();
        loop {
            match self.next().await {
                Some(Event::Stanza { stanza, .. }) => {
                    bodies.extend(stanza.child_text("body").map(|body| body.into_owned()));
                }
                Some(Event::Closed { reason, .. }) => return (bodies, reason),
                Some(_) => {}
                None => panic!("the connection is closed without an event"),
            }
        }
    }

    /// Sends a stanza; it leaves with the next wait.
    pub(crate) fn send(&mut self, stanza: &Stanza) {
        self.link.send(self.session.unwrap(), stanza, Class::Chat, now());
    }

    /// Ends the session in good order.
    pub(crate) async fn close(mut self) {
        let session = self.session.unwrap();
        self.link.finish_lanes(session);
        while !self.link.is_drained(session) {
            self.turn().await;
            self.link.finish_lanes(session);
        }
        self.link.close(session, None);
        while self.next().await.is_some() {}
        self.carrier.close(longwire_link::Code::None).await;
    }

    /// Lets go of the connection without a word.
    pub(crate) async fn vanish(self) {
        match self.carrier {
            Carrier::Stream(_) => drop(self.carrier),
            // Dropping the last handle says goodbye with code 0; the session does not.
            Carrier::Quic(_) => self.carrier.close(longwire_link::Code::Timeout).await,
        }
    }
}

fn answer(ask: &Ask) -> Reply {
    match ask {
        Ask::Credential { hash, .. } => {
            let hash: Hash = *hash;
            let secret = Secret::new(PASSWORD);
            let credential = StoredCredential::derive(hash, &secret, b"salt and more", 4096);
            Reply::Credential(credential.ok())
        }
        Ask::Verify { .. } => Reply::Verified(false),
        Ask::Bind { account, .. } => Reply::Bound(Ok(account.with_resource("x").unwrap())),
    }
}
