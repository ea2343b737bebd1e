//! Strict XML for XMPP: framing, validation, namespaces, one escaping writer.
