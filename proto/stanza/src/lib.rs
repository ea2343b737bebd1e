//! XMPP addresses, stanzas, wire errors and vocabularies.
