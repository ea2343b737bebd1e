//! The in-process XMPP router.
//!
//! An account's [home](home) lives in memory, owned by one [shard](shard), while it is used.
//! Stanzas of its sessions pass the [phases](Phase) of the sending path there; what is routed to
//! another account passes those of the receiving path in that account's home. A [`Feature`]
//! declares what it does with a [`Registrar`]; its stages see one home through a [`Turn`], and
//! nothing that a turn does leaves the process before the journal has made it durable.

mod clash;
pub mod clock;
pub mod disco;
pub mod event;
mod feature;
mod handoff;
mod home;
mod ids;
mod iq;
pub mod limits;
mod nobody;
pub mod outbox;
pub mod port;
mod registrar;
mod registry;
pub mod route;
mod router;
mod session;
mod shard;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
mod turn;

pub use clash::Clash;
pub use clock::{Clock, TokioClock};
pub use feature::{Entity, Feature, Flow, NoConfig, Phase};
pub use limits::Limits;
pub use outbox::{Class, Outbound, Outbox};
pub use port::Port;
pub use registrar::Registrar;
pub use registry::{FeatureInfo, Registry, Xep};
pub use route::{Destination, Hosts};
pub use router::{Counters, JobError, Router, RouterConfig, StartError};
pub use session::{SendError, Session, SessionId, SessionRef};
pub use turn::{Sessions, Turn};
// A feature needs nothing but this crate and the stanzas.
pub use longwire_store as store;
pub use longwire_xml as xml;
