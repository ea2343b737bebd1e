//! A server to be measured: a folder with configuration and accounts, and the process.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use longwire_accounts::{ACCOUNTS, CREDENTIALS, ENTROPY_BYTES, NewPassword, Password};
use longwire_client::stanza::BareJid;
use longwire_store::{Batch, Options, Store};
use tokio::time::Instant;

use super::args::{DOMAIN, PASSWORD, Transport};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(30);

/// Accounts that are written at once.
const BATCH: usize = 500;

/// PBKDF2 iterations: the fewest that are allowed, since clients have to do them.
const ITERATIONS: u32 = 4_096;

/// A folder with everything that a server needs; removed at the end.
pub(crate) struct Site {
    program: PathBuf,
    folder: PathBuf,
    ports: Ports,
}

struct Ports {
    quic: u16,
    starttls: u16,
    tls: u16,
}

impl Site {
    /// A site with the accounts `load-0` to `load-(accounts - 1)`.
    pub(crate) async fn new(program: PathBuf, accounts: usize) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("longwire-load-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let site = Self { program, folder, ports: free_ports().context("no free ports")? };
        let identity = rcgen::generate_simple_self_signed([DOMAIN.to_owned()])?;
        site.write("host.crt", &identity.cert.pem())?;
        site.write("host.key", &identity.signing_key.serialize_pem())?;
        site.write("longwire.toml", &configuration(&site.ports))?;
        create_accounts(&site.folder.join("data"), accounts).await.context("making accounts")?;
        Ok(site)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The certificate to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("host.crt")
    }

