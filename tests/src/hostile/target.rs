//! A running server as somebody sees it who wants to do it harm.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use quinn::crypto::rustls::QuicClientConfig;

use super::raw::{RawClient, RawQuic, quic_primary, tcp, tls};
use super::table::{Entrance, Stage};
use crate::process::{Program, Server, Site};

/// The one account of a target.
const USER: &str = "alice";
const PASSWORD: &str = "wonderland";

/// A server with one account, and every way to it.
#[derive(Debug)]
pub struct Target {
    /// Where it is.
    pub site: Site,
    /// The process.
    pub server: Server,
    trust: rustls::ClientConfig,
}

/// One way in, opened: bytes go in on `input`, errors come out on [`Door::output`].
#[derive(Debug)]
pub struct Door {
    /// What the peer misuses.
    pub input: RawClient,
    answers: Option<RawClient>,
    /// Kept until the end: dropping the last handle closes the connection.
    _connection: Option<quinn::Connection>,
}

impl Door {
    /// Where the server answers.
    pub fn output(&mut self) -> &mut RawClient {
        self.answers.as_mut().unwrap_or(&mut self.input)
    }
}

impl Target {
    /// Starts a server whose configuration ends with these tables.
    ///
    /// # Errors
    /// When it cannot be built or does not start.
    pub fn start(name: &str, tables: &str) -> anyhow::Result<Self> {
        let site = Site::configured(Program::build()?, name, tables)?;
        site.add_account(USER, PASSWORD)?;
        let server = site.serve()?;
        let trust = site.tls()?;
        Ok(Self { site, server, trust })
    }

    /// Connects with QUIC.
    ///
    /// # Errors
    /// As connecting fails.
    pub async fn connect(&self) -> anyhow::Result<quinn::Connection> {
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let crypto = QuicClientConfig::try_from(self.trust.clone())?;
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let address = loopback(self.site.ports.quic);
        Ok(endpoint.connect_with(config, address, self.site.domain())?.await?)
    }

    /// Connects with QUIC and opens the first Primary stream.
    ///
    /// # Errors
    /// As connecting fails.
    pub async fn quic(&self) -> anyhow::Result<RawQuic> {
        Ok(quic_primary(self.connect().await?).await?)
    }

    /// Connects with TCP, without TLS.
    ///
    /// # Errors
    /// As connecting fails.
    pub async fn tcp(&self) -> anyhow::Result<RawClient> {
        Ok(tcp(loopback(self.site.ports.plain)).await?)
    }

    /// Connects with TCP and TLS.
    ///
    /// # Errors
    /// As connecting or the handshake fails.
    pub async fn tls(&self) -> anyhow::Result<RawClient> {
        let address = loopback(self.site.ports.tls);
        Ok(tls(address, self.site.domain(), self.trust.clone()).await?)
    }

    /// Opens an entrance; the Ancillary one comes with its Primary at the same stage.
    ///
    /// # Errors
    /// When the server does not let a well-behaved peer get that far.
    pub async fn enter(&self, entrance: Entrance, stage: Option<Stage>) -> anyhow::Result<Door> {
        let mut input = match entrance {
            Entrance::Tcp => self.tcp().await?,
            Entrance::Tls => self.tls().await?,
            Entrance::QuicPrimary => {
                let RawQuic { connection, mut primary, .. } = self.quic().await?;
                self.advance(&mut primary, stage).await?;
                return Ok(Door { input: primary, answers: None, _connection: Some(connection) });
            }
            Entrance::QuicAncillary => {
                let mut quic = self.quic().await?;
                self.advance(&mut quic.primary, stage).await?;
                let input = quic.ancillary().await?;
                let RawQuic { connection, primary, .. } = quic;
                let answers = Some(primary);
                return Ok(Door { input, answers, _connection: Some(connection) });
            }
        };
        self.advance(&mut input, stage).await?;
        Ok(Door { input, answers: None, _connection: None })
    }

    async fn advance(&self, client: &mut RawClient, stage: Option<Stage>) -> anyhow::Result<()> {
        match stage {
            None => {}
            Some(Stage::Opened) => _ = client.open(self.site.domain()).await?,
            Some(Stage::Bound) => _ = self.log_in(client).await?,
        }
        Ok(())
    }

    /// Logs the target's account in on an untouched stream; its full address.
    ///
    /// # Errors
    /// As the login fails.
    pub async fn log_in(&self, client: &mut RawClient) -> anyhow::Result<String> {
        client.open(self.site.domain()).await?;
        self.authenticate(client).await
    }

    /// Logs the target's account in on a stream whose features have come; its full address.
    ///
    /// # Errors
    /// As the login fails.
    pub async fn authenticate(&self, client: &mut RawClient) -> anyhow::Result<String> {
        client.authenticate(USER, PASSWORD).await.context("login")
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
