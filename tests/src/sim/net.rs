//! The hub of the simulated network: who has which address, what is under way, who is woken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{EcnCodepoint, RecvMeta};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, TimeSource};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::path::{Fate, Path, PathState, PathStats};
use super::runtime::{SimRuntime, SimTime};
use super::socket::SimSocket;
use super::trace::{Record, TraceHash};
use crate::limits;

/// A datagram at the moment it is sent, as an [inspector](Net::inspect) sees it.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// When, from the start of the network.
    pub at: Duration,
    /// The sender's socket address (before address translation).
    pub from: SocketAddr,
    /// The receiver's socket address (behind address translation).
    pub to: SocketAddr,
    /// Its number on this path, from 0.
    pub index: u64,
    /// Its payload; encrypted, apart from the QUIC header's first fields.
    pub bytes: &'a [u8],
}

/// What an [inspector](Net::inspect) decides about a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The path decides.
    Pass,
    /// It is gone.
    Drop,
    /// The path decides, and it arrives this much later.
    Delay(Duration),
}

type Inspector = Box<dyn FnMut(&Datagram<'_>) -> Verdict + Send>;
type Direction = (SocketAddr, SocketAddr);

/// A network in virtual time; clones are the same network.
#[derive(Clone)]
pub struct Net {
    hub: Arc<Hub>,
}

struct Hub {
    state: Mutex<State>,
    /// Wakes the delivery task when something is due earlier than it thinks.
    sooner: Arc<Notify>,
    start: Instant,
    seed: u64,
}

struct State {
    inboxes: BTreeMap<SocketAddr, Inbox>,
    /// Socket address -> the address that others see, where they differ.
    translated: BTreeMap<SocketAddr, SocketAddr>,
    default_path: Path,
    lines: BTreeMap<Direction, Line>,
    flight: BinaryHeap<Reverse<Flight>>,
    sequence: u64,
    inspector: Option<Inspector>,
    hash: TraceHash,
    records: Option<Vec<Record>>,
}

/// One direction between two sockets.
struct Line {
    path: PathState,
    windows: Vec<Range<Duration>>,
    sent: u64,
    stats: PathStats,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<Arrived>,
    reader: Option<Waker>,
}

struct Arrived {
    from: SocketAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

/// A datagram under way; ordered by (due, sequence) alone.
struct Flight {
    due: Duration,
    sequence: u64,
    to: SocketAddr,
    datagram: Arrived,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl Net {
    /// A network whose chance is drawn from `seed`; its time starts now.
    ///
    /// # Panics
    /// Outside a tokio runtime: use it inside [`run`](super::run).
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let sooner = Arc::new(Notify::new());
        let state = State {
            inboxes: BTreeMap::new(),
            translated: BTreeMap::new(),
            default_path: Path::default(),
            lines: BTreeMap::new(),
            flight: BinaryHeap::new(),
            sequence: 0,
            inspector: None,
            hash: TraceHash::default(),
            records: None,
        };
        let start = Instant::now();
        let hub = Hub { state: Mutex::new(state), sooner: sooner.clone(), start, seed };
        let hub = Arc::new(hub);
        tokio::spawn(deliver(Arc::downgrade(&hub), sooner));
        Self { hub }
    }

    /// The virtual time since the network began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.hub.start.elapsed()
    }

    /// Waits until this time of the network; at once when it is past.
    pub async fn until(&self, at: Duration) {
        sleep_until(self.hub.start + at).await;
    }

    /// The simulation's wall clock, for `quinn::ServerConfig::time_source` and for servers.
    #[must_use]
    pub fn wall_clock(&self) -> SimTime {
        SimTime::since(self.hub.start)
    }

    /// Sets the path of every direction that has not been set nor used yet.
    pub fn default_path(&self, path: Path) {
        self.hub.lock().default_path = path;
    }

    /// Sets the path of one direction, now or in the middle of a run.
    pub fn path(&self, from: SocketAddr, to: SocketAddr, path: Path) {
        let seed = self.hub.seed;
        self.hub.lock().line((from, to), seed).path.set(path);
    }

    /// Sets the same path in both directions between two sockets.
    pub fn paths(&self, a: SocketAddr, b: SocketAddr, path: Path) {
        self.path(a, b, path.clone());
        self.path(b, a, path);
    }

    /// Drops every datagram that is sent in this direction within this time of the network.
    ///
    /// The chance of all other datagrams stays what it is without the window.
    pub fn drop_window(&self, from: SocketAddr, to: SocketAddr, window: Range<Duration>) {
        let seed = self.hub.seed;
        self.hub.lock().line((from, to), seed).windows.push(window);
    }

    /// Shows every datagram to a function that may drop or delay it; replaces the previous one.
    ///
    /// It runs inside the network's lock and must not call the network.
    pub fn inspect(&self, inspector: impl FnMut(&Datagram<'_>) -> Verdict + Send + 'static) {
        self.hub.lock().inspector = Some(Box::new(inspector));
    }

    /// Changes the address under which others see a socket, as a NAT does that lost its mapping.
    ///
    /// The socket notices nothing; what still comes to its former address is lost.
    pub fn translate(&self, socket: SocketAddr, seen_as: SocketAddr) {
        self.hub.lock().translated.insert(socket, seen_as);
    }

    /// Opens a socket at an address.
    ///
    /// # Errors
    /// `AddrInUse` when the address has a socket.
    pub fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let mut state = self.hub.lock();
        if state.inboxes.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.inboxes.insert(address, Inbox::default());
        drop(state);
        Ok(Arc::new(SimSocket::new(self.clone(), address)))
    }

    /// A quinn endpoint at an address, seeded from the network's seed and that address.
    ///
    /// # Errors
    /// `AddrInUse` when the address has a socket.
    pub fn endpoint(
        &self,
        address: SocketAddr,
        server: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let server = server.map(|mut config| {
            let clock: Arc<dyn TimeSource> = Arc::new(self.wall_clock());
            config.time_source(clock);
            config
        });
        let socket = self.socket(address)?;
        let runtime = Arc::new(SimRuntime);
        Endpoint::new_with_abstract_socket(self.endpoint_config(address), server, socket, runtime)
    }

    /// The endpoint configuration of [`Self::endpoint`], for those who build their own.
    #[must_use]
    pub fn endpoint_config(&self, address: SocketAddr) -> EndpointConfig {
        let mut seed = [0; 32];
        for (i, part) in seed.chunks_mut(8).enumerate() {
            part.copy_from_slice(&derive(self.hub.seed, &(address, i)).to_le_bytes());
        }
        let mut config = EndpointConfig::default();
        config.rng_seed(Some(seed));
        config
    }

    /// The hash of everything that the network decided so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.hub.lock().hash.value()
    }

    /// Keeps a [`Record`] of each datagram from now on, up to a bound.
    pub fn record(&self) {
        self.hub.lock().records.get_or_insert_default();
    }

    /// What has been recorded.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.hub.lock().records.clone().unwrap_or_default()
    }

    /// How the datagrams of one direction fared.
    #[must_use]
    pub fn stats(&self, from: SocketAddr, to: SocketAddr) -> PathStats {
        self.hub.lock().lines.get(&(from, to)).map(|line| line.stats).unwrap_or_default()
    }

    pub(crate) fn detach(&self, address: SocketAddr) {
        self.hub.lock().inboxes.remove(&address);
    }

    pub(crate) fn send(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) {
        let now = self.now();
        if self.hub.lock().send(now, self.hub.seed, from, to, ecn, bytes) {
            self.hub.sooner.notify_one();
        }
    }

    pub(crate) fn poll_receive(
        &self,
        address: SocketAddr,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.hub.lock();
        let Some(inbox) = state.inboxes.get_mut(&address) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let mut filled = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some(datagram) = inbox.queue.pop_front() else { break };
            let bytes = datagram.bytes.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&datagram.bytes[..bytes]);
            *meta = RecvMeta {
                addr: datagram.from,
                len: bytes,
                stride: bytes,
                ecn: datagram.ecn,
                dst_ip: None,
            };
            filled += 1;
        }
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        inbox.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("seed", &self.hub.seed).finish_non_exhaustive()
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking inspector fails its test; the network itself stays usable for the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.sooner.notify_one();
    }
}

