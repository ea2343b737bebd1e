//! Every bound of this crate, by name.

/// The most octets that one part of a JID may have (RFC 7622 §3.2 to §3.4).
pub const JID_PART_BYTES: usize = 1023;

/// The most characters of one part whose validity depends on their neighbours (RFC 5892,
/// appendix A), such as the middle dot of Catalan or Arabic-Indic digits.
///
/// Each of them is judged by a look at the whole part, so without a bound one kilobyte would
/// cost milliseconds. Nobody's name comes near it.
pub const JID_CONTEXTUAL_CHARS: usize = 64;

/// The most octets of one DNS label (RFC 1035 §2.3.4).
pub const DOMAIN_LABEL_BYTES: usize = 63;

/// The most items that one roster request or one roster answer may carry.
pub const ROSTER_ITEMS: usize = 65_536;

/// The most groups of one roster item.
pub const ROSTER_GROUPS: usize = 64;

/// The most octets of a roster item's name, or of one group's name.
pub const ROSTER_NAME_BYTES: usize = 1023;

/// The most octets of a message that an error sends back to its author.
pub const ECHO_BYTES: usize = 1024;

/// The bounds of a stanza that we made ourselves; they only guard against our own mistakes.
///
/// A roster of 65 536 items with a few groups each is the largest thing that we make.
pub const OWN: longwire_xml::Limits = longwire_xml::Limits {
    stanza_bytes: 64 << 20,
    depth: 256,
    attributes: 256,
    namespaces: 256,
    name_bytes: 4096,
    attribute_bytes: 1 << 20,
    elements: 1 << 20,
};
