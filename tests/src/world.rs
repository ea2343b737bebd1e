//! A real server and real clients on the simulated network.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longwire_accounts::{ACCOUNTS, ENTROPY_BYTES, NewPassword, Password, account::Account, create};
use longwire_client::{
    Client, Config as Login, ConnectError, Secret, Server as At, Streams, Trust,
};
use longwire_core::{Clock, Outbox, SessionRef};
use longwire_gateway::{
    Config, Environment, QuicNetwork, Server,
    config::{Host, Limits, LinkProfile, Listener, TransportKind},
    identity_from_der,
};
use longwire_stanza::{BareJid, Jid, MessageType, Stanza};
use longwire_store::{Batch, MemoryOptions};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::sim::{Identity, Net, Path, SimRuntime, SimTime};

/// The only host.
pub const HOST: &str = "a.example";
/// Everybody's password.
pub const PASSWORD: &str = "simulated";

/// A server, its network, and what clients need to reach it.
pub struct World {
    /// The network.
    pub net: Net,
    /// The server.
    pub server: Server,
    identity: Identity,
    seed: u64,
    path: Path,
    limits: Limits,
}

/// Time in the simulation, for the router.
struct SimClock(SimTime);

impl Clock for SimClock {
    fn now(&self) -> std::time::Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> u64 {
        self.0.unix_micros()
    }
}

impl World {
    /// Starts a server whose clients are behind `path` in both directions.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    pub async fn new(seed: u64, path: Path) -> Self {
        Self::limited(seed, path, Limits { account_rate_enforced: false, ..Limits::default() })
            .await
    }

    /// Starts a server with these limits.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    pub async fn limited(seed: u64, path: Path, limits: Limits) -> Self {
        let net = Net::new(seed);
        net.default_path(path.clone());
        let identity = Identity::new(&[HOST]);
        let server = start_server(&net, &identity, seed, limits.clone()).await;
        Self { net, server, identity, seed, path, limits }
    }

    /// Ends the server without a word to anybody, as a crash or a power cut does, and starts
    /// another one with the same keys and nothing else after `down`.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    pub async fn crash(self, down: Duration) -> Self {
        let Self { net, server, identity, seed, path, limits } = self;
        // A process that is dropped still says goodbye; nobody hears it.
        let (now, silent) = (net.now(), Path::new(Duration::ZERO).loss(1.0));
        for number in 0..=u8::MAX {
            net.path(server_address(), client_address(number), silent.clone());
        }
        drop(server);
        net.until(now + down).await;
        for number in 0..=u8::MAX {
            net.path(server_address(), client_address(number), path.clone());
        }
        let server = start_server(&net, &identity, seed, limits.clone()).await;
        Self { net, server, identity, seed, path, limits }
    }

    /// Creates an account that can log in.
    ///
    /// # Panics
    ///
    /// When the store refuses it.
    pub async fn account(&self, name: &str) {
        let password = Password::new(PASSWORD).expect("a possible password");
        let new =
            NewPassword { password: &password, iterations: 4096, entropy: &[7; ENTROPY_BYTES] };
        let created = create(self.server.store(), &bare(name), new, 0).await;
        created.expect("the account is new");
    }

    /// Creates an account without credentials, and binds a session of it inside the server.
    ///
    /// # Panics
    ///
    /// When the router refuses it.
    pub async fn local(&self, name: &str) -> (SessionRef, Outbox) {
        let mut batch = Batch::new();
        batch.put(&ACCOUNTS, bare(name).as_str(), &(), &Account { created: 0 });
        self.server.store().commit(batch).await.expect("the store takes it");
        self.server.router().bind(&bare(name), Some("local")).await.expect("a session")
    }

    /// The configuration of a client for an account.
    #[must_use]
    pub fn login(&self, name: &str, streams: Streams) -> Login {
        let mut login = Login::new(bare(name), Secret::new(PASSWORD));
        login.server = At::Address(server_address());
        login.trust = Trust::Certificates(vec![self.identity.certificate()]);
        login.streams = streams;
        login.initial_rtt = Some(Duration::from_millis(300));
        // As the server's profile: both ends are on the same link.
        login.is_lossy = true;
        login
    }

    /// Connects a client from an address of its own; `number` tells clients apart.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub async fn connect(&self, number: u8, login: Login) -> Result<Client, ConnectError> {
        let address = client_address(number);
        self.net.paths(server_address(), address, self.path.clone());
        let endpoint = self.net.endpoint(address, None)?;
        let generator = Mutex::new(Pcg64::seed_from_u64(self.seed ^ u64::from(number) << 32));
        let entropy = Arc::new(move |bytes: &mut [u8]| {
            let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
            bytes.fill_with(|| generator.random());
        });
        let environment = longwire_client::Environment { entropy, endpoint: Some(endpoint) };
        Client::connect(login, environment).await
    }
}

/// A server that keeps everything in memory.
async fn start_server(net: &Net, identity: &Identity, seed: u64, limits: Limits) -> Server {
    let certified = identity_from_der(vec![identity.certificate()], identity.key());
    let certified = Arc::new(certified.expect("the rig's own certificate"));
    let host = Host { name: HOST.to_owned(), identity: Some(certified) };
    let mut listener = Listener::new(TransportKind::Quic, server_address());
    // Random loss must not shrink the window: that is what this profile is for.
    listener.profile = LinkProfile::Satellite;
    let mut config = Config::new(vec![host], vec![listener], PathBuf::new());
    config.limits = limits;
    let network = net.clone();
    let quic = QuicNetwork {
        runtime: Arc::new(SimRuntime),
        bind: Arc::new(move |address| network.socket(address)),
        time: Some(Arc::new(net.wall_clock())),
    };
    let environment = Environment {
        clock: Some(Arc::new(SimClock(net.wall_clock()))),
        seed: Some(seed),
        quic: Some(quic),
        memory: Some(MemoryOptions::default()),
    };
    Server::start(config, environment).await.expect("the server starts")
}

/// Where the server listens.
#[must_use]
pub fn server_address() -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, 1), 443).into()
}

/// Where a client is.
#[must_use]
pub fn client_address(number: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 1, number), 5000).into()
}

/// The address of an account of the only host.
///
/// # Panics
///
/// When the name is impossible.
#[must_use]
pub fn bare(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@{HOST}")).expect("a possible name")
}

/// A chat message to an account.
#[must_use]
pub fn chat(to: &str, text: &str) -> Stanza {
    Stanza::message(MessageType::Chat).to(Jid::from(bare(to))).body(text).build()
}

/// The bodies' text of a message, if it has one.
#[must_use]
pub fn body(stanza: &Stanza) -> Option<String> {
    stanza.child_text("body").map(|text| text.into_owned())
}
