//! Ping (XEP-0199).

use super::empty;
use crate::ns;

empty!(
    /// Are you there? The answer is an empty result.
    Ping, ns::PING, "ping"
);
