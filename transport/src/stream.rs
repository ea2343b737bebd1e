//! One stream of bytes: TCP, with TLS from the start, later, or (loopback only) never.

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use longwire_link::{Action, Refused, StreamId, Ticket, sasl::TlsInfo};
use rustls::{ProtocolVersion, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::{Input, limits};

/// How TLS starts when the link asks for it.
#[derive(Clone)]
pub enum Upgrade {
    /// As the server.
    Accept(TlsAcceptor),
    /// As the client, with the name that the certificate must carry.
    Connect(TlsConnector, ServerName<'static>),
    /// Never.
    None,
}

/// Finds the hash for the channel binding type tls-server-end-point (RFC 5929 §4.1).
pub type EndPoint = Box<dyn Fn(&TlsStream<TcpStream>) -> Option<Vec<u8>> + Send>;

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS failed, or is being negotiated by a future that was dropped.
    Gone,
}

/// One stream of bytes.
pub struct ByteStream {
    socket: Socket,
    upgrade: Upgrade,
    end_point: EndPoint,
    outgoing: BytesMut,
    handshake: Option<Handshake>,
    is_paused: bool,
    is_opened: bool,
}

type Handshake = Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>>;

/// Number of the only stream.
const ONLY: StreamId = StreamId(0);

impl ByteStream {
    /// A stream without TLS yet.
    #[must_use]
    pub fn plain(socket: TcpStream, upgrade: Upgrade, end_point: EndPoint) -> Self {
        Self::new(Socket::Plain(socket), upgrade, end_point)
    }

    /// A stream that has TLS from its start (XEP-0368).
    #[must_use]
    pub fn tls(socket: TlsStream<TcpStream>) -> Self {
        Self::new(Socket::Tls(Box::new(socket)), Upgrade::None, Box::new(|_| None))
    }

    fn new(socket: Socket, upgrade: Upgrade, end_point: EndPoint) -> Self {
        Self {
            socket,
            upgrade,
            end_point,
            outgoing: BytesMut::new(),
            handshake: None,
            is_paused: false,
            is_opened: true,
        }
    }

    /// Channel-binding data of an established TLS session.
    #[must_use]
    pub fn tls_info(socket: &TlsStream<TcpStream>, end_point: Option<Vec<u8>>) -> TlsInfo {
        let version13 = match socket {
            TlsStream::Client(stream) => stream.get_ref().1.protocol_version(),
            TlsStream::Server(stream) => stream.get_ref().1.protocol_version(),
        } == Some(ProtocolVersion::TLSv1_3);
        let label = crate::EXPORTER_LABEL;
        let exported = match socket {
            TlsStream::Client(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], label, Some(b""))
            }
            TlsStream::Server(stream) => {
                stream.get_ref().1.export_keying_material([0; 32], label, Some(b""))
            }
        };
        // Before TLS 1.3 the exporter binds only with an extension that cannot be asked for here.
        let exporter = exported.ok().filter(|_| version13);
        TlsInfo { exporter, end_point, version13 }
    }

    pub(crate) async fn next(&mut self) -> Input {
        if let Some(handshake) = &mut self.handshake {
            let result = handshake.as_mut().await;
            self.handshake = None;
            let Ok(socket) = result else { return Input::Lost(false) };
            let info = Self::tls_info(&socket, (self.end_point)(&socket));
            self.socket = Socket::Tls(Box::new(socket));
            return Input::Tls(info);
        }
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let was_congested = self.is_congested();
        if self.poll_write(cx).is_err() {
            return Poll::Ready(Input::Lost(false));
        }
        if was_congested && !self.is_congested() {
            return Poll::Ready(Input::Room);
        }
        if self.is_paused {
            return Poll::Pending;
        }
        // On the stack, and copied: an idle connection holds no buffer, and a stanza that somebody
        // keeps (presence) holds on to no more than its own chunk.
        let mut space = [const { MaybeUninit::uninit() }; limits::RECORD_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        let polled = match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, &mut read),
            Socket::Tls(socket) => Pin::new(socket.as_mut()).poll_read(cx, &mut read),
            Socket::Gone => return Poll::Ready(Input::Lost(false)),
        };
        match (polled, read.filled()) {
            (Poll::Pending, _) => Poll::Pending,
            (Poll::Ready(Ok(())), chunk @ [_, ..]) => {
                Poll::Ready(Input::Bytes(ONLY, Bytes::copy_from_slice(chunk)))
            }
            (Poll::Ready(result), _) => Poll::Ready(Input::Lost(result.is_ok())),
        }
    }

    /// Writes what the socket takes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let polled = match &mut self.socket {
                Socket::Plain(socket) => Pin::new(socket).poll_write(cx, &self.outgoing),
                Socket::Tls(socket) => Pin::new(socket.as_mut()).poll_write(cx, &self.outgoing),
                Socket::Gone => return Err(io::ErrorKind::NotConnected.into()),
            };
            match polled {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.outgoing.advance(written),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            if self.outgoing.is_empty() {
                // What a burst needed is given back.
                self.outgoing = BytesMut::new();
            }
        }
        if let Socket::Tls(socket) = &mut self.socket {
            // Pending means that records still wait for the socket: the next poll goes on.
            if let Poll::Ready(Err(error)) = Pin::new(socket.as_mut()).poll_flush(cx) {
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, action: Action) -> Option<(Ticket, Result<StreamId, Refused>)> {
        match action {
            Action::Write { bytes, .. } if self.is_opened => {
                self.outgoing.extend_from_slice(&bytes);
            }
            Action::Open { ticket, .. } => return Some((ticket, Err(Refused))),
            Action::StartTls => self.start_tls(),
            Action::Finish { .. } | Action::Reset { .. } => self.is_opened = false,
            _ => {}
        }
        None
    }

    fn start_tls(&mut self) {
        let Socket::Plain(socket) = std::mem::replace(&mut self.socket, Socket::Gone) else {
            return;
        };
        let mut clear = self.outgoing.split();
        let upgrade = self.upgrade.clone();
        self.handshake = Some(Box::pin(async move {
            let mut socket = socket;
            socket.write_all_buf(&mut clear).await?;
            Ok(match upgrade {
                Upgrade::Accept(acceptor) => TlsStream::Server(acceptor.accept(socket).await?),
                Upgrade::Connect(connector, name) => {
                    TlsStream::Client(connector.connect(name, socket).await?)
                }
                Upgrade::None => return Err(io::ErrorKind::Unsupported.into()),
            })
        }));
    }

    pub(crate) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.backlog() >= limits::BACKLOG_BYTES
    }

    /// Bytes that wait for the peer.
    pub(crate) fn backlog(&self) -> usize {
        self.outgoing.len()
    }

    /// Sends what waits, says goodbye, and lets the peer do the same: input that nobody read would
    /// make the system throw our last words away.
    pub(crate) async fn close(mut self) {
        let outgoing = self.outgoing.split().freeze();
        let delivered = async {
            match &mut self.socket {
                Socket::Plain(socket) => part(socket, &outgoing).await,
                Socket::Tls(socket) => part(socket.as_mut(), &outgoing).await,
                Socket::Gone => Ok(()),
            }
        };
        // A peer that does neither read nor close does not hold us up.
        let _ = tokio::time::timeout(limits::CLOSE_WAIT, delivered).await;
    }
}

async fn part<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    outgoing: &[u8],
) -> io::Result<()> {
    socket.write_all(outgoing).await?;
    socket.shutdown().await?;
    // On the heap: an array would be part of every connection's future from its start.
    let mut unread = vec![0; limits::RECORD_BYTES];
    while socket.read(&mut unread).await? > 0 {}
    Ok(())
}
