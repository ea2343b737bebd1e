//! A running server: store, router, listeners and connections, and their end in good order.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use longwire_core::{Hosts, Registry, Router, RouterConfig, StartError};
use longwire_link::Entropy;
use longwire_link::negotiate::{self, StreamLimits};
use longwire_stanza::{BareJid, Jid};
use longwire_store::{Options, Store, StoreError};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::admission::Admission;
use crate::config::{Config, ConfigError, Host, Listener};
use crate::credentials::Credentials;
use crate::environment::Environment;
use crate::features;
use crate::keys::{KeyError, Keys, data_folder};
use crate::limits::{DRAIN, SLOW_ANSWERS, STORE_WATCH};
use crate::listener::{Open, open};
use crate::shared::{Shared, Stage, report};
use crate::throttle::Throttles;
use crate::tls::CertificateTable;

/// A server that runs until [`Server::shutdown`].
///
/// Dropped without it, every task ends at once, as in a crash.
pub struct Server {
    shared: Arc<Shared>,
    store: Store,
    certificates: Arc<ArcSwap<CertificateTable>>,
    listeners: Vec<(Listener, SocketAddr)>,
    accepting: JoinSet<()>,
    endpoints: Vec<quinn::Endpoint>,
}

/// Why a server did not start.
#[derive(Debug, Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// A listener's address cannot be used.
    #[error("cannot listen on {address} ({transport}): {reason}")]
    #[diagnostic(help("{}", listen_advice(reason, *address)))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The data folder cannot be made.
    #[error("cannot make the data folder {}: {reason}", path.display())]
    #[diagnostic(help("choose another [store] path, or make the folder and give it to this user"))]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store cannot be opened or read.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The router did not start.
    #[error("the router: {0}")]
    Router(#[from] StartError),
    /// The TLS library refuses the settings.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// There is no randomness.
    #[error("no randomness: {0}")]
    Entropy(io::Error),
}

fn listen_advice(reason: &io::Error, address: SocketAddr) -> String {
    match reason.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege: `setcap cap_net_bind_service=+ep longwire`, \
             AmbientCapabilities in the systemd unit, or a port above 1023 instead of {}",
            address.port()
        ),
        io::ErrorKind::AddrInUse => {
            "another process has the port: stop it, or choose another".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have the address: choose one that it has".to_owned()
        }
        _ => "check the address of this listener".to_owned(),
    }
}

impl Server {
    /// Opens the store, starts the router and listens. Clients can connect when it returns.
    ///
    /// # Errors
    /// [`ServeError`] says what to change; nothing keeps running.
    ///
    /// # Cancel safety
    /// Cancelled, whatever had been started ends.
    pub async fn start(config: Config, environment: Environment) -> Result<Self, ServeError> {
        let registry = features::registry(&config)?;
        let entropy = environment.entropy().map_err(ServeError::Entropy)?;
        let store = open_store(&config, &environment, &registry)?;
        let keys = match environment.seed {
            Some(seed) => Keys::seeded(seed),
            None if environment.memory.is_some() => Keys::random(&entropy),
            None => Keys::load(&config.data)?,
        };
        let negotiation = negotiation(&config, &registry, &keys);
        let router = start_router(&config, &environment, registry, &store, &entropy).await?;
        let certificates = Arc::new(ArcSwap::from_pointee(CertificateTable::new(&config.hosts)));
        let shared = Arc::new(Shared {
            router,
            credentials: Credentials::new(store.clone(), &keys, features::iterations(&config)),
            admission: Admission::new(&config.limits),
            slow: Semaphore::new(SLOW_ANSWERS),
            negotiation: Arc::new(negotiation),
            entropy,
            throttles: Throttles::new(&config.limits),
            logins: Mutex::default(),
            stage: watch::Sender::new(Stage::Running),
            tasks: Mutex::default(),
            limits: config.limits,
        });
        let network = environment.quic().map_err(ServeError::Entropy)?;
        let mut server = Self {
            shared,
            store,
            certificates,
            listeners: Vec::new(),
            accepting: JoinSet::new(),
            endpoints: Vec::new(),
        };
        let seed = environment.seed;
        let ground =
            Open { certificates: &server.certificates, network: &network, keys: &keys, seed };
        // All sockets first: a server that runs on half of its addresses is worse than none.
        let mut opened = Vec::new();
        for listener in config.listeners {
            let socket = open(&listener, &ground, &server.shared)?;
            server.listeners.push((listener, socket.address));
            opened.push(socket);
        }
        for socket in opened {
            server.endpoints.extend(socket.endpoint);
            server.accepting.spawn(socket.accept);
        }
        if environment.memory.is_none() {
            server.accepting.spawn(watch_store(server.shared.router.clone()));
        }
        Ok(server)
    }

