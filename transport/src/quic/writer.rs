//! Our halves of the streams: bytes that wait are bounded by the caller's good will.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use longwire_link::StreamId;
use quinn::{SendStream, VarInt};

use super::now;

/// A write that the stream's window did not take at once: the stream comes back after it.
type Writing = Pin<Box<dyn Future<Output = (StreamId, SendStream, usize)> + Send>>;

/// Our halves of the streams.
#[derive(Default)]
pub(super) struct Writer {
    streams: BTreeMap<StreamId, Sending>,
    writing: FuturesUnordered<Writing>,
    backlog: usize,
}

/// One stream. While a write is under way it has the stream, and the rest queues here.
struct Sending {
    idle: Option<SendStream>,
    queue: VecDeque<Bytes>,
    is_finished: bool,
    level: i32,
    reset: Option<VarInt>,
}

impl Writer {
    pub(super) fn add(&mut self, stream: StreamId, send: SendStream) {
        let sending = Sending {
            idle: Some(send),
            queue: VecDeque::new(),
            is_finished: false,
            level: 0,
            reset: None,
        };
        self.streams.insert(stream, sending);
    }

    /// Sends `bytes`, after what already waits on that stream.
    pub(super) fn write(&mut self, stream: StreamId, bytes: Bytes) {
        let Some(sending) = self.streams.get_mut(&stream) else { return };
        if sending.is_finished || sending.reset.is_some() {
            return;
        }
        self.backlog += bytes.len();
        sending.queue.push_back(bytes);
        self.flush(stream);
    }

    pub(super) fn set_priority(&mut self, stream: StreamId, level: i32) {
        let Some(sending) = self.streams.get_mut(&stream) else { return };
        sending.level = level;
        if let Some(send) = &sending.idle {
            // It fails only for streams that are over.
            let _ = send.set_priority(level);
        }
    }

    pub(super) fn finish(&mut self, stream: StreamId) {
        let Some(sending) = self.streams.get_mut(&stream) else { return };
        sending.is_finished = true;
        self.flush(stream);
    }

    pub(super) fn finish_all(&mut self) {
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.finish(stream);
        }
    }

    pub(super) fn reset(&mut self, stream: StreamId, code: VarInt) {
        let Some(sending) = self.streams.get_mut(&stream) else { return };
        sending.reset = Some(code);
        self.flush(stream);
    }

    /// The stream is over, one way or another.
    pub(super) fn forget(&mut self, stream: StreamId) {
        if let Some(sending) = self.streams.remove(&stream) {
            self.backlog -= sending.queue.iter().map(Bytes::len).sum::<usize>();
        }
    }

    /// Bytes that wait for the peer's flow control.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.writing.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Waits until one of the blocked writes went through.
    pub(super) async fn progress(&mut self) {
        let Some((stream, send, written)) = self.writing.next().await else { return };
        self.backlog = self.backlog.saturating_sub(written);
        if let Some(sending) = self.streams.get_mut(&stream) {
            let _ = send.set_priority(sending.level);
            sending.idle = Some(send);
            self.flush(stream);
        }
    }

    fn flush(&mut self, stream: StreamId) {
        let Some(sending) = self.streams.get_mut(&stream) else { return };
        let Some(mut send) = sending.idle.take() else { return };
        if let Some(code) = sending.reset {
            let _ = send.reset(code);
            return self.forget(stream);
        }
        while let Some(mut chunk) = sending.queue.pop_front() {
            let before = chunk.len();
            match now(send.write_chunks(std::slice::from_mut(&mut chunk))) {
                Some(Ok(_)) => {
                    self.backlog -= before - chunk.len();
                    if !chunk.is_empty() {
                        sending.queue.push_front(chunk);
                    }
                }
                // Stopped or lost; the watch on the stream tells.
                Some(Err(_)) => {
                    self.backlog -= before;
                    return self.forget(stream);
                }
                None => {
                    self.writing.push(Box::pin(async move {
                        let _ = send.write_chunk(chunk).await;
                        (stream, send, before)
                    }));
                    return;
                }
            }
        }
        if sending.is_finished {
            // A second FIN is no harm.
            let _ = send.finish();
        }
        sending.idle = Some(send);
    }
}
