//! What features offer one another: traits with exactly one provider each.
//!
//! A feature offers a port with [`Registrar::provide`](crate::Registrar::provide), uses one with
//! [`Registrar::require`](crate::Registrar::require) (missing is a start-up error) or
//! [`Registrar::want`](crate::Registrar::want) (may be missing).

use std::fmt;
use std::sync::{Arc, OnceLock};

use longwire_stanza::BareJid;

use crate::turn::Turn;

/// The contacts of the account whose turn it is.
pub trait Roster: Send + Sync {
    /// True when `contact` may see the account's presence (subscription `from` or `both`).
    fn is_subscriber(&self, turn: &Turn<'_>, contact: &BareJid) -> bool;
}

/// A handle to a port; it is connected when the registry is finished.
pub struct Port<P: ?Sized> {
    cell: Arc<OnceLock<Arc<P>>>,
}

impl<P: ?Sized> Port<P> {
    pub(crate) fn new() -> Self {
        Self { cell: Arc::default() }
    }

    /// The provider; `None` before the registry is finished, and when nobody provides a port that
    /// was only wanted.
    pub fn provider(&self) -> Option<&P> {
        self.cell.get().map(AsRef::as_ref)
    }

    pub(crate) fn connect(&self, provider: Arc<P>) {
        // A second connection cannot happen: finishing consumes the registrar.
        let _ = self.cell.set(provider);
    }
}

impl<P: ?Sized> Clone for Port<P> {
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell) }
    }
}

impl<P: ?Sized> fmt::Debug for Port<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("connected", &self.cell.get().is_some()).finish()
    }
}
