//! The longwire server: every socket, every transport, configuration and main.
