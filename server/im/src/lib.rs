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

#[cfg(test)]
mod tests {
    use super::*;
    use longwire_core::testkit::Scene;
    use longwire_core::xml::Element;

    //= test RFC 6121 §2.6.1 and §3.4.1
    #[test]
    fn versions_and_pre_approval_are_offered_to_clients() {
        let offered = Scene::registry(features).stream_features();
        for (ns, name) in
            [("urn:xmpp:features:rosterver", "ver"), ("urn:xmpp:features:pre-approval", "sub")]
        {
            assert!(offered.contains(&Element::new(ns, name)), "{ns}");
        }
    }
}