impl State {
    fn line(&mut self, direction: Direction, seed: u64) -> &mut Line {
        let path = &self.default_path;
        self.lines.entry(direction).or_insert_with(|| Line {
            path: PathState::new(path.clone(), derive(seed, &direction)),
            windows: Vec::new(),
            sent: 0,
            stats: PathStats::default(),
        })
    }

    /// Puts a datagram under way; true when it is now the first one due.
    fn send(
        &mut self,
        now: Duration,
        seed: u64,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<EcnCodepoint>,
        bytes: &[u8],
    ) -> bool {
        let to = self.owner(to);
        let mut inspector = self.inspector.take();
        let line = self.line((from, to), seed);
        let datagram = Datagram { at: now, from, to, index: line.sent, bytes };
        let verdict = match inspector.as_mut() {
            _ if line.windows.iter().any(|window| window.contains(&now)) => Verdict::Drop,
            Some(inspect) => inspect(&datagram),
            None => Verdict::Pass,
        };
        let fate = match (verdict, line.path_fate(verdict, now, bytes.len())) {
            (Verdict::Delay(extra), Fate::Arrives(at)) => Fate::Arrives(at + extra),
            (_, fate) => fate,
        };
        let index = line.sent;
        line.sent += 1;
        self.inspector = inspector;
        let fate = self.admit(to, fate);
        self.account((from, to), Record { at: now, from, to, index, bytes: bytes.len(), fate });
        let Fate::Arrives(due) = fate else { return false };
        let first = self.flight.peek().is_none_or(|Reverse(next)| due < next.due);
        let from = self.translated.get(&from).copied().unwrap_or(from);
        let datagram = Arrived { from, ecn, bytes: bytes.to_vec() };
        let sequence = self.sequence;
        self.sequence += 1;
        self.flight.push(Reverse(Flight { due, sequence, to, datagram }));
        first
    }

