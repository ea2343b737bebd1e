//! Every bound of this crate, by name.

/// The most octets that one part of a JID may have (RFC 7622 §3.2 to §3.4).
pub const JID_PART_BYTES: usize = 1023;

/// The most octets of one DNS label (RFC 1035 §2.3.4).
pub const DOMAIN_LABEL_BYTES: usize = 63;

/// The most items that one roster request or one roster answer may carry.
pub const ROSTER_ITEMS: usize = 65_536;

/// The most groups of one roster item.
pub const ROSTER_GROUPS: usize = 64;

/// The most octets of a roster item's name, or of one group's name.
pub const ROSTER_NAME_BYTES: usize = 1023;
