//! One QUIC connection as streams of bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use longwire_link::{Action, Code, Direction, Refused, StreamId};
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::oneshot;

use super::{Applied, Closing, Input};
use crate::config::Limits;
use crate::limits::{LINGER, READ_CHUNK};
use crate::profile::var_int;

/// A QUIC connection whose handshake is done.
pub(crate) struct QuicTransport {
    connection: Connection,
    raised: Raised,
    /// Our sending halves.
    sends: BTreeMap<StreamId, Sending>,
    /// Streams with queued bytes or a FIN to be sent.
    unsent: BTreeSet<StreamId>,
    backlog: usize,
    /// Receiving halves that are being read.
    reads: FuturesUnordered<Reading>,
    /// Receiving halves whose last bytes are still being dealt with.
    resting: BTreeMap<StreamId, Reader>,
    /// Ends the reading of a stream.
    stops: BTreeMap<StreamId, oneshot::Sender<VarInt>>,
    /// Fates of our sending halves.
    fates: FuturesUnordered<Fate>,
}

/// What binding raises.
#[derive(Clone, Copy)]
struct Raised {
    streams: VarInt,
    window: VarInt,
}

struct Sending {
    stream: SendStream,
    queue: VecDeque<Bytes>,
    finishing: bool,
}

struct Reader {
    id: StreamId,
    stream: RecvStream,
    stop: oneshot::Receiver<VarInt>,
}

/// A read in progress. The reader comes back with the bytes.
struct Reading(Option<Reader>);

enum Read {
    Bytes(Reader, Bytes),
    End(Input),
}

type Fate = Pin<Box<dyn Future<Output = Option<Input>> + Send>>;

impl QuicTransport {
    pub(crate) fn new(connection: Connection, limits: &Limits) -> Self {
        let raised = Raised {
            streams: VarInt::from_u32(limits.quic_streams.into()),
            window: var_int(limits.quic_window.get()),
        };
        Self {
            connection,
            raised,
            sends: BTreeMap::new(),
            unsent: BTreeSet::new(),
            backlog: 0,
            reads: FuturesUnordered::new(),
            resting: BTreeMap::new(),
            stops: BTreeMap::new(),
            fates: FuturesUnordered::new(),
        }
    }

    pub(crate) const fn backlog(&self) -> usize {
        self.backlog
    }

    pub(crate) fn apply(&mut self, action: Action) -> Applied {
        match action {
            Action::Write { stream, bytes } => self.write(stream, bytes),
            Action::Open { ticket, direction } => {
                return Applied::Opened(ticket, self.open(direction));
            }
            Action::Priority { stream, level } => {
                if let Some(sending) = self.sends.get(&stream) {
                    // A closed stream has no use for a priority.
                    let _ = sending.stream.set_priority(level);
                }
            }
            Action::Finish { stream } => {
                if let Some(sending) = self.sends.get_mut(&stream) {
                    sending.finishing = true;
                    self.unsent.insert(stream);
                }
            }
            Action::Reset { stream, code } => self.reset(stream, code),
            Action::StopSending { stream, code } => self.stop(stream, code),
            // QUIC is encrypted from the start; the link does not ask.
            Action::StartTls => {}
            Action::Raise => {
                self.connection.set_max_concurrent_bi_streams(self.raised.streams);
                self.connection.set_max_concurrent_uni_streams(self.raised.streams);
                self.connection.set_receive_window(self.raised.window);
            }
            Action::Close { code } => return Applied::Close(Closing(code)),
        }
        Applied::Done
    }

    fn write(&mut self, stream: StreamId, bytes: Bytes) {
        if let Some(sending) = self.sends.get_mut(&stream) {
            self.backlog += bytes.len();
            sending.queue.push_back(bytes);
            self.unsent.insert(stream);
        }
    }

    /// Opens a stream if the peer has granted one; never waits for credit.
    fn open(&mut self, direction: Direction) -> Result<StreamId, Refused> {
        let mut context = Context::from_waker(Waker::noop());
        match direction {
            Direction::Bidi => {
                let Poll::Ready(Ok((send, recv))) =
                    pin!(self.connection.open_bi()).poll(&mut context)
                else {
                    return Err(Refused);
                };
                let id = self.add_send(send);
                self.add_recv(recv);
                Ok(id)
            }
            Direction::Uni => {
                let Poll::Ready(Ok(send)) = pin!(self.connection.open_uni()).poll(&mut context)
                else {
                    return Err(Refused);
                };
                Ok(self.add_send(send))
            }
        }
    }

    fn add_send(&mut self, stream: SendStream) -> StreamId {
        let id = StreamId(VarInt::from(stream.id()).into_inner());
        let stopped = stream.stopped();
        self.fates.push(Box::pin(async move {
            match stopped.await {
                Ok(Some(_)) => Some(Input::Stopped(id)),
                Ok(None) => Some(Input::Drained(id)),
                // The connection is lost, which others report.
                Err(_) => None,
            }
        }));
        self.sends.insert(id, Sending { stream, queue: VecDeque::new(), finishing: false });
        id
    }

    fn add_recv(&mut self, stream: RecvStream) -> StreamId {
        let id = StreamId(VarInt::from(stream.id()).into_inner());
        let (stopper, stop) = oneshot::channel();
        self.stops.insert(id, stopper);
        self.reads.push(Reading(Some(Reader { id, stream, stop })));
        id
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        if let Some(mut sending) = self.sends.remove(&stream) {
            // An error means that it is over already.
            let _ = sending.stream.reset(VarInt::from_u32(code as u32));
            self.forget(stream, &sending);
        }
    }

