//! What can go wrong, and what to do about it.

use std::io;

use longwire_link::{CloseReason, negotiate::ClientError};
use thiserror::Error;

/// Why there is no session.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The server's name has no address: check the name, or give an address.
    #[error("no address was found for {0}")]
    Address(String),
    /// The trusted certificates cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Certificates(String),
    /// The server's certificate is not one to believe: trust it or its authority, if it is the
    /// right one.
    #[error("the server's certificate is not trusted: {0}")]
    Certificate(String),
    /// No connection: the server is down, or something on the way blocks it.
    #[error("no connection: {0}")]
    Network(#[from] io::Error),
    /// No QUIC connection: the server is down, or UDP is blocked.
    #[error("no QUIC connection: {0}")]
    Quic(String),
    /// The server refused the login.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// The server closed the stream, or the network went away, before the session was there.
    #[error("the connection ended during the login: {0}")]
    Closed(CloseReason),
    /// It took too long.
    #[error("the server did not answer in time")]
    Timeout,
}

/// The session is over; connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the session is over")]
pub struct Disconnected;
