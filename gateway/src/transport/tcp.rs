//! One TCP connection, in the clear or under TLS, as stream 0.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use longwire_link::sasl::TlsInfo;
use longwire_link::{Action, Refused, StreamId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::{Applied, Closing, Input};
use crate::limits::{LINGER, READ_CHUNK};

/// The one stream of a TCP connection.
const STREAM: StreamId = StreamId(0);

/// Makes the link's view of a finished TLS handshake.
pub(crate) type Describe = Arc<dyn Fn(&rustls::ServerConnection) -> TlsInfo + Send + Sync>;

/// How STARTTLS is answered.
#[derive(Clone)]
pub(crate) struct Upgrade {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) describe: Describe,
}

/// A TCP connection.
pub(crate) struct TcpTransport {
    io: Io,
    upgrade: Option<Upgrade>,
    /// TLS was asked for and starts once the queue is empty.
    starting_tls: bool,
    queue: VecDeque<Bytes>,
    backlog: usize,
    buffer: BytesMut,
    reading: bool,
    unflushed: bool,
}

enum Io {
    Plain(TcpStream),
    Handshake(Pin<Box<Accept<TcpStream>>>),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

impl TcpTransport {
    /// A connection in the clear, which may turn to TLS.
    pub(crate) fn plain(stream: TcpStream, upgrade: Option<Upgrade>) -> Self {
        Self::new(Io::Plain(stream), upgrade)
    }

    /// A connection under TLS.
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::new(Io::Tls(Box::new(stream)), None)
    }

    fn new(io: Io, upgrade: Option<Upgrade>) -> Self {
        Self {
            io,
            upgrade,
            starting_tls: false,
            queue: VecDeque::new(),
            backlog: 0,
            buffer: BytesMut::new(),
            reading: true,
            unflushed: false,
        }
    }

    pub(crate) const fn backlog(&self) -> usize {
        self.backlog
    }

    pub(crate) const fn read_again(&mut self) {
        self.reading = true;
    }

    pub(crate) fn apply(&mut self, action: Action) -> Applied {
        match action {
            Action::Write { bytes, .. } => {
                self.backlog += bytes.len();
                self.queue.push_back(bytes);
            }
            Action::StartTls => self.starting_tls = true,
            // There is one stream, and TCP has no credit to raise.
            Action::Open { ticket, .. } => return Applied::Opened(ticket, Err(Refused)),
            Action::Priority { .. } | Action::Raise => {}
            Action::Finish { .. } | Action::Reset { .. } | Action::StopSending { .. } => {}
            Action::Close { code } => return Applied::Close(Closing(code)),
        }
        Applied::Done
    }

    pub(crate) async fn next(&mut self) -> Input {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        if let Io::Handshake(handshake) = &mut self.io {
            return match ready!(handshake.as_mut().poll(context)) {
                Ok(stream) => Poll::Ready(self.secured(stream)),
                Err(error) => Poll::Ready(self.lost(&error)),
            };
        }
        let before = self.backlog;
        match self.poll_write(context) {
            Poll::Ready(Err(error)) => return Poll::Ready(self.lost(&error)),
            Poll::Ready(Ok(())) if self.starting_tls => return self.start_tls(context),
            _ if self.backlog < before => return Poll::Ready(Input::Written),
            _ => {}
        }
        // What follows a request for TLS on the wire is the handshake, not ours to read.
        if !self.reading || self.starting_tls {
            return Poll::Pending;
        }
        match ready!(self.poll_read(context)) {
            Ok(bytes) if bytes.is_empty() => {
                self.reading = false;
                Poll::Ready(Input::Finished(STREAM))
            }
            Ok(bytes) => {
                self.reading = false;
                Poll::Ready(Input::Bytes(STREAM, bytes))
            }
            Err(error) => Poll::Ready(self.lost(&error)),
        }
    }

    fn start_tls(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        self.starting_tls = false;
        let io = std::mem::replace(&mut self.io, Io::Gone);
        let (Io::Plain(stream), Some(upgrade)) = (io, &self.upgrade) else {
            return Poll::Ready(Input::Lost("TLS is not available here".to_owned()));
        };
        self.io = Io::Handshake(Box::pin(upgrade.acceptor.accept(stream)));
        self.poll_next(context)
    }

    fn secured(&mut self, stream: TlsStream<TcpStream>) -> Input {
        let Some(upgrade) = &self.upgrade else {
            return Input::Lost("TLS is not available here".to_owned());
        };
        let info = (upgrade.describe)(stream.get_ref().1);
        self.io = Io::Tls(Box::new(stream));
        Input::Secured(Box::new(info))
    }

    fn lost(&mut self, error: &io::Error) -> Input {
        self.io = Io::Gone;
        self.queue.clear();
        self.backlog = 0;
        Input::Lost(error.to_string())
    }

    /// Writes the queue. Ready when it is empty and flushed.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(first) = self.queue.front_mut() {
            let written = match &mut self.io {
                Io::Plain(stream) => ready!(Pin::new(stream).poll_write(context, first))?,
                Io::Tls(stream) => ready!(Pin::new(stream.as_mut()).poll_write(context, first))?,
                Io::Handshake(_) | Io::Gone => return Poll::Pending,
            };
            if written == 0 && !first.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.backlog -= written;
            first.advance(written);
            if first.is_empty() {
                self.queue.pop_front();
            }
        }
        if self.unflushed {
            match &mut self.io {
                Io::Plain(stream) => ready!(Pin::new(stream).poll_flush(context))?,
                Io::Tls(stream) => ready!(Pin::new(stream.as_mut()).poll_flush(context))?,
                Io::Handshake(_) | Io::Gone => {}
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads some bytes; none means that the peer sends no more.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut chunk = [std::mem::MaybeUninit::uninit(); READ_CHUNK];
        let mut target = ReadBuf::uninit(&mut chunk);
        match &mut self.io {
            Io::Plain(stream) => ready!(Pin::new(stream).poll_read(context, &mut target))?,
            Io::Tls(stream) => {
                match ready!(Pin::new(stream.as_mut()).poll_read(context, &mut target)) {
                    // Many clients leave without TLS's farewell; the stream's own end tag counts.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                    result => result?,
                }
            }
            Io::Handshake(_) | Io::Gone => return Poll::Pending,
        }
        self.buffer.extend_from_slice(target.filled());
        Poll::Ready(Ok(self.buffer.split().freeze()))
    }

    /// Sends what is queued, says goodbye, and waits a little for the peer to do the same, so
    /// that unread input does not make the kernel throw our last words away.
    pub(crate) async fn finish(mut self) {
        let goodbye = async {
            poll_fn(|context| self.poll_write(context)).await?;
            match &mut self.io {
                Io::Plain(stream) => stream.shutdown().await?,
                Io::Tls(stream) => stream.shutdown().await?,
                Io::Handshake(_) | Io::Gone => return Ok(()),
            }
            while !poll_fn(|context| self.poll_read(context)).await?.is_empty() {}
            Ok::<_, io::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(LINGER, goodbye).await {
            tracing::trace!(%error, "the connection broke while it was closed");
        }
    }
}