    fn stop(&mut self, stream: StreamId, code: Code) {
        let code = VarInt::from_u32(code as u32);
        if let Some(mut reader) = self.resting.remove(&stream) {
            self.stops.remove(&stream);
            // An error means that it is over already.
            let _ = reader.stream.stop(code);
        } else if let Some(stopper) = self.stops.remove(&stream) {
            let _ = stopper.send(code);
        }
    }

    fn forget(&mut self, id: StreamId, sending: &Sending) {
        self.unsent.remove(&id);
        self.backlog -= sending.queue.iter().map(Bytes::len).sum::<usize>();
    }

    pub(crate) fn read_again(&mut self, stream: StreamId) {
        if let Some(reader) = self.resting.remove(&stream) {
            self.reads.push(Reading(Some(reader)));
        }
    }

    pub(crate) async fn next(&mut self) -> Input {
        loop {
            let Self { connection, sends, unsent, backlog, reads, resting, stops, fates, .. } =
                self;
            let mut queues = Queues { sends, unsent, backlog };
            tokio::select! {
                biased;
                Some(fate) = fates.next(), if !fates.is_empty() => {
                    let Some(fate) = fate else { continue };
                    if let Input::Stopped(id) | Input::Drained(id) = fate
                        && let Some(sending) = self.sends.remove(&id)
                    {
                        self.forget(id, &sending);
                    }
                    return fate;
                }
                () = std::future::poll_fn(|context| queues.flush(context)) => {
                    return Input::Written;
                }
                opened = connection.accept_bi() => match opened {
                    Ok((send, recv)) => {
                        self.add_send(send);
                        return Input::Opened(self.add_recv(recv), Direction::Bidi);
                    }
                    Err(error) => return Input::Lost(error.to_string()),
                },
                opened = connection.accept_uni() => match opened {
                    Ok(recv) => return Input::Opened(self.add_recv(recv), Direction::Uni),
                    Err(error) => return Input::Lost(error.to_string()),
                },
                Some(read) = reads.next(), if !reads.is_empty() => match read {
                    Read::Bytes(reader, bytes) => {
                        let id = reader.id;
                        resting.insert(id, reader);
                        return Input::Bytes(id, bytes);
                    }
                    Read::End(input) => {
                        if let Input::Finished(id) | Input::Reset(id) = &input {
                            stops.remove(id);
                        }
                        return input;
                    }
                },
            }
        }
    }

    /// Sends what is queued and every FIN, waits for the peer's acknowledgements, and closes.
    pub(crate) async fn finish(mut self, closing: Closing) {
        for (id, sending) in &mut self.sends {
            sending.finishing = true;
            self.unsent.insert(*id);
        }
        let delivered = async {
            while !self.sends.is_empty() {
                match self.next().await {
                    Input::Lost(_) => break,
                    // Nobody listens any more; the bytes are dropped, the stream rests.
                    _ => {}
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, delivered).await;
        self.connection.close(VarInt::from_u32(closing.0 as u32), b"");
    }
}

/// The sending side, borrowed for one flush.
struct Queues<'a> {
    sends: &'a mut BTreeMap<StreamId, Sending>,
    unsent: &'a mut BTreeSet<StreamId>,
    backlog: &'a mut usize,
}

impl Queues<'_> {
    /// Writes what QUIC takes. Ready when something was written, so that the caller can go on
    /// filling the queues.
    fn flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let before = *self.backlog;
        let (sends, backlog) = (&mut *self.sends, &mut *self.backlog);
        self.unsent.retain(|id| {
            let Some(sending) = sends.get_mut(id) else { return false };
            sending.flush(context, backlog).is_pending()
        });
        if *self.backlog < before { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sending {
    /// Ready when nothing of this stream is left to be sent.
    fn flush(&mut self, context: &mut Context<'_>, backlog: &mut usize) -> Poll<()> {
        while let Some(first) = self.queue.front_mut() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, first)) {
                Ok(written) => {
                    *backlog -= written;
                    // A write of nothing is only possible for an empty chunk.
                    if written >= first.len() {
                        self.queue.pop_front();
                    } else {
                        bytes::Buf::advance(first, written);
                    }
                }
                Err(error) => {
                    *backlog -= self.queue.iter().map(Bytes::len).sum::<usize>();
                    self.queue.clear();
                    tracing::trace!(%error, "stream ended while it was written");
                    let WriteError::Stopped(_) = error else { break };
                    // `Input::Stopped` tells the link.
                }
            }
        }
        if self.finishing {
            self.finishing = false;
            // An error means that it is over already.
            let _ = self.stream.finish();
        }
        Poll::Ready(())
    }
}

impl Future for Reading {
    type Output = Read;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Read> {
        let this = &mut *self;
        let Some(mut reader) = this.0.take() else { return Poll::Pending };
        let id = reader.id;
        if let Poll::Ready(Ok(code)) = Pin::new(&mut reader.stop).poll(context) {
            let _ = reader.stream.stop(code);
            return Poll::Ready(Read::End(Input::Finished(id)));
        }
        // The waiting reader is known to quinn by its stream, so the short-lived future may go.
        let read = pin!(reader.stream.read_chunk(READ_CHUNK, true)).poll(context);
        match read {
            Poll::Ready(Ok(Some(chunk))) => Poll::Ready(Read::Bytes(reader, chunk.bytes)),
            Poll::Ready(Ok(None)) => Poll::Ready(Read::End(Input::Finished(id))),
            Poll::Ready(Err(ReadError::ConnectionLost(error))) => {
                Poll::Ready(Read::End(Input::Lost(error.to_string())))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Read::End(Input::Reset(id))),
            Poll::Pending => {
                this.0 = Some(reader);
                Poll::Pending
            }
        }
    }
}
