//! Sessions: logging in many at once, and what that takes.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use longwire_client::stanza::{PresenceType, Stanza};
use longwire_client::{Client, Config, Environment, Mechanism, Secret, Server, Trust};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::args::Transport;
use super::probe::{Probe, Usage};
use super::progress::Step;
use super::server;

/// Logins that are under way at once.
const AT_ONCE: usize = 32;

/// The way to a server.
pub(crate) struct Access {
    pub(crate) server: Server,
    pub(crate) domain: String,
    pub(crate) password: String,
    pub(crate) trust: Trust,
    pub(crate) transport: Transport,
}

/// What logging in took.
pub(crate) struct Logins {
    pub(crate) count: usize,
    pub(crate) elapsed: Duration,
    /// Time of each login in microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) usage: Usage,
}

impl Access {
    fn config(&self, number: usize) -> Result<Config> {
        let account = server::account(&self.domain, number)?;
        let mut config = Config::new(account, Secret::new(&self.password));
        (config.transport, config.streams) = self.transport.parts();
        config.server = self.server.clone();
        config.trust = self.trust.clone();
        // SHA-512 would only make the clients slower.
        let names = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"];
        config.mechanisms = names.into_iter().filter_map(Mechanism::from_name).collect();
        Ok(config)
    }

    async fn log_in(&self, number: usize) -> Result<Client> {
        let config = self.config(number)?;
        let name = config.account.clone();
        let failed = || format!("{name} cannot log in over {}", self.transport.name());
        let client = Client::connect(config, Environment::default()).await.with_context(failed)?;
        client.send(Stanza::presence(PresenceType::Available).build()).await?;
        Ok(client)
    }
}

/// The certificates of a PEM file.
pub(crate) fn trust(file: &Path) -> Result<Trust> {
    let unreadable = || format!("cannot read certificates from {}", file.display());
    let found = CertificateDer::pem_file_iter(file).with_context(unreadable)?;
    let certificates: Vec<_> = found.collect::<Result<_, _>>().with_context(unreadable)?;
    anyhow::ensure!(!certificates.is_empty(), "{} has no certificates", file.display());
    Ok(Trust::Certificates(certificates))
}

/// Logs accounts in, in any order, and returns their sessions sorted by number.
pub(crate) async fn log_in(
    access: &Arc<Access>,
    numbers: Range<usize>,
    probe: Probe,
) -> Result<(Vec<Client>, Logins)> {
    let count = numbers.len();
    let what = format!("{}: {count} logins", access.transport.name());
    let step = Step::new(&what, count as u64);
    let mut sessions = Vec::with_capacity(count);
    let mut latency = Histogram::new(3)?;
    let (began, before) = (Instant::now(), probe.sample());
    let mut waiting = numbers;
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(number) = waiting.next()
        {
            let access = Arc::clone(access);
            running.spawn(async move {
                let began = Instant::now();
                let client = access.log_in(number).await?;
                anyhow::Ok((number, client, began.elapsed()))
            });
        }
        let Some(done) = running.join_next().await else { break };
        let (number, client, time) = done??;
        latency.record(u64::try_from(time.as_micros())?)?;
        sessions.push((number, client));
        step.set(sessions.len() as u64, format!("{} of {count}", sessions.len()));
    }
    let elapsed = began.elapsed();
    let usage = Usage::between(before, probe.sample());
    sessions.sort_by_key(|(number, _)| *number);
    let sessions = sessions.into_iter().map(|(_, client)| client).collect();
    Ok((sessions, Logins { count, elapsed, latency, usage }))
}

/// Closes sessions in good order, so that nothing of them disturbs what comes next.
pub(crate) async fn close(sessions: impl IntoIterator<Item = Client>) {
    let mut closing = JoinSet::new();
    for session in sessions {
        closing.spawn(session.close());
    }
    closing.join_all().await;
}
