//! The in-process XMPP router.
