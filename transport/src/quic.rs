//! The streams of one QUIC connection.

mod writer;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use longwire_link::{Action, Code, Direction, Refused, StreamId, Ticket, sasl::TlsInfo};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt};

use crate::{Input, limits};
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

/// A read of one stream: the stream comes back with what was read.
type Reading = Pin<Box<dyn Future<Output = (RecvStream, Read)> + Send>>;

enum Read {
    Bytes(bytes::Bytes),
    Finished,
    Reset,
    Lost,
}

/// What became of our half of a stream.
type Watch = Pin<Box<dyn Future<Output = (StreamId, Option<bool>)> + Send>>;

/// The streams of one QUIC connection.
pub struct Quic {
    connection: Connection,
    raised: Windows,
    reading: FuturesUnordered<Reading>,
    parked: Vec<RecvStream>,
    /// The stream that was read last: the caller may still want to stop it.
    last: Option<RecvStream>,
    turns: u32,
    stops: BTreeMap<StreamId, Code>,
    watching: FuturesUnordered<Watch>,
    writer: Writer,
    is_paused: bool,
}

impl Quic {
    /// Takes over an established connection; `raised` is granted after login.
    #[must_use]
    pub fn new(connection: Connection, raised: Windows) -> Self {
        Self {
            connection,
            raised,
            reading: FuturesUnordered::new(),
            parked: Vec::new(),
            last: None,
            turns: 0,
            stops: BTreeMap::new(),
            watching: FuturesUnordered::new(),
            writer: Writer::default(),
            is_paused: false,
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
        let connection = self.connection.clone();
        if let Some(recv) = self.last.take() {
            self.read_on(recv);
        }
        loop {
            if let Some(input) = self.accept_now() {
                return input;
            }
            // Streams that are open go before new ones, so that what a conversation left on its
            // old stream is taken before what it says on its next one.
            tokio::select! {
                biased;
                Some((recv, read)) = self.reading.next(), if !self.reading.is_empty() => {
                    if let Some(input) = self.take_read(recv, read) {
                        return input;
                    }
                }
                Some((stream, outcome)) = self.watching.next(), if !self.watching.is_empty() => {
                    self.writer.forget(stream);
                    match outcome {
                        Some(true) => return Input::Stopped(stream),
                        Some(false) => return Input::Drained(stream),
                        None => {}
                    }
                }
                () = self.writer.progress(), if self.writer.is_busy() => {}
                accepted = connection.accept_bi(), if !self.is_paused => match accepted {
                    Ok((send, recv)) => return self.accept(Some(send), recv),
                    Err(error) => return lost(&error),
                },
                accepted = connection.accept_uni(), if !self.is_paused => match accepted {
                    Ok(recv) => return self.accept(None, recv),
                    Err(error) => return lost(&error),
                },
                error = connection.closed() => return lost(&error),
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
            Action::StopSending { stream, code } => {
                self.stop(stream, code);
            }
            Action::Raise => self.raise(),
            Action::StartTls | Action::Close { .. } => {}
        }
        None
    }

    pub(crate) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        if !is_paused {
            for recv in std::mem::take(&mut self.parked) {
                self.read_on(recv);
            }
        }
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.writer.backlog() >= limits::BACKLOG_BYTES
    }

    pub(crate) async fn close(mut self, code: Code) {
        let connection = self.connection.clone();
        let delivered = async {
            self.writer.finish_all();
            while self.writer.is_busy() || !self.writer.is_empty() {
                tokio::select! {
                    () = self.writer.progress(), if self.writer.is_busy() => {}
                    Some((stream, _)) = self.watching.next(), if !self.watching.is_empty() => {
                        self.writer.forget(stream);
                    }
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
        let connection = self.connection.clone();
        match direction {
            Direction::Bidi => {
                let (send, recv) = now(connection.open_bi())?.ok()?;
                self.read_on(recv);
                Some(self.add_sending(send))
            }
            Direction::Uni => Some(self.add_sending(now(connection.open_uni())?.ok()?)),
        }
    }

    /// Busy streams must not keep new ones out for ever.
    fn accept_now(&mut self) -> Option<Input> {
        self.turns = self.turns.wrapping_add(1);
        if self.is_paused || !self.turns.is_multiple_of(limits::TURNS_BEFORE_ACCEPT) {
            return None;
        }
        let connection = self.connection.clone();
        if let Some(Ok((send, recv))) = now(connection.accept_bi()) {
            return Some(self.accept(Some(send), recv));
        }
        let recv = now(connection.accept_uni())?.ok()?;
        Some(self.accept(None, recv))
    }

    fn accept(&mut self, send: Option<SendStream>, recv: RecvStream) -> Input {
        let stream = id(recv.id());
        let direction = if send.is_some() { Direction::Bidi } else { Direction::Uni };
        if let Some(send) = send {
            self.add_sending(send);
        }
        self.read_on(recv);
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

    fn read_on(&mut self, mut recv: RecvStream) {
        if self.is_paused {
            return self.parked.push(recv);
        }
        self.reading.push(Box::pin(async move {
            let read = match recv.read_chunk(limits::READ_BYTES, true).await {
                Ok(Some(chunk)) => Read::Bytes(chunk.bytes),
                Ok(None) => Read::Finished,
                Err(ReadError::Reset(_)) => Read::Reset,
                Err(_) => Read::Lost,
            };
            (recv, read)
        }));
    }

    fn take_read(&mut self, mut recv: RecvStream, read: Read) -> Option<Input> {
        let stream = id(recv.id());
        if let Some(code) = self.stops.remove(&stream) {
            let _ = recv.stop(varint(code));
            return matches!(read, Read::Finished | Read::Reset).then_some(Input::Reset(stream));
        }
        match read {
            Read::Bytes(bytes) => {
                self.last = Some(recv);
                Some(Input::Bytes(stream, bytes))
            }
            Read::Finished => Some(Input::Finished(stream)),
            Read::Reset => Some(Input::Reset(stream)),
            Read::Lost => None,
        }
    }

    /// Stops a stream now, or when the read that has it comes back.
    fn stop(&mut self, stream: StreamId, code: Code) {
        let is_wanted = |recv: &mut RecvStream| id(recv.id()) == stream;
        let found = self.last.take_if(is_wanted).or_else(|| {
            let index = self.parked.iter_mut().position(is_wanted)?;
            Some(self.parked.swap_remove(index))
        });
        match found {
            // It fails only for streams that are over.
            Some(mut recv) => drop(recv.stop(varint(code))),
            None => drop(self.stops.insert(stream, code)),
        }
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

fn lost(error: &ConnectionError) -> Input {
    let is_orderly = matches!(error, ConnectionError::ApplicationClosed(close)
        if close.error_code == VarInt::from_u32(0));
    Input::Lost(is_orderly)
}

/// The result of a future that is ready, or nothing.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