    /// The listeners and the addresses that they really have (a configured port 0 is taken).
    #[must_use]
    pub fn addresses(&self) -> &[(Listener, SocketAddr)] {
        &self.listeners
    }

    /// The router, for administration and for tests.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.shared.router
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Connections at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.admission.connections()
    }

    /// Uses these hosts' certificates for new connections. Hosts cannot be added this way.
    pub fn replace_certificates(&self, hosts: &[Host]) {
        self.certificates.store(Arc::new(CertificateTable::new(hosts)));
    }

    /// Stops in good order: no new connections, everything that was taken is made durable and
    /// acknowledged, `system-shutdown` to all, and the connections closed; within 20 seconds.
    ///
    /// # Cancel safety
    /// Cancelled, the rest ends at once, as in a crash.
    pub async fn shutdown(mut self) {
        let deadline = Instant::now() + DRAIN;
        self.shared.stage.send_replace(Stage::Closing);
        tracing::info!(connections = self.connections(), "stopping");
        // The router ends the sessions itself, each after the last stanza for it.
        let _ = timeout_at(deadline, self.shared.router.shutdown()).await;
        self.shared.stage.send_replace(Stage::Leaving);
        let mut tasks = {
            let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let all = async {
            while let Some(done) = tasks.join_next().await {
                report(done);
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(connections = self.connections(), "cut off what did not end in time");
        }
        self.accepting.shutdown().await;
        for endpoint in &self.endpoints {
            endpoint.close(0_u32.into(), b"");
        }
        for endpoint in &self.endpoints {
            let soon = deadline.min(Instant::now() + Duration::from_secs(1));
            let _ = timeout_at(soon, endpoint.wait_idle()).await;
        }
        let _ = timeout_at(deadline, self.store.close()).await;
        tracing::info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connection tasks hold the shared ground that holds them; this breaks the ring.
        let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Takes note of what tools beside the server do to the accounts.
async fn watch_store(router: Router) {
    let mut ticks = tokio::time::interval(STORE_WATCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        router.notice_changes().await;
    }
}

fn open_store(
    config: &Config,
    environment: &Environment,
    registry: &Registry,
) -> Result<Store, ServeError> {
    let tables = registry.tables();
    if let Some(memory) = &environment.memory {
        return Ok(Store::memory(&tables, memory.clone())?);
    }
    let path = config.data.clone();
    data_folder(&path).map_err(|reason| ServeError::Data { path, reason })?;
    Ok(Store::open_sqlite(&config.data, &tables, Options::default())?)
}

async fn start_router(
    config: &Config,
    environment: &Environment,
    registry: Registry,
    store: &Store,
    entropy: &Entropy,
) -> Result<Router, ServeError> {
    let shards = match environment.seed {
        // A simulation must not depend on the machine.
        Some(_) => 2,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let router = RouterConfig {
        hosts: Hosts::new(host_jids(config)),
        shards,
        limits: longwire_core::Limits { drain: DRAIN / 2, ..longwire_core::Limits::default() },
    };
    let mut seed = [0; 32];
    entropy(&mut seed);
    Ok(Router::start(router, registry, store.clone(), environment.clock(), seed).await?)
}

fn negotiation(config: &Config, registry: &Registry, keys: &Keys) -> negotiate::ServerConfig {
    let hosts = host_jids(config).collect();
    let mut negotiation = negotiate::ServerConfig::new(hosts, keys.negotiation());
    let limits = &config.limits;
    let bytes = |size: crate::config::ByteSize| u32::try_from(size.get()).unwrap_or(u32::MAX);
    let idle = u32::try_from(limits.idle_time.duration().as_secs()).ok();
    negotiation.iterations = features::iterations(config);
    negotiation.extra_features = registry.stream_features();
    negotiation.elements_before.stanza_bytes = limits.stanza_unauthenticated.as_len();
    negotiation.elements_after.stanza_bytes = limits.stanza.as_len();
    negotiation.login_wait = limits.authentication_time.duration();
    negotiation.limits_before =
        Some(StreamLimits { max_bytes: bytes(limits.stanza_unauthenticated), idle_seconds: None });
    negotiation.limits_after =
        Some(StreamLimits { max_bytes: bytes(limits.stanza), idle_seconds: idle });
    negotiation
}

/// The hosts as addresses. Names that were checked at load time are all there.
fn host_jids(config: &Config) -> impl Iterator<Item = BareJid> + '_ {
    config.hosts.iter().filter_map(|host| Jid::new(&host.name).ok()).map(|jid| jid.bare())
}
