//! What a server takes from its surroundings: time, randomness, sockets, storage.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use longwire_core::Clock;
use longwire_link::Entropy;
use longwire_store::MemoryOptions;
use quinn::{AsyncUdpSocket, Runtime, TimeSource, TokioRuntime};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use socket2::SockRef;

use crate::limits::UDP_RECEIVE_BUFFER;

/// The surroundings of a server. The default is the real machine.
#[derive(Default)]
pub struct Environment {
    /// The clock of the router; the system's by default. Timers always follow the runtime's time.
    pub clock: Option<Arc<dyn Clock>>,
    /// Makes everything random follow from this number, keys included: for simulations only.
    pub seed: Option<u64>,
    /// Where QUIC sends and receives; UDP sockets by default.
    pub quic: Option<QuicNetwork>,
    /// Keeps all data in memory instead of the data folder, and touches no disk at all.
    pub memory: Option<MemoryOptions>,
}

/// Makes the socket of a QUIC listener.
pub type BindUdp = Arc<dyn Fn(SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> + Send + Sync>;

/// A network for QUIC endpoints in place of the operating system's.
#[derive(Clone)]
pub struct QuicNetwork {
    /// Timers and tasks.
    pub runtime: Arc<dyn Runtime>,
    /// Called once for each QUIC listener.
    pub bind: BindUdp,
    /// The wall clock of tokens; the system's when there is none.
    pub time: Option<Arc<dyn TimeSource>>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("seed", &self.seed)
            .field("simulated_network", &self.quic.is_some())
            .field("memory", &self.memory.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for QuicNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicNetwork").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

impl Environment {
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock))
    }

    /// Unpredictable bytes, or those that follow from the seed.
    ///
    /// A lock rather than a generator per connection: with a seed the order of the draws is part
    /// of what must repeat.
    pub(crate) fn entropy(&self) -> Result<Entropy, io::Error> {
        let Some(seed) = self.seed else {
            system_random(&mut [0; 32])?;
            return Ok(Arc::new(|bytes: &mut [u8]| {
                // The generator worked at the start; aws-lc aborts rather than to fail later.
                let _ = system_random(bytes);
            }));
        };
        let generator = Mutex::new(StdRng::seed_from_u64(seed));
        Ok(Arc::new(move |bytes: &mut [u8]| {
            generator.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
        }))
    }

    pub(crate) fn quic(&self) -> io::Result<QuicNetwork> {
        if let Some(network) = &self.quic {
            return Ok(network.clone());
        }
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let wrap = Arc::clone(&runtime);
        let bind: BindUdp = Arc::new(move |address| {
            let socket = std::net::UdpSocket::bind(address)?;
            // All connections share this buffer; the system's default is small and drops packets
            // of bursts. The system may grant less, and then that has to do.
            let _ = SockRef::from(&socket).set_recv_buffer_size(UDP_RECEIVE_BUFFER);
            wrap.wrap_udp_socket(socket)
        });
        Ok(QuicNetwork { runtime, bind, time: None })
    }
}

pub(crate) fn system_random(bytes: &mut [u8]) -> io::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| io::Error::other("the system gives no randomness"))
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl SystemClock {
    /// The wall clock.
    #[allow(clippy::disallowed_methods)] // The one place that reads it.
    pub(crate) fn time() -> SystemTime {
        SystemTime::now()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> u64 {
        let since = Self::time().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}
