//! XMPP client library over multi-stream QUIC and TCP.
