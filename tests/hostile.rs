//! Every hostile input of the table through every entrance of the longwire binary.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use longwire_tests::hostile::table::{ACCEPTED, Entrance, HEADERS, Hostile, PROTOCOL, Stage, XML};
use longwire_tests::hostile::{RawClient, RawQuic, quic_primary, tcp, tls};
use longwire_tests::process::{Program, Server, Site};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const USER: &str = "alice";
const PASSWORD: &str = "wonderland";

/// A server and what a client needs to reach it.
struct Target {
    site: Site,
    server: Server,
    trust: rustls::ClientConfig,
}

/// One way in, opened: bytes go in on `input`, errors come out on `output` (or on `input`).
struct Door {
    input: RawClient,
    output: Option<RawClient>,
    /// Kept until the end: dropping the last handle closes the connection.
    _connection: Option<quinn::Connection>,
}

impl Target {
    fn start(name: &str) -> anyhow::Result<Self> {
        let site = Site::new(Program::build()?, name)?;
        site.add_account(USER, PASSWORD)?;
        let server = site.serve()?;
        let authority = CertificateDer::from_pem_file(site.authority())?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut trust = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        trust.alpn_protocols = vec![b"xmpp-client".to_vec()];
        Ok(Self { site, server, trust })
    }

    async fn quic(&self) -> anyhow::Result<RawQuic> {
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let crypto = QuicClientConfig::try_from(self.trust.clone())?;
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let address = loopback(self.site.ports.quic);
        let connection = endpoint.connect_with(config, address, self.site.domain())?.await?;
        Ok(quic_primary(connection).await?)
    }

    /// Opens an entrance; the Ancillary one comes with its Primary at the same stage.
    async fn enter(&self, entrance: Entrance, stage: Option<Stage>) -> anyhow::Result<Door> {
        let ports = self.site.ports;
        match entrance {
            Entrance::Tcp => {
                let mut input = tcp(loopback(ports.plain)).await?;
                self.advance(&mut input, stage).await?;
                Ok(Door { input, output: None, _connection: None })
            }
            Entrance::Tls => {
                let domain = self.site.domain();
                let mut input = tls(loopback(ports.tls), domain, self.trust.clone()).await?;
                self.advance(&mut input, stage).await?;
                Ok(Door { input, output: None, _connection: None })
            }
            Entrance::QuicPrimary => {
                let RawQuic { connection, mut primary, .. } = self.quic().await?;
                self.advance(&mut primary, stage).await?;
                Ok(Door { input: primary, output: None, _connection: Some(connection) })
            }
            Entrance::QuicAncillary => {
                let mut quic = self.quic().await?;
                self.advance(&mut quic.primary, stage).await?;
                let input = quic.ancillary().await?;
                let RawQuic { connection, primary, .. } = quic;
                Ok(Door { input, output: Some(primary), _connection: Some(connection) })
            }
        }
    }

    async fn advance(&self, client: &mut RawClient, stage: Option<Stage>) -> anyhow::Result<()> {
        match stage {
            None => {}
            Some(Stage::Opened) => _ = client.open(self.site.domain()).await?,
            Some(Stage::Bound) => {
                client.login(self.site.domain(), USER, PASSWORD).await.context("login")?;
            }
        }
        Ok(())
    }

    async fn check(
        &self,
        row: &Hostile,
        entrance: Entrance,
        stage: Option<Stage>,
    ) -> anyhow::Result<()> {
        let mut door = self.enter(entrance, stage).await?;
        // The server may close before it has taken everything: what it says decides.
        let _ = door.input.send((row.bytes)()).await;
        let mut output = door.output.take();
        let output = output.as_mut().unwrap_or(&mut door.input);
        let condition = output.stream_error().await?;
        ensure!(
            row.expect.contains(&condition.as_str()),
            "{condition} instead of {:?} ({})",
            row.expect,
            row.rule
        );
        let rest = output.until_closed().await?;
        ensure!(rest.contains("</stream:stream>"), "the stream is closed, not {rest:?}");
        Ok(())
    }

    /// Runs a table and reports all rows that fail, not only the first.
    async fn check_table(&self, table: &[Hostile], header: bool) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        let mut run = 0;
        for row in table {
            for &entrance in row.entrances {
                for &stage in row.stages {
                    // Nothing is read from an Ancillary before its session is bound.
                    if entrance == Entrance::QuicAncillary && stage == Stage::Opened {
                        continue;
                    }
                    run += 1;
                    let stage = (!header).then_some(stage);
                    if let Err(error) = self.check(row, entrance, stage).await {
                        let text: String = format!("{error:#}").chars().take(300).collect();
                        failures.push(format!("{entrance:?} {stage:?}: {}: {text}", row.name));
                    }
                }
            }
        }
        println!("{run} inputs, {} failures", failures.len());
        if !failures.is_empty() {
            bail!("{}\n{}", failures.join("\n"), self.server.log_end());
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn in_real_time<F: Future<Output = anyhow::Result<()>>>(check: F) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(check)
}

#[test]
fn bad_xml_meets_its_stream_error_through_every_entrance() -> anyhow::Result<()> {
    let target = Target::start("hostile-xml")?;
    in_real_time(target.check_table(XML, false))
}

#[test]
fn good_xml_at_the_wrong_time_meets_its_stream_error() -> anyhow::Result<()> {
    let target = Target::start("hostile-protocol")?;
    in_real_time(target.check_table(PROTOCOL, false))
}

#[test]
fn wrong_stream_headers_meet_their_stream_error() -> anyhow::Result<()> {
    let target = Target::start("hostile-headers")?;
    in_real_time(target.check_table(HEADERS, true))
}

#[test]
fn unusual_but_good_xml_is_answered() -> anyhow::Result<()> {
    let target = Target::start("hostile-control")?;
    in_real_time(async {
        for (name, bytes) in ACCEPTED {
            for entrance in Entrance::ALL {
                let mut door = target.enter(entrance, Some(Stage::Bound)).await?;
                door.input.send(bytes).await?;
                let output = door.output.as_mut().unwrap_or(&mut door.input);
                if let Err(error) = output.until("control").await {
                    bail!("{entrance:?}: {name}: {error}");
                }
            }
        }
        Ok(())
    })
}