    /// The socket that others see at this address.
    fn owner(&self, seen: SocketAddr) -> SocketAddr {
        let inside = self.translated.iter().find(|(_, outside)| **outside == seen);
        match inside {
            Some((socket, _)) => *socket,
            // A translated socket cannot be reached at its own address any more; the
            // unspecified address has no socket.
            None if self.translated.contains_key(&seen) => {
                SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0)
            }
            None => seen,
        }
    }

    fn admit(&self, to: SocketAddr, fate: Fate) -> Fate {
        match fate {
            Fate::Arrives(_) if !self.inboxes.contains_key(&to) => Fate::Unreachable,
            Fate::Arrives(_) if self.flight.len() >= limits::FLIGHT_DATAGRAMS => Fate::Overflow,
            fate => fate,
        }
    }

    fn account(&mut self, direction: Direction, record: Record) {
        self.hash.mix(&record);
        if let Some(line) = self.lines.get_mut(&direction) {
            line.stats.count(record.bytes, record.fate);
        }
        if let Some(records) = &mut self.records
            && records.len() < limits::TRACE_RECORDS
        {
            records.push(record);
        }
    }

    /// Hands over what is due and returns whom to wake, in the order of delivery.
    fn deliver(&mut self, now: Duration) -> Vec<Waker> {
        let mut readers = Vec::new();
        while self.flight.peek().is_some_and(|Reverse(next)| next.due <= now) {
            let Some(Reverse(flight)) = self.flight.pop() else { break };
            self.hash.mix(&(now, flight.sequence));
            let Some(inbox) = self.inboxes.get_mut(&flight.to) else { continue };
            if inbox.queue.len() < limits::INBOX_DATAGRAMS {
                inbox.queue.push_back(flight.datagram);
                readers.extend(inbox.reader.take());
            }
        }
        readers
    }
}

impl Line {
    fn path_fate(&mut self, verdict: Verdict, now: Duration, bytes: usize) -> Fate {
        if verdict == Verdict::Drop {
            self.path.skip();
            return Fate::Taken;
        }
        self.path.push(now, bytes)
    }
}

/// The one task that hands datagrams over; it ends with the network.
async fn deliver(hub: Weak<Hub>, sooner: Arc<Notify>) {
    loop {
        let next = {
            let Some(hub) = hub.upgrade() else { return };
            let readers = {
                let now = hub.start.elapsed();
                hub.lock().deliver(now)
            };
            readers.into_iter().for_each(Waker::wake);
            hub.lock().flight.peek().map(|Reverse(next)| hub.start + next.due)
        };
        match next {
            // Either is a reason to look again: something is due, or will be earlier.
            Some(due) => _ = timeout_at(due, sooner.notified()).await,
            None => sooner.notified().await,
        }
    }
}

/// A number for `part` that depends on the seed, and on nothing that changes between runs.
fn derive(seed: u64, part: &impl Hash) -> u64 {
    let mut hash = TraceHash::default();
    hash.mix(&seed);
    hash.mix(part);
    hash.value()
}
