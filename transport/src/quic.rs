//! The streams of one QUIC connection.

mod reader;
mod writer;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use longwire_link::{Action, Code, Direction, Refused, StreamId, Ticket, sasl::TlsInfo};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};

use crate::{Input, limits};
use reader::Readers;
use writer::Writer;

/// What the peer is granted once it has logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Bidirectional streams that may be open at once.
    pub bidi_streams: u32,
    /// Unidirectional streams that may be open at once.
    pub uni_streams: u32,
    /// Bytes in flight on the whole connection.
    pub connection_bytes: u32,
}

/// What became of our half of a stream.
type Watch = Pin<Box<dyn Future<Output = (StreamId, Option<bool>)> + Send>>;

/// The streams of one QUIC connection.
pub struct Quic {
    connection: Connection,
    raised: Windows,
    readers: Readers,
    watching: FuturesUnordered<Watch>,
    writer: Writer,
    lost: Lost,
}

/// How far the end of the connection is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lost {
    #[default]
    No,
    /// No bidirectional streams come any more; `bool`: the connection was closed in good order.
    Bidi(bool),
    /// No streams come any more.
    All(bool),
}

impl Quic {
    /// Takes over an established connection; `raised` is granted after login.
    #[must_use]
    pub fn new(connection: Connection, raised: Windows) -> Self {
        Self {
            connection,
            raised,
            readers: Readers::default(),
            watching: FuturesUnordered::new(),
            writer: Writer::default(),
            lost: Lost::No,
        }
    }

    /// Channel-binding data of the connection's TLS session.
    ///
    /// `end_point` is the hash of the server's certificate (RFC 5929 §4.1), if it is known.
    #[must_use]
    pub fn tls_info(connection: &Connection, end_point: Option<Vec<u8>>) -> TlsInfo {
        let mut secret = [0; 32];
        let exported =
            connection.export_keying_material(&mut secret, crate::EXPORTER_LABEL, b"").is_ok();
        TlsInfo { exporter: exported.then_some(secret), end_point, version13: true }
    }

    pub(crate) async fn next(&mut self) -> Input {
        loop {
            let Self { connection, readers, watching, writer, lost, .. } = self;
            let before = *lost;
            tokio::select! {
                biased;
                Some((stream, outcome)) = watching.next(), if !watching.is_empty() => {
                    writer.forget(stream);
                    match outcome {
                        Some(true) => return Input::Stopped(stream),
                        Some(false) => return Input::Drained(stream),
                        None => {}
                    }
                }
                () = poll_fn(|context| writer.poll_room(context)) => return Input::Room,
                accepted = connection.accept_bi(), if before == Lost::No => match accepted {
                    Ok((send, recv)) => return self.accept(Some(send), recv),
                    Err(error) => *lost = Lost::Bidi(is_orderly(&error)),
                },
                accepted = connection.accept_uni(), if !matches!(before, Lost::All(_)) => match accepted {
                    Ok(recv) => return self.accept(None, recv),
                    Err(error) => *lost = Lost::All(is_orderly(&error)),
                },
                // After the accepts, so that no stream keeps new ones out; the readers see to it
                // that a new stream is read after those that had something before it.
                input = poll_fn(|context| match (readers.poll_next(context), before) {
                    // What had arrived before the end has been read: the peer counts on that.
                    (Poll::Pending, Lost::All(is_orderly)) if readers.is_empty() => {
                        Poll::Ready(Input::Lost(is_orderly))
                    }
                    (input, _) => input,
                }) => return input,
            }
        }
    }

    pub(crate) fn apply(&mut self, action: Action) -> Option<(Ticket, Result<StreamId, Refused>)> {
        match action {
            Action::Write { stream, bytes } => self.writer.write(stream, bytes),
            Action::Open { ticket, direction } => {
                return Some((ticket, self.open(direction).ok_or(Refused)));
            }
            Action::Priority { stream, level } => self.writer.set_priority(stream, level),
            Action::Finish { stream } => self.writer.finish(stream),
            Action::Reset { stream, code } => self.writer.reset(stream, varint(code)),
            Action::StopSending { stream, code } => self.readers.stop(stream, varint(code)),
            Action::Raise => self.raise(),
            Action::StartTls | Action::Close { .. } => {}
        }
        None
    }

    pub(crate) fn set_paused(&mut self, is_paused: bool) {
        self.readers.set_paused(is_paused);
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.backlog() >= limits::BACKLOG_BYTES
    }

    /// Bytes that wait for the peer.
    pub(crate) fn backlog(&self) -> usize {
        self.writer.backlog()
    }

    pub(crate) async fn close(mut self, code: Code) {
        let connection = self.connection.clone();
        let delivered = async {
            self.writer.finish_all();
            while !self.writer.is_empty() {
                let Self { watching, writer, .. } = &mut self;
                tokio::select! {
                    biased;
                    Some((stream, _)) = watching.next(), if !watching.is_empty() => {
                        writer.forget(stream);
                    }
                    () = poll_fn(|context| writer.poll_room(context)) => {}
                    _ = connection.closed() => return,
                }
            }
        };
        // A peer that acknowledges nothing does not hold us up.
        let _ = tokio::time::timeout(limits::CLOSE_WAIT, delivered).await;
        connection.close(varint(code), b"");
    }

    /// Tries to open a stream; without credit there is none, and nobody waits.
    fn open(&mut self, direction: Direction) -> Option<StreamId> {
        match direction {
            Direction::Bidi => {
                let (send, recv) = now(self.connection.open_bi())?.ok()?;
                self.readers.add(id(recv.id()), recv);
                Some(self.add_sending(send))
            }
            Direction::Uni => {
                let send = now(self.connection.open_uni())?.ok()?;
                Some(self.add_sending(send))
            }
        }
    }

    fn accept(&mut self, send: Option<SendStream>, recv: RecvStream) -> Input {
        let stream = id(recv.id());
        let direction = if send.is_some() { Direction::Bidi } else { Direction::Uni };
        if let Some(send) = send {
            self.add_sending(send);
        }
        self.readers.add(stream, recv);
        Input::Opened(stream, direction)
    }

    fn add_sending(&mut self, send: SendStream) -> StreamId {
        let stream = id(send.id());
        let stopped = send.stopped();
        self.watching
            .push(Box::pin(async move { (stream, stopped.await.ok().map(|code| code.is_some())) }));
        self.writer.add(stream, send);
        stream
    }

    fn raise(&self) {
        self.connection.set_max_concurrent_bi_streams(self.raised.bidi_streams.into());
        self.connection.set_max_concurrent_uni_streams(self.raised.uni_streams.into());
        self.connection.set_receive_window(self.raised.connection_bytes.into());
    }
}

fn id(stream: quinn::StreamId) -> StreamId {
    StreamId(VarInt::from(stream).into_inner())
}

fn varint(code: Code) -> VarInt {
    VarInt::from_u32(code as u32)
}

fn is_orderly(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close)
        if close.error_code == VarInt::from_u32(0))
}

/// The result of a future that is ready, or nothing.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
