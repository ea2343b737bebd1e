//! TCP: with TLS from the first byte, with STARTTLS, or in the clear on this machine.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use longwire_link::negotiate::{self, Security};
use longwire_transport::{ByteStream, Carrier, Upgrade};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Open, Opened, closing, finish};
use crate::admission::Permit;
use crate::config::{Listener, TransportKind};
use crate::connection;
use crate::limits::TCP_BACKLOG;
use crate::server::ServeError;
use crate::shared::Shared;
use crate::tls::{self, CertificateTable, Missing, Resolver};

type TlsStream = tokio_rustls::TlsStream<TcpStream>;

/// Unanswered questions after which a silent connection is given up, within another idle time.
const PROBES: u32 = 5;

/// How long accepting pauses when the system has no file descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

pub(super) fn open(
    listener: &Listener,
    ground: &Open<'_>,
    shared: Arc<Shared>,
) -> Result<Opened, ServeError> {
    let direct = listener.transport == TransportKind::Tls;
    let missing = if direct { Missing::FirstUnnamed } else { Missing::FirstHost };
    let resolver = Resolver::new(Arc::clone(ground.certificates), missing);
    let certificates = Arc::clone(ground.certificates);
    let acceptor = TlsAcceptor::from(tls::tcp_config(resolver)?);
    let failed =
        |reason| ServeError::Listen { address: listener.address, transport: "TCP", reason };
    let socket = listen(listener.address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let door =
        Arc::new(Door { shared, acceptor, certificates, direct, plaintext: listener.plaintext });
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
    acceptor: TlsAcceptor,
    certificates: Arc<ArcSwap<CertificateTable>>,
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
        if let Err(error) = prepare(&stream, self.shared.limits.idle_time.duration()) {
            tracing::debug!(%peer, %error, "cannot prepare a connection");
        }
        let door = Arc::clone(self);
        self.shared.spawn(async move { door.serve(stream, peer, permit).await });
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: Permit) {
        let shared = Arc::clone(&self.shared);
        if !self.direct {
            let mut security = Security::plaintext();
            security.loopback_plaintext = self.plaintext && peer.ip().to_canonical().is_loopback();
            let upgrade = Upgrade::Accept(self.acceptor.clone());
            let certificates = Arc::clone(&self.certificates);
            let end_point = Box::new(move |stream: &TlsStream| end_point(&certificates, stream));
            let stream = ByteStream::plain(stream, upgrade, end_point);
            let carrier = Carrier::Stream(Box::new(stream));
            return connection::serve(shared, carrier, security, peer, permit).await;
        }
        match finish(&shared, self.acceptor.accept(stream)).await {
            Ok(stream) => {
                let stream = TlsStream::Server(stream);
                let end_point = end_point(&self.certificates, &stream);
                let info = ByteStream::tls_info(&stream, end_point);
                let security = Security::encrypted(negotiate::Transport::Tcp, info);
                let carrier = Carrier::Stream(Box::new(ByteStream::tls(stream)));
                connection::serve(shared, carrier, security, peer, permit).await;
            }
            Err(why) => tracing::debug!(%peer, %why, "no handshake"),
        }
    }
}

/// Sets what every connection needs.
fn prepare(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    // Stanzas are small and somebody waits for them.
    stream.set_nodelay(true)?;
    // A peer that went without a word (no power, no network) would stay for ever: after the idle
    // time the system asks, and a session ends whose other end does not answer.
    let probe = (idle / PROBES).max(Duration::from_secs(1));
    let keep_alive = TcpKeepalive::new().with_time(idle.max(probe)).with_interval(probe);
    SockRef::from(stream).set_tcp_keepalive(&keep_alive.with_retries(PROBES))
}

/// The `tls-server-end-point` value of the certificate that this connection was answered with:
/// after the handshake, any name that is none of ours was answered by the first host.
fn end_point(certificates: &ArcSwap<CertificateTable>, stream: &TlsStream) -> Option<Vec<u8>> {
    let TlsStream::Server(stream) = stream else { return None };
    certificates.load().end_point(stream.get_ref().1.server_name(), Missing::FirstHost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_asked_after_the_idle_time_and_given_up() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        prepare(&stream, Duration::from_secs(600)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(600));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(120));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        // The smallest times that the system knows are whole seconds.
        prepare(&stream, Duration::from_millis(200)).unwrap();
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(1));
    }
}
