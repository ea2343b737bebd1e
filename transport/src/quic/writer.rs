//! Our halves of the streams: bytes that wait are bounded by the caller's good will.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf as _, Bytes};
use longwire_link::StreamId;
use quinn::{SendStream, VarInt};

use crate::limits;

/// Our halves of the streams.
#[derive(Default)]
pub(super) struct Writer {
    streams: BTreeMap<StreamId, Sending>,
    /// Streams whose window did not take everything.
    blocked: BTreeSet<StreamId>,
    backlog: usize,
}

struct Sending {
    stream: SendStream,
    queue: VecDeque<Bytes>,
    is_finished: bool,
}

impl Writer {
    pub(super) fn add(&mut self, id: StreamId, stream: SendStream) {
        let sending = Sending { stream, queue: VecDeque::new(), is_finished: false };
        self.streams.insert(id, sending);
    }

    /// Sends `bytes`, after what already waits on that stream.
    pub(super) fn write(&mut self, id: StreamId, bytes: Bytes) {
        let Some(sending) = self.streams.get_mut(&id) else { return };
        if sending.is_finished || bytes.is_empty() {
            return;
        }
        self.backlog += bytes.len();
        sending.queue.push_back(bytes);
        self.flush(id);
    }

    pub(super) fn set_priority(&mut self, id: StreamId, level: i32) {
        if let Some(sending) = self.streams.get(&id) {
            // It fails only for streams that are over.
            let _ = sending.stream.set_priority(level);
        }
    }

    pub(super) fn finish(&mut self, id: StreamId) {
        let Some(sending) = self.streams.get_mut(&id) else { return };
        if !sending.is_finished {
            sending.is_finished = true;
            self.flush(id);
        }
    }

    pub(super) fn finish_all(&mut self) {
        for id in self.streams.keys().copied().collect::<Vec<_>>() {
            self.finish(id);
        }
    }

    pub(super) fn reset(&mut self, id: StreamId, code: VarInt) {
        if let Some(sending) = self.streams.get_mut(&id) {
            // It fails only for streams that are over.
            let _ = sending.stream.reset(code);
        }
        self.forget(id);
    }

    /// The stream is over, one way or another.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.blocked.remove(&id);
        if let Some(mut sending) = self.streams.remove(&id) {
            sending.drop_queue(&mut self.backlog);
        }
    }

    /// Bytes that wait for the peer's flow control.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Goes on with the blocked streams; ready when that has made room for more.
    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let was_full = self.backlog >= limits::BACKLOG_BYTES;
        let Self { streams, blocked, backlog } = self;
        blocked.retain(|id| {
            streams.get_mut(id).is_some_and(|s| s.poll_flush(context, backlog).is_pending())
        });
        let has_room = self.backlog < limits::BACKLOG_BYTES;
        if was_full && has_room { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes what the stream's window takes at once.
    fn flush(&mut self, id: StreamId) {
        let mut context = Context::from_waker(Waker::noop());
        let Some(sending) = self.streams.get_mut(&id) else { return };
        match sending.poll_flush(&mut context, &mut self.backlog) {
            Poll::Ready(()) => self.blocked.remove(&id),
            Poll::Pending => self.blocked.insert(id),
        };
    }
}

impl Sending {
    /// Ready when nothing is left to be written.
    fn poll_flush(&mut self, context: &mut Context<'_>, backlog: &mut usize) -> Poll<()> {
        while let Some(chunk) = self.queue.front_mut() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, chunk)) {
                Ok(written) => {
                    *backlog -= written;
                    chunk.advance(written);
                    if chunk.is_empty() {
                        self.queue.pop_front();
                    }
                }
                // Stopped or lost; the watch on the stream tells.
                Err(_) => self.drop_queue(backlog),
            }
        }
        if self.is_finished {
            // A second FIN is no harm.
            let _ = self.stream.finish();
        }
        Poll::Ready(())
    }

    fn drop_queue(&mut self, backlog: &mut usize) {
        *backlog -= self.queue.iter().map(Bytes::len).sum::<usize>();
        self.queue.clear();
    }
}
