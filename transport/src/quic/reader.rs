//! The peer's halves of the streams, read in the order in which they got something to read.
//!
//! A sender moves a conversation to another stream after the old one was acknowledged, which says
//! that its bytes have arrived here, not that they were read. So the streams are read in the
//! order in which they became readable, each until it is empty, also after a pause: while nothing
//! is handed out, the first bytes of each stream are taken aside, which keeps that order.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use longwire_link::StreamId;
use quinn::{ReadError, RecvStream, VarInt};
use tokio::sync::oneshot;

use crate::{Input, limits};

/// The peer's halves of the streams.
#[derive(Default)]
pub(super) struct Readers {
    /// Streams that have nothing at the moment.
    waiting: FuturesUnordered<Waiting>,
    /// Streams that have something, the longest waiting first. One entry per stream.
    ready: VecDeque<Ready>,
    /// The stream that was read last.
    turn: Option<Turn>,
    /// Ends the wait of a stream. One entry per waiting stream.
    stops: BTreeMap<StreamId, oneshot::Sender<VarInt>>,
    is_paused: bool,
}

struct Reader {
    id: StreamId,
    stream: RecvStream,
    stop: oneshot::Receiver<VarInt>,
}

struct Turn {
    reader: Reader,
    /// Bytes until other streams get their turn.
    left: usize,
}

enum Ready {
    Bytes(Reader, Bytes),
    End(Input),
    /// The connection is over, and all of the stream was read.
    Lost(StreamId),
}

/// A stream that waits for bytes. The stream comes back with them.
struct Waiting(Option<Reader>);

impl Readers {
    pub(super) fn add(&mut self, id: StreamId, stream: RecvStream) {
        let (stopper, stop) = oneshot::channel();
        self.stops.insert(id, stopper);
        self.waiting.push(Waiting(Some(Reader { id, stream, stop })));
    }

    /// Hands out nothing while paused.
    pub(super) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Stops a stream; the link hears of it as a reset, so that it can forget the stream.
    pub(super) fn stop(&mut self, id: StreamId, code: VarInt) {
        let Some(stopper) = self.stops.remove(&id) else { return };
        let is_wanted = |ready: &Ready| matches!(ready, Ready::Bytes(reader, _) if reader.id == id);
        let held = match self.turn.take_if(|turn| turn.reader.id == id) {
            Some(turn) => Some(turn.reader),
            None => self.ready.iter().position(is_wanted).and_then(|place| {
                match self.ready.remove(place)? {
                    Ready::Bytes(reader, _) => Some(reader),
                    Ready::End(_) | Ready::Lost(_) => None,
                }
            }),
        };
        match held {
            Some(mut reader) => {
                // It fails only for streams that are over.
                let _ = reader.stream.stop(code);
                self.ready.push_back(Ready::End(Input::Reset(id)));
            }
            None => drop(stopper.send(code)),
        }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        if !self.is_paused
            && let Some(input) = self.go_on()
        {
            return Poll::Ready(input);
        }
        while let Poll::Ready(Some(ready)) = self.waiting.poll_next_unpin(context) {
            self.queue(ready);
            if !self.is_paused
                && let Some(input) = self.go_on()
            {
                return Poll::Ready(input);
            }
        }
        Poll::Pending
    }

    /// True when no stream has anything, nor ever will.
    pub(super) fn is_empty(&self) -> bool {
        self.turn.is_none() && self.ready.is_empty() && self.waiting.is_empty()
    }

    fn queue(&mut self, ready: Ready) {
        match ready {
            Ready::Lost(id) => drop(self.stops.remove(&id)),
            ready => self.ready.push_back(ready),
        }
    }

    /// More of the stream whose turn it is, or the first of the next one.
    fn go_on(&mut self) -> Option<Input> {
        if let Some(Turn { mut reader, left }) = self.turn.take() {
            let mut context = Context::from_waker(Waker::noop());
            if left == 0 {
                self.waiting.push(Waiting(Some(reader)));
            } else if let Poll::Ready(read) = reader.poll_read(&mut context) {
                if let Some(input) = self.hand_out(read.with(reader), left) {
                    return Some(input);
                }
            } else {
                self.waiting.push(Waiting(Some(reader)));
            }
        }
        let ready = self.ready.pop_front()?;
        self.hand_out(ready, limits::TURN_BYTES)
    }

    fn hand_out(&mut self, ready: Ready, left: usize) -> Option<Input> {
        match ready {
            Ready::Bytes(reader, bytes) => {
                let id = reader.id;
                self.turn = Some(Turn { reader, left: left.saturating_sub(bytes.len()) });
                Some(Input::Bytes(id, bytes))
            }
            Ready::End(input) => {
                if let Input::Finished(id) | Input::Reset(id) = &input {
                    self.stops.remove(id);
                }
                Some(input)
            }
            Ready::Lost(id) => {
                self.stops.remove(&id);
                None
            }
        }
    }
}

/// What one read gave.
enum Read {
    Bytes(Bytes),
    End(Input),
    Lost,
}

impl Read {
    fn with(self, reader: Reader) -> Ready {
        match self {
            Self::Bytes(bytes) => Ready::Bytes(reader, bytes),
            Self::End(input) => Ready::End(input),
            Self::Lost => Ready::Lost(reader.id),
        }
    }
}

impl Reader {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Read> {
        // quinn remembers whom to wake by the stream, so the future itself need not stay.
        let read = pin!(self.stream.read_chunk(limits::READ_BYTES, true)).poll(context);
        read.map(|read| match read {
            // A copy: what is kept of a chunk would otherwise keep the packets that came with it,
            // up to 64 KiB for a stanza of a few bytes.
            Ok(Some(chunk)) => Read::Bytes(Bytes::copy_from_slice(&chunk.bytes)),
            Ok(None) => Read::End(Input::Finished(self.id)),
            Err(ReadError::ConnectionLost(_)) => Read::Lost,
            Err(_) => Read::End(Input::Reset(self.id)),
        })
    }
}

impl Future for Waiting {
    type Output = Ready;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ready> {
        let Some(mut reader) = self.0.take() else { return Poll::Pending };
        if let Poll::Ready(Ok(code)) = Pin::new(&mut reader.stop).poll(context) {
            // It fails only for streams that are over.
            let _ = reader.stream.stop(code);
            return Poll::Ready(Ready::End(Input::Reset(reader.id)));
        }
        match reader.poll_read(context) {
            Poll::Ready(read) => Poll::Ready(read.with(reader)),
            Poll::Pending => {
                self.0 = Some(reader);
                Poll::Pending
            }
        }
    }
}
