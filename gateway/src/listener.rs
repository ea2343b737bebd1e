//! Listeners: accept, check who may come in, finish the handshake, start the connection's task.

mod quic;
mod tcp;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::timeout;

use crate::config::{Listener, TransportKind};
use crate::environment::QuicNetwork;
use crate::keys::Keys;
use crate::server::ServeError;
use crate::shared::{Shared, Stage};
use crate::tls::CertificateTable;

/// What listeners are opened with.
pub(crate) struct Open<'a> {
    pub(crate) certificates: &'a Arc<ArcSwap<CertificateTable>>,
    pub(crate) network: &'a QuicNetwork,
    pub(crate) keys: &'a Keys,
    pub(crate) seed: Option<u64>,
}

/// A bound listener that does not accept yet.
pub(crate) struct Opened {
    pub(crate) address: SocketAddr,
    /// Accepts until the server stops.
    pub(crate) accept: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(crate) endpoint: Option<quinn::Endpoint>,
}

/// Binds a listener's socket.
pub(crate) fn open(
    listener: &Listener,
    ground: &Open<'_>,
    shared: &Arc<Shared>,
) -> Result<Opened, ServeError> {
    match listener.transport {
        TransportKind::Quic => quic::open(listener, ground, Arc::clone(shared)),
        TransportKind::StartTls | TransportKind::Tls => {
            tcp::open(listener, ground, Arc::clone(shared))
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unfinished<E> {
    #[error("{0}")]
    Failed(E),
    #[error("it took too long")]
    Late,
    #[error("the server stops")]
    Closing,
}

/// Finishes a handshake, within the time that it may take, unless the server stops: nobody has
/// said anything yet that would have to be answered.
async fn finish<T, E>(
    shared: &Shared,
    handshake: impl Future<Output = Result<T, E>>,
) -> Result<T, Unfinished<E>> {
    let limit = shared.limits.handshake_time.duration();
    tokio::select! {
        biased;
        () = closing(shared) => Err(Unfinished::Closing),
        done = timeout(limit, handshake) => match done {
            Ok(done) => done.map_err(Unfinished::Failed),
            Err(_) => Err(Unfinished::Late),
        },
    }
}

/// Resolves when no new connections are wanted any more.
async fn closing(shared: &Shared) {
    // An error means that the server is gone altogether.
    let _ = shared.stage.subscribe().wait_for(|stage| *stage >= Stage::Closing).await;
}
