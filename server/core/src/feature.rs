//! What a feature is, and the words in which it declares itself.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::registrar::Registrar;

/// One capability of the server: a file that declares everything about it in one place.
///
/// ```ignore
/// impl Feature for Ping {
///     const NAME: &'static str = "ping";
///     type Config = NoConfig;
///     fn new(_: NoConfig) -> Self { Self }
///     fn install(self: Arc<Self>, r: &mut Registrar) {
///         r.xep(199, "2.0.1");
///         r.disco(Entity::Account, &[ns::PING]);
///         r.iq_get(Entity::Account, &self, Self::answer);
///     }
/// }
/// ```
pub trait Feature: Sized + Send + Sync + 'static {
    /// The name: of the table `[feature.NAME]` in the configuration, in logs and in metrics.
    const NAME: &'static str;

    /// The table `[feature.NAME]`. A struct needs `#[serde(default, deny_unknown_fields)]`: one
    /// that swallows unknown keys is refused at start. [`NoConfig`] when there is nothing to set.
    type Config: DeserializeOwned + Default;

    /// The feature as configured.
    fn new(config: Self::Config) -> Self;

    /// Declares what the feature does. Nothing else makes it reachable.
    fn install(self: Arc<Self>, r: &mut Registrar);
}

/// The configuration of a feature that has nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// To whom a request is addressed, or who has a disco identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Entity {
    /// An account: its bare JID, or no address at all (RFC 6120 §10.3.3).
    Account,
    /// The server: one of its domains.
    Server,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Account => "account",
            Self::Server => "server",
        })
    }
}

/// The only ordering concept: every stanza passes the phases in this order, once in the sender's
/// home and once in the recipient's.
///
/// Within a phase, stages run in the order in which their features were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// May refuse, drop or delay: block lists, strangers, quotas.
    Screen,
    /// Adds and strips what only the server may write: stanza ids, delays.
    Stamp,
    /// Appends to the turn's writes: archive, offline storage.
    Archive,
    /// Updates derived tables: inbox, search, markers.
    Index,
    /// Copies to the account's other sessions.
    Copy,
    /// Chooses sessions (RFC 6121 §8) and enqueues; one owner per kind of stanza.
    Deliver,
    /// Jobs for those not reached: push.
    Notify,
}

/// Whether a screening stage lets the stanza pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next stage runs.
    Continue,
    /// No further stage runs and nothing is delivered. What the turn wrote so far stays; an
    /// answer needs [`Turn::refuse`](crate::Turn::refuse).
    Stop,
}
