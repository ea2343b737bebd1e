//! QUIC: one endpoint per listener, the application chosen by ALPN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use longwire_link::negotiate::{self, Security};
use longwire_link::sasl::TlsInfo;
use longwire_transport::{Carrier, Quic};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, Endpoint, Incoming, VarInt};

use super::{Open, Opened, closing, finish};
use crate::admission::Permit;
use crate::config::Listener;
use crate::connection;
use crate::profile;
use crate::server::ServeError;
use crate::shared::Shared;
use crate::tls::{self, ALPN_CLIENT, CertificateTable, Missing, Resolver};

pub(super) fn open(
    listener: &Listener,
    ground: &Open<'_>,
    shared: Arc<Shared>,
) -> Result<Opened, ServeError> {
    let resolver = Resolver::new(Arc::clone(ground.certificates), Missing::OnlyUnnamed);
    let crypto = QuicServerConfig::try_from(tls::quic_config(resolver)?)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let limits = &shared.limits;
    let mut config = profile::server(listener.profile, limits, ground.keys, Arc::new(crypto));
    if let Some(time) = &ground.network.time {
        config.time_source(Arc::clone(time));
    }
    let failed =
        |reason| ServeError::Listen { address: listener.address, transport: "UDP", reason };
    let socket = (ground.network.bind)(listener.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let seed = ground.seed.map(|seed| endpoint_seed(seed, address));
    let endpoint = Endpoint::new_with_abstract_socket(
        profile::endpoint(ground.keys, seed),
        Some(config),
        socket,
        Arc::clone(&ground.network.runtime),
    )
    .map_err(failed)?;
    let door = Arc::new(Door {
        shared,
        certificates: Arc::clone(ground.certificates),
        unvalidated: AtomicUsize::new(0),
    });
    let accept = Box::pin(accept(endpoint.clone(), door));
    Ok(Opened { address, accept, endpoint: Some(endpoint) })
}

fn endpoint_seed(seed: u64, address: SocketAddr) -> [u8; 32] {
    let mut bytes = [0; 32];
    let parts = seed.to_be_bytes().into_iter().chain(address.port().to_be_bytes());
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = from;
    }
    bytes
}

/// What the handshakes of one endpoint share.
struct Door {
    shared: Arc<Shared>,
    certificates: Arc<ArcSwap<CertificateTable>>,
    /// Handshakes in progress with addresses that may be forged.
    unvalidated: AtomicUsize,
}

async fn accept(endpoint: Endpoint, door: Arc<Door>) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = closing(&door.shared) => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        door.admit(incoming);
    }
    // Whoever comes now is told at once instead of waiting for an answer.
    while let Some(incoming) = endpoint.accept().await {
        incoming.refuse();
    }
}

/// Counts a handshake with an unvalidated address while it lasts.
struct Unvalidated(Arc<Door>);

impl Drop for Unvalidated {
    fn drop(&mut self) {
        self.0.unvalidated.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    fn admit(self: &Arc<Self>, incoming: Incoming) {
        let peer = incoming.remote_address();
        let mut unvalidated = None;
        if !incoming.remote_address_validated() {
            let bound = usize::from(self.shared.limits.quic_unvalidated);
            // Whoever forges an address must not use up the places of its owner either.
            let is_full = self.unvalidated.load(Ordering::Relaxed) >= bound
                || self.shared.admission.is_crowded(peer);
            if is_full && incoming.may_retry() {
                //= RFC 9000 §8.1.2
                // The client proves its address with one more round trip.
                let _ = incoming.retry();
                return;
            }
            self.unvalidated.fetch_add(1, Ordering::Relaxed);
            unvalidated = Some(Unvalidated(Arc::clone(self)));
        }
        let permit = match self.shared.admission.enter(peer) {
            Ok(permit) => permit,
            Err(full) => {
                tracing::debug!(%peer, %full, "connection refused");
                incoming.refuse();
                return;
            }
        };
        let door = Arc::clone(self);
        self.shared.spawn(async move {
            match finish(&door.shared, handshake(incoming)).await {
                Ok(done) => {
                    drop(unvalidated);
                    door.serve(done, peer, permit).await;
                }
                Err(why) => tracing::debug!(%peer, %why, "no handshake"),
            }
        });
    }

    async fn serve(&self, done: Handshake, peer: SocketAddr, permit: Permit) {
        let Handshake { connection, data } = done;
        // The demultiplexer: `xmpp-server` and `h3` get their arms here.
        match data.protocol.as_deref() {
            Some(ALPN_CLIENT) => {
                let info = self.describe(&connection, data.server_name.as_deref());
                let security = Security::encrypted(negotiate::Transport::Quic, info);
                let windows = profile::windows(&self.shared.limits);
                let carrier = Carrier::Quic(Box::new(Quic::new(connection, windows)));
                let shared = Arc::clone(&self.shared);
                connection::serve(shared, carrier, security, peer, permit).await;
            }
            _ => connection.close(VarInt::from_u32(0), b"no such application"),
        }
    }

    fn describe(&self, connection: &Connection, name: Option<&str>) -> TlsInfo {
        let end_point = self.certificates.load().end_point(name, Missing::OnlyUnnamed);
        Quic::tls_info(connection, end_point)
    }
}

struct Handshake {
    connection: Connection,
    data: HandshakeData,
}

async fn handshake(incoming: Incoming) -> Result<Handshake, quinn::ConnectionError> {
    let mut connecting = incoming.accept()?;
    let data = known(connecting.handshake_data().await?);
    let connection = connecting.await?;
    Ok(Handshake { connection, data })
}

fn known(data: Box<dyn std::any::Any>) -> HandshakeData {
    match data.downcast::<HandshakeData>() {
        Ok(data) => *data,
        Err(_) => HandshakeData { protocol: None, server_name: None },
    }
}
