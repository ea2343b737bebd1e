//! From a configuration to an established transport.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use longwire_link::negotiate::{Security, Transport as Carried};
use longwire_transport::{ByteStream, Carrier, Quic, Upgrade, Windows};
use quinn::{
    Endpoint, IdleTimeout, TransportConfig, VarInt, congestion::BbrConfig,
    crypto::rustls::QuicClientConfig,
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    Config, ConnectError, Environment, Server, Streams, Transport, limits,
    tls::{self, Fault},
};

/// An established transport, and how safe it is.
pub(crate) struct Connection {
    pub(crate) carrier: Carrier,
    pub(crate) security: Security,
    /// The address that answered.
    pub(crate) server: SocketAddr,
    /// Why the certificate was not believed; STARTTLS finds that out later.
    pub(crate) fault: Arc<Fault>,
}

/// Tries the server's addresses in turn.
pub(crate) async fn connect(
    config: &Config,
    environment: &Environment,
) -> Result<Connection, ConnectError> {
    let mut last = None;
    for address in addresses(&config.server).await? {
        let attempt = match config.transport {
            Transport::Quic => quic(config, environment, address).await,
            Transport::Tls | Transport::StartTls | Transport::Plaintext => {
                tcp(config, address).await
            }
        };
        match attempt {
            // Another address has the same certificate, or an impostor's.
            Err(error @ ConnectError::Certificate(_)) => return Err(error),
            Err(error) => last = Some(error),
            Ok(connection) => return Ok(connection),
        }
    }
    let Server::Host(host, _) = &config.server else {
        return Err(last.unwrap_or(ConnectError::Timeout));
    };
    Err(last.unwrap_or_else(|| ConnectError::Address(host.clone())))
}

async fn addresses(server: &Server) -> Result<Vec<SocketAddr>, ConnectError> {
    match server {
        Server::Address(address) => Ok(vec![*address]),
        Server::Host(host, port) => {
            let unknown = |_| ConnectError::Address(host.clone());
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok(tokio::net::lookup_host((host, *port)).await.map_err(unknown)?.collect())
        }
    }
}

async fn quic(
    config: &Config,
    environment: &Environment,
    address: SocketAddr,
) -> Result<Connection, ConnectError> {
    let fault = |error: &dyn std::fmt::Display| ConnectError::Quic(error.to_string());
    let endpoint = match &environment.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => own_endpoint(address)?,
    };
    let noted = Arc::new(Fault::new());
    let crypto = QuicClientConfig::try_from(tls::config(&config.trust, true, &noted)?)
        .map_err(|error| fault(&error))?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(transport_config(config)));
    let connecting = endpoint
        .connect_with(client, address, config.account.domain())
        .map_err(|error| fault(&error))?;
    let connection = connecting.await.map_err(|error| blame(&noted, || fault(&error)))?;
    let security = Security::encrypted(Carried::Quic, Quic::tls_info(&connection, None));
    let streams = stream_credit(config);
    let windows = Windows {
        bidi_streams: streams,
        uni_streams: streams,
        connection_bytes: limits::CONNECTION_WINDOW,
    };
    let carrier = Carrier::Quic(Box::new(Quic::new(connection, windows)));
    Ok(Connection { carrier, security, server: address, fault: noted })
}

/// The fault of the certificate, if that is the cause of an error.
fn blame(noted: &Fault, otherwise: impl FnOnce() -> ConnectError) -> ConnectError {
    match noted.get() {
        Some(fault) => ConnectError::Certificate(fault.to_string()),
        None => otherwise(),
    }
}

/// Streams of either kind that the server may open.
fn stream_credit(config: &Config) -> u32 {
    match config.streams {
        Streams::Many | Streams::Untyped => config.streams_granted,
        Streams::One => 0,
    }
}

fn own_endpoint(server: SocketAddr) -> io::Result<Endpoint> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    Endpoint::client(any.parse().map_err(io::Error::other)?)
}

fn transport_config(config: &Config) -> TransportConfig {
    let streams = stream_credit(config);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(limits::IDLE).ok())
        .keep_alive_interval(config.keep_alive)
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(streams.into())
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW))
        .send_window(limits::SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    if let Some(rtt) = config.initial_rtt {
        transport.initial_rtt(rtt.max(Duration::from_millis(1)));
    }
    if config.is_lossy {
        transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
    }
    transport
}

async fn tcp(config: &Config, address: SocketAddr) -> Result<Connection, ConnectError> {
    let noted = Arc::new(Fault::new());
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    if config.transport == Transport::Plaintext {
        if !address.ip().is_loopback() {
            let refused = "without TLS only a server on this machine is talked to";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused).into());
        }
        let carrier = ByteStream::plain(socket, Upgrade::None, Box::new(|_| None));
        // A server may offer TLS here as well; it is not what was asked for.
        let security = Security {
            loopback_plaintext: true,
            starttls_possible: false,
            ..Security::plaintext()
        };
        let carrier = Carrier::Stream(Box::new(carrier));
        return Ok(Connection { carrier, security, server: address, fault: noted });
    }
    let is_direct = config.transport == Transport::Tls;
    let connector = TlsConnector::from(Arc::new(tls::config(&config.trust, is_direct, &noted)?));
    let domain = config.account.domain().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(domain.to_owned())
        .map_err(|_| ConnectError::Address(domain.to_owned()))?;
    if is_direct {
        let connected = connector.connect(name, socket).await;
        let socket = connected.map_err(|error| blame(&noted, || error.into()))?;
        let socket = TlsStream::Client(socket);
        let info = ByteStream::tls_info(&socket, tls::end_point(&socket));
        let security = Security::encrypted(Carried::Tcp, info);
        let carrier = Carrier::Stream(Box::new(ByteStream::tls(socket)));
        return Ok(Connection { carrier, security, server: address, fault: noted });
    }
    let upgrade = Upgrade::Connect(connector, name);
    let carrier = ByteStream::plain(socket, upgrade, Box::new(tls::end_point));
    let carrier = Carrier::Stream(Box::new(carrier));
    Ok(Connection { carrier, security: Security::plaintext(), server: address, fault: noted })
}
