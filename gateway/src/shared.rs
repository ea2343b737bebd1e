//! What all connections of a server share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use longwire_accounts::throttle::Throttle as LoginThrottle;
use longwire_core::Router;
use longwire_link::{Entropy, negotiate};
use longwire_stanza::BareJid;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::admission::Admission;
use crate::config::Limits;
use crate::connection::now;
use crate::credentials::Credentials;
use crate::throttle::{Throttle, Throttles};

/// How far the server has got on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everybody is welcome.
    Running,
    /// No new connections.
    Closing,
    /// Whoever is still there is sent away.
    Leaving,
}

/// The common ground of all connections.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) credentials: Credentials,
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    /// Slow answers take a place here.
    pub(crate) slow: Semaphore,
    pub(crate) negotiation: Arc<negotiate::ServerConfig>,
    pub(crate) entropy: Entropy,
    pub(crate) throttles: Option<Throttles>,
    /// A lock rather than a message: an answer is needed at once, and takes microseconds.
    pub(crate) logins: Mutex<LoginThrottle>,
    pub(crate) stage: watch::Sender<Stage>,
    /// The connection tasks. A lock, because any listener starts them and the shutdown takes them.
    pub(crate) tasks: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(crate) fn throttle(&self, account: &BareJid) -> Option<Throttle> {
        self.throttles.as_ref().map(|throttles| throttles.of(account, now()))
    }

    /// Whether this address may try this account's password now.
    pub(crate) fn may_log_in(&self, from: IpAddr, account: &BareJid) -> bool {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.wait(from, account.as_str(), now()).is_zero()
    }

    pub(crate) fn login_failed(&self, from: IpAddr, account: &BareJid) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.failed(from, account.as_str(), now());
    }

    pub(crate) fn login_succeeded(&self, from: IpAddr, account: &BareJid) {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.succeeded(from, account.as_str());
    }

    /// Starts a connection's task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(done) = tasks.try_join_next() {
            report(done);
        }
        tasks.spawn(task);
    }
}

/// Logs a task that ended in a panic.
pub(crate) fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(%error, "a connection task panicked; its connection was closed");
    }
}
