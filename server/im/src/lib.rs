//! Instant messaging features: roster, presence, message routing, ping and friends.
//!
//! Each feature is one file. [`features`] adds them all.

pub mod last;
pub mod limits;
pub mod message;
pub mod ping;
pub mod presence;
pub mod roster;
pub mod session;
pub mod subscription;
#[cfg(test)]
mod testing;
pub mod time;
pub mod version;

use longwire_core::Registrar;

/// Adds the features of this crate, in the order in which their stages run within a phase.
///
/// The roster comes first because the others read it; beyond that the order does not matter, as
/// no two of these features share a phase.
pub fn features(r: &mut Registrar) {
    r.add::<roster::Roster>();
    r.add::<presence::Presence>();
    r.add::<message::Message>();
    r.add::<last::Last>();
    r.add::<ping::Ping>();
    r.add::<session::Session>();
    r.add::<time::Time>();
    r.add::<version::Version>();
}
