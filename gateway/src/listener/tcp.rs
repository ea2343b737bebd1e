//! TCP: with TLS from the first byte, with STARTTLS, or in the clear on this machine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use longwire_link::negotiate::{self, Security};
use longwire_link::sasl::TlsInfo;
use rustls::{ProtocolVersion, ServerConnection};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{Open, Opened, closing};
use crate::admission::Permit;
use crate::config::{Listener, TransportKind};
use crate::connection;
use crate::limits::TCP_BACKLOG;
use crate::server::ServeError;
use crate::shared::Shared;
use crate::tls::{self, CertificateTable, EXPORTER_LABEL, EXPORTER_LEN, Missing, Resolver};
use crate::transport::Transport;
use crate::transport::tcp::{TcpTransport, Upgrade};

/// How long accepting pauses when the system has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

pub(super) fn open(
    listener: &Listener,
    ground: &Open<'_>,
    shared: Arc<Shared>,
) -> Result<Opened, ServeError> {
    let resolver = Resolver::new(Arc::clone(ground.certificates), Missing::FirstHost);
    let certificates = Arc::clone(ground.certificates);
    let upgrade = Upgrade {
        acceptor: TlsAcceptor::from(tls::tcp_config(resolver)?),
        describe: Arc::new(move |connection| describe(&certificates, connection)),
    };
    let failed =
        |reason| ServeError::Listen { address: listener.address, transport: "TCP", reason };
    let socket = listen(listener.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let door = Arc::new(Door {
        shared,
        upgrade,
        direct: listener.transport == TransportKind::Tls,
        plaintext: listener.plaintext,
    });
    Ok(Opened { address, accept: Box::pin(accept(socket, door)), endpoint: None })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct Door {
    shared: Arc<Shared>,
    upgrade: Upgrade,
    direct: bool,
    plaintext: bool,
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing(&door.shared) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => door.admit(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

impl Door {
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.shared.admission.enter(peer) {
            Ok(permit) => permit,
            Err(full) => {
                tracing::debug!(%peer, %full, "connection refused");
                return;
            }
        };
        // Stanzas are small and somebody waits for them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "cannot turn off Nagle's algorithm");
        }
        let door = Arc::clone(self);
        self.shared.spawn(async move { door.serve(stream, peer, permit).await });
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: Permit) {
        let shared = Arc::clone(&self.shared);
        if !self.direct {
            let mut security = Security::plaintext();
            security.loopback_plaintext = self.plaintext && peer.ip().to_canonical().is_loopback();
            let transport = TcpTransport::plain(stream, Some(self.upgrade.clone()));
            let transport = Transport::Tcp(Box::new(transport));
            return connection::serve(shared, transport, security, peer, permit).await;
        }
        let limit = shared.limits.handshake_time.duration();
        match timeout(limit, self.upgrade.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let info = (self.upgrade.describe)(stream.get_ref().1);
                let security = Security::encrypted(negotiate::Transport::Tcp, info);
                let transport = Transport::Tcp(Box::new(TcpTransport::tls(stream)));
                connection::serve(shared, transport, security, peer, permit).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "handshake failed"),
            Err(_) => tracing::debug!(%peer, "handshake took too long"),
        }
    }
}

/// The channel binding values of a finished handshake.
fn describe(certificates: &ArcSwap<CertificateTable>, connection: &ServerConnection) -> TlsInfo {
    let exporter =
        connection.export_keying_material([0; EXPORTER_LEN], EXPORTER_LABEL, Some(&[])).ok();
    let end_point = certificates.load().end_point(connection.server_name(), Missing::FirstHost);
    TlsInfo {
        exporter,
        end_point: end_point.map(|value| value.to_vec()),
        version13: connection.protocol_version() == Some(ProtocolVersion::TLSv1_3),
    }
}