    /// Where the server listens for this transport.
    pub(crate) fn address(&self, transport: Transport) -> SocketAddr {
        let port = match transport {
            Transport::Tls => self.ports.tls,
            Transport::Starttls => self.ports.starttls,
            Transport::Quic | Transport::QuicOne => self.ports.quic,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// What the program says of itself.
    pub(crate) fn version(&self) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn serve(&self) -> Result<Process> {
        let log = self.folder.join("log.txt");
        let output = File::create(&log)?;
        let child = Command::new(&self.program)
            .args(["serve", "--config"])
            .arg(self.folder.join("longwire.toml"))
            // What the caller logs is not what is to be measured.
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let mut process = Process { child, log };
        // The sockets of all listeners are opened before any of them accepts.
        process.wait_for(self.address(Transport::Tls))?;
        Ok(process)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A running server; killed at the end.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the server has ended, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended ({status}); its log ends with:\n{}", self.log_end());
        }
        Ok(())
    }

    /// The last lines that the server wrote.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            self.check()?;
            if began.elapsed() > START {
                bail!("the server does not listen; its log ends with:\n{}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data is thrown away, so there is nothing to end in good order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server program: the one that is named, or the one of this build, which is brought up to
/// date when cargo runs us.
pub(crate) fn program(named: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(program) = named {
        if !program.is_file() {
            bail!("--longwire names {}, which is not a file", program.display());
        }
        return Ok(program);
    }
    let own = std::env::current_exe().context("the path of this program")?;
    let folder = own.parent().context("the folder of this program")?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        // Both packages, so that cargo chooses the features with which it has built us.
        build.args(["build", "--package", "longwire-bench", "--package", "longwire-gateway"]);
        build.args(["--bin", "longwire"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        let status = build.status().context("cannot run cargo to build longwire")?;
        if !status.success() {
            bail!("longwire could not be built ({status}); name a program with --longwire");
        }
    }
    let program = folder.join(format!("longwire{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!(
            "there is no {}: build it (cargo build --release -p longwire-gateway), \
             or name another one with --longwire",
            program.display()
        );
    }
    Ok(program)
}

/// Creates the accounts, all with one password and one salt: deriving each one's keys would take
/// longer than the measurement, and a login costs the same.
async fn create_accounts(data: &Path, count: usize) -> Result<()> {
    fs::create_dir(data)?;
    let tables = [ACCOUNTS.info(), CREDENTIALS.info()];
    let store = Store::open_sqlite(data, &tables, Options::default())?;
    let password = Password::new(PASSWORD)?;
    let entropy = [7; ENTROPY_BYTES];
    let new = NewPassword { password: &password, iterations: ITERATIONS, entropy: &entropy };
    let first = account(DOMAIN, 0)?;
    longwire_accounts::create(&store, &first, new, 0).await?;
    let rows = store.load_owner(&tables, first.as_str()).await?;
    let mut batch = Batch::new();
    for number in 1..count {
        let account = account(DOMAIN, number)?;
        for row in &rows {
            batch.put_raw(row.table, account.as_str(), &row.key, &row.value);
        }
        if number % BATCH == 0 {
            store.commit(std::mem::take(&mut batch)).await?;
        }
    }
    if !batch.is_empty() {
        store.commit(batch).await?;
    }
    store.close().await;
    Ok(())
}

/// An account by its number.
pub(crate) fn account(domain: &str, number: usize) -> Result<BareJid> {
    Ok(BareJid::new(&format!("load-{number}@{domain}"))?)
}

/// Ports that nobody uses at this moment.
fn free_ports() -> io::Result<Ports> {
    let tcp = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are known, so that they differ.
    let (starttls, tls) = (tcp()?, tcp()?);
    let quic = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(Ports {
        quic: quic.local_addr()?.port(),
        starttls: starttls.local_addr()?.port(),
        tls: tls.local_addr()?.port(),
    })
}

fn configuration(ports: &Ports) -> String {
    let Ports { quic, starttls, tls } = ports;
    format!(
        r#"[[host]]
name = "{DOMAIN}"
certificate = "host.crt"
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

[store]
path = "data"

[limits]
connections_per_address = 65536
unauthenticated_per_address = 65536
unauthenticated = 65536
account_rate_enforced = false
quic_handshakes = 65535
quic_unvalidated = 65535

[feature.accounts]
iterations = {ITERATIONS}

[log]
filter = "warn"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_takes_the_configuration_and_no_limit_is_in_the_way() {
        let text = configuration(&Ports { quic: 1, starttls: 2, tls: 3 });
        // The identity is checked with the file; here only what is said is.
        let text = text.replace("certificate = \"host.crt\"\nkey = \"host.key\"\n", "");
        let quic = "[[listener]]\ntransport = \"quic\"\naddress = \"127.0.0.1:1\"\n";
        let tls = "[[listener]]\ntransport = \"tls\"\naddress = \"127.0.0.1:3\"\n";
        let text = text.replace(quic, "").replace(tls, "");
        let text = text.replace("127.0.0.1:2\"", "127.0.0.1:2\"\nplaintext = \"loopback\"");
        let path = Path::new("longwire.toml");
        let config = longwire_gateway::Config::parse(path, &text).map_err(|e| e.to_string());
        let limits = config.unwrap().limits;
        assert!(!limits.account_rate_enforced);
        assert!(limits.connections_per_address >= limits.connections);
        assert!(limits.unauthenticated_per_address >= limits.unauthenticated);
    }

    #[tokio::test]
    async fn accounts_are_made_by_the_thousand() {
        let folder = std::env::temp_dir().join(format!("longwire-bench-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let data = folder.join("data");
        create_accounts(&data, 1001).await.unwrap();
        let tables = [ACCOUNTS.info(), CREDENTIALS.info()];
        let store = Store::open_sqlite(&data, &tables, Options::default()).unwrap();
        let all = longwire_accounts::list(&store, None, 2000).await.unwrap();
        let last = account(DOMAIN, 1000).unwrap();
        let password = Password::new(PASSWORD).unwrap();
        let right = longwire_accounts::verify_password(&store, &last, &password).await;
        store.close().await;
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(all.len(), 1001);
        assert!(right.unwrap());
    }
}
