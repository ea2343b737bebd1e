//! A server of its own for one test: folder, configuration, accounts, process.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::authority::Authority;
use super::program::Program;

/// The one domain of a site.
const DOMAIN: &str = "localhost";

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(30);

/// The addresses of a site's listeners, all on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// QUIC.
    pub quic: u16,
    /// TCP, STARTTLS required.
    pub starttls: u16,
    /// TCP, TLS from the first byte.
    pub tls: u16,
    /// TCP, plain text allowed.
    pub plain: u16,
}

/// A folder with everything that one server needs; removed with its last user.
#[derive(Debug)]
pub struct Site {
    program: Program,
    folder: PathBuf,
    /// Where the server listens.
    pub ports: Ports,
}

impl Site {
    /// A site in a new folder, with a certificate for `localhost` and free ports.
    ///
    /// # Errors
    /// When the folder cannot be written or no ports are free.
    pub fn new(program: Program, name: &str) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("longwire-{name}-{}", std::process::id()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("cannot empty the site's folder")?;
        }
        std::fs::create_dir_all(&folder).context("cannot make the site's folder")?;
        let authority = Authority::new()?;
        let issued = authority.issue(DOMAIN)?;
        authority.write(&folder.join("authority.pem"))?;
        std::fs::write(folder.join("host.pem"), issued.certificate)?;
        std::fs::write(folder.join("host.key"), issued.key)?;
        let ports = free_ports()?;
        std::fs::write(folder.join("longwire.toml"), configuration(&ports))?;
        Ok(Self { program, folder, ports })
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

    /// Adds an account, with the command that an operator uses.
    ///
    /// # Errors
    /// When the command fails; the text has its words.
    pub fn add_account(&self, user: &str, password: &str) -> anyhow::Result<()> {
        let mut command = self.program.command();
        let account = format!("{user}@{DOMAIN}");
        command.args(["user", "add", &account, "--password-stdin", "--config"]);
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
        let log = self.folder.join("log.txt");
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(self.program.path())
            .args(["serve", "--config"])
            .arg(self.configuration())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot run longwire serve")?;
        let mut server = Server { child, log };
        server.wait_until_listening(&self.ports)?;
        Ok(server)
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

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Kills the process without any chance to clean up, as `kill -9` does.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill longwire")?;
        self.child.wait().context("cannot wait for longwire")?;
        Ok(())
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines that it wrote.
    #[must_use]
    pub fn log_end(&self) -> String {
        log_end(&self.log)
    }

    fn wait_until_listening(&mut self, ports: &Ports) -> anyhow::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "another process starts in real time")]
        let began = Instant::now();
        for port in [ports.starttls, ports.tls, ports.plain] {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("longwire serve ended ({status}):\n{}", self.log_end());
                }
                if began.elapsed() > START {
                    bail!("longwire does not listen on {address}:\n{}", self.log_end());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", self.log_end());
        }
        let _ = self.kill();
    }
}

fn log_end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n")
}

/// Ports that nobody uses at this moment.
fn free_ports() -> anyhow::Result<Ports> {
    let tcp = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are known, so that they differ.
    let listeners = [tcp()?, tcp()?, tcp()?];
    let quic = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let [starttls, tls, plain] = &listeners;
    Ok(Ports {
        quic: quic.local_addr()?.port(),
        starttls: starttls.local_addr()?.port(),
        tls: tls.local_addr()?.port(),
        plain: plain.local_addr()?.port(),
    })
}

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
