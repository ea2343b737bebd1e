//! A server of its own for one test: folder, configuration, accounts.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use longwire_client::{Config as Login, Secret, Server as At, Transport, Trust};
use longwire_stanza::BareJid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::Authority;
use super::ports::{Ports, Reserved, reserve};
use super::program::Program;
use super::server::Server;

/// The one domain of a site.
const DOMAIN: &str = "localhost";

/// A folder with everything that one server needs; removed with its last user.
#[derive(Debug)]
pub struct Site {
    program: Program,
    folder: PathBuf,
    authority: CertificateDer<'static>,
    /// Where the server listens.
    pub ports: Ports,
    _reserved: Reserved,
}

impl Site {
    /// A site in a new folder, with a certificate for `localhost` and ports of its own.
    ///
    /// # Errors
    /// When the folder cannot be written or no ports are free.
    pub fn new(program: Program, name: &str) -> anyhow::Result<Self> {
        Self::configured(program, name, "")
    }

    /// A site whose configuration ends with these tables.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn configured(program: Program, name: &str, tables: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = format!("longwire-{name}-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(own);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("cannot empty the site's folder")?;
        }
        std::fs::create_dir_all(&folder).context("cannot make the site's folder")?;
        let authority = Authority::new()?;
        let issued = authority.issue(DOMAIN)?;
        authority.write(&folder.join("authority.pem"))?;
        std::fs::write(folder.join("host.pem"), issued.certificate)?;
        std::fs::write(folder.join("host.key"), issued.key)?;
        let authority = CertificateDer::from_pem_file(folder.join("authority.pem"))?;
        let reserved = reserve()?;
        let ports = reserved.ports;
        let log = if tables.contains("[log]") { "" } else { "[log]\nfilter = \"info\"\n\n" };
        std::fs::write(folder.join("longwire.toml"), configuration(&ports) + log + tables)?;
        Ok(Self { program, folder, authority, ports, _reserved: reserved })
    }

    /// Everything that its servers have logged so far.
    ///
    /// # Errors
    /// When there is no log.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(self.folder.join("log.txt")).context("the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The domain that it serves.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        DOMAIN
    }

    /// The certificate that clients have to trust, as a PEM file.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("longwire.toml")
    }

    /// The binary.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The address of an account.
    ///
    /// # Panics
    /// When the name is impossible.
    #[must_use]
    pub fn account(&self, user: &str) -> BareJid {
        BareJid::new(&format!("{user}@{DOMAIN}")).expect("a possible name")
    }

    /// Adds an account, with the command that an operator uses.
    ///
    /// # Errors
    /// When the command fails; the text has its words.
    pub fn add_account(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let mut command = self.program.command();
        command.args(["user", "add", self.account(user).as_str(), "--password-stdin", "--config"]);
        command.arg(self.configuration());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run longwire user add")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading says why below.
            let _ = writeln!(stdin, "{password}");
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("longwire user add {user}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen in time; the text has the end of its log.
    pub fn serve(&self) -> anyhow::Result<Server> {
        let mut command = self.program.command();
        command.args(["serve", "--config"]).arg(self.configuration());
        Server::start(command, &self.folder.join("log.txt"), LISTENERS)
    }

    /// Starts the server and kills it after this time, as far as it may have got.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn serve_briefly(&self, time: Duration) -> anyhow::Result<()> {
        let mut command = self.program.command();
        command.args(["serve", "--config"]).arg(self.configuration());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot run longwire serve")?;
        std::thread::sleep(time);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The configuration of a client for an account.
    #[must_use]
    pub fn login(&self, user: &str, password: &str, transport: Transport) -> Login {
        let mut login = Login::new(self.account(user), Secret::new(password));
        login.transport = transport;
        login.server = At::Address(self.address(transport));
        login.trust = Trust::Certificates(vec![self.authority.clone()]);
        login
    }

    /// Where the server listens for a transport.
    #[must_use]
    pub fn address(&self, transport: Transport) -> SocketAddr {
        let port = match transport {
            Transport::Quic => self.ports.quic,
            Transport::Tls => self.ports.tls,
            Transport::StartTls => self.ports.starttls,
            Transport::Plaintext => self.ports.plain,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// A TLS client that trusts the site.
    ///
    /// # Errors
    /// When the TLS library refuses the settings.
    pub fn tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"xmpp-client".to_vec()];
        Ok(tls)
    }

    /// The command `longwire chat` or `longwire send` for an account.
    #[must_use]
    pub fn client(&self, name: &str, user: &str, password: &str, transport: Transport) -> Command {
        let mut command = self.program.command();
        let by = match transport {
            Transport::Quic => "quic",
            Transport::Tls => "tls",
            Transport::StartTls => "starttls",
            Transport::Plaintext => "plaintext",
        };
        command.args([name, self.account(user).as_str(), "--transport", by, "--server"]);
        command.arg(self.address(transport).to_string()).arg("--ca").arg(self.authority());
        command.env("LONGWIRE_PASSWORD", password).current_dir(&self.folder);
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What a failed test leaves behind is what one wants to look at.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Listeners of [`configuration`].
const LISTENERS: usize = 4;

fn configuration(ports: &Ports) -> String {
    let Ports { quic, starttls, tls, plain } = ports;
    format!(
        r#"[[host]]
name = "{DOMAIN}"
certificate = "host.pem"
key = "host.key"

[[listener]]
transport = "quic"
address = "127.0.0.1:{quic}"

[[listener]]
transport = "starttls"
address = "127.0.0.1:{starttls}"

[[listener]]
transport = "tls"
address = "127.0.0.1:{tls}"

[[listener]]
transport = "starttls"
address = "127.0.0.1:{plain}"
plaintext = "loopback"

[store]
path = "data"

"#
    )
}
