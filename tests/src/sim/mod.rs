//! A network that exists only in virtual time, for quinn endpoints and for whole servers.
//!
//! [`Net`] carries datagrams between [sockets](Net::socket) over [`Path`]s with delay, jitter,
//! loss, rate and outages. Time is tokio's paused clock, chance comes from one seed, and one task
//! delivers in the order (time, sequence): the same seed gives the same
//! [trace hash](Net::trace_hash), and an hour of link time takes milliseconds.
//!
//! What a scenario has to do itself to stay reproducible: run under [`run`], write `biased` into
//! every `tokio::select!` (the unbiased form draws from a generator that cannot be seeded), use
//! [`Identity`] or another certificate with signatures of constant length, and take all
//! randomness that decides about sizes or times from the seed.
//!
//! tokio's timers fire on whole milliseconds. Arrival times are computed in nanoseconds and
//! nothing accumulates, but a datagram is handed over at the first whole millisecond that is not
//! before its arrival.

mod net;
mod path;
mod runtime;
mod socket;
mod tls;
mod trace;

pub use self::net::{Datagram, Net, Verdict};
pub use self::path::{Fate, Path, PathState, PathStats};
pub use self::runtime::{SimRuntime, SimTime, each_seed, run};
pub use self::socket::SimSocket;
pub use self::tls::Identity;
pub use self::trace::{Record, TraceHash};
