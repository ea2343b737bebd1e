//! Instant messaging features: roster, presence, message routing, ping and friends.
