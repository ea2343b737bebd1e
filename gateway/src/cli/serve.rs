//! `longwire serve`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use longwire_link::Entropy;
use miette::Report;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::output::{note, say};
use super::{ConfigFile, Failure, runtime};
use crate::config::{Config, TransportKind};
use crate::dev::{self, Dev, Endpoints, Ports};
use crate::environment::Environment;
use crate::features;
use crate::server::{ServeError, Server};

/// Run the server until SIGTERM or SIGINT; SIGHUP reads the certificates again.
///
/// On SIGTERM it takes no new connections, makes durable what it has taken, tells all clients
/// and is gone within 20 seconds. A second signal ends it at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  longwire serve --config /etc/longwire/longwire.toml
  longwire serve --dev                    localhost, accounts alice and bob, ports 5222 to 5224
  longwire serve --dev --port-base 0      the same on free ports, which are printed")]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Run a development server on this machine only; needs no configuration
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// First of three ports: TCP with STARTTLS, TCP with TLS, QUIC; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = 5222, requires = "dev")]
    port_base: u16,
    /// UDP port of QUIC; 0 takes a free one [default: port base + 2]
    #[arg(long, value_name = "PORT", requires = "dev")]
    quic_port: Option<u16>,
    /// TCP port of STARTTLS; 0 takes a free one [default: port base]
    #[arg(long, value_name = "PORT", requires = "dev")]
    tcp_port: Option<u16>,
    /// TCP port of direct TLS; 0 takes a free one [default: port base + 1]
    #[arg(long, value_name = "PORT", requires = "dev")]
    tls_port: Option<u16>,
    /// Folder for database, keys, certificate and passwords
    #[arg(long, value_name = "DIR", default_value = dev::FOLDER, requires = "dev")]
    data: PathBuf,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    if args.dev {
        let base = Ports::from_base(args.port_base);
        let ports = Ports {
            tcp: args.tcp_port.unwrap_or(base.tcp),
            tls: args.tls_port.unwrap_or(base.tls),
            quic: args.quic_port.unwrap_or(base.quic),
        };
        let dev = dev::prepare(args.data, ports).map_err(Failure::failed)?;
        log(&dev.config.log);
        return runtime()?.block_on(serve(dev.config.clone(), After::Introduce(&dev)));
    }
    let config = args.file.load()?;
    log(&config.log);
    runtime()?.block_on(serve(config, After::Reload(&args.file)))
}

/// What comes after the start, besides waiting for the end.
#[derive(Clone, Copy)]
enum After<'a> {
    /// Tell the developer how to connect.
    Introduce(&'a Dev),
    /// Read the certificates again on SIGHUP.
    Reload(&'a ConfigFile),
}

async fn serve(config: Config, after: After<'_>) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::failed)?;
    let environment = Environment::default();
    let entropy = environment.entropy().map_err(Failure::failed)?;
    let server = Server::start(config, environment).await.map_err(|error| match error {
        ServeError::Config(error) => Failure::from(error),
        error => Failure::Failed(Report::new(error)),
    })?;
    for (listener, address) in server.addresses() {
        tracing::info!(transport = ?listener.transport, %address, "listening");
    }
    if let After::Introduce(dev) = after {
        introduce(&server, dev, &entropy).await?;
    }
    while signals.next().await == Wish::Reload {
        reload(&server, after);
    }
    tokio::select! {
        biased;
        () = signals.stop() => note("ended at once by a second signal"),
        () = server.shutdown() => {}
    }
    Ok(())
}

fn reload(server: &Server, after: After<'_>) {
    let After::Reload(file) = after else { return };
    match Config::load(&file.config) {
        Ok(config) => {
            server.replace_certificates(&config.hosts);
            tracing::info!("certificates were read again");
        }
        Err(error) => tracing::error!(%error, "the old certificates stay in use"),
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.reload.recv() => Wish::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

/// Prints where the development server is, who may log in, and how.
async fn introduce(server: &Server, dev: &Dev, entropy: &Entropy) -> Result<(), Failure> {
    let Dev { config, certificate } = dev;
    let iterations = features::iterations(config);
    let accounts = dev::ensure(server.store(), &config.data, iterations, entropy).await;
    let accounts = accounts.map_err(Failure::failed)?;
    write_endpoints(server, dev)?;
    say("longwire development server for localhost; only this machine can reach it\n");
    for (listener, address) in server.addresses() {
        let what = match listener.transport {
            TransportKind::Quic => "quic",
            TransportKind::StartTls => "starttls",
            TransportKind::Tls => "tls",
        };
        say(format_args!("  {what:<9} {address}"));
    }
    say("");
    for account in &accounts {
        let address = account.account.as_str();
        say(format_args!("  {address:<16} password {}", account.password));
    }
    let quic = server.addresses().iter().find(|(l, _)| l.transport == TransportKind::Quic);
    if let Some((_, quic)) = quic {
        say("\nTwo terminals, one conversation:");
        for account in &accounts {
            say(chat(account.account.as_str(), *quic, certificate));
        }
    }
    say(format_args!("\nData in {}. Ctrl-C stops the server.", config.data.display()));
    Ok(())
}

/// Leaves word where clients that run in the same folder find everything.
fn write_endpoints(server: &Server, dev: &Dev) -> Result<(), Failure> {
    let of = |kind| {
        let found = server.addresses().iter().find(|(listener, _)| listener.transport == kind);
        found.map(|(_, address)| *address)
    };
    let folder = &dev.config.data;
    let ca = dev.certificate.strip_prefix(folder).unwrap_or(&dev.certificate);
    let endpoints = Endpoints {
        domain: dev::HOST.to_owned(),
        quic: of(TransportKind::Quic),
        starttls: of(TransportKind::StartTls),
        tls: of(TransportKind::Tls),
        ca: ca.to_owned(),
    };
    dev::write_endpoints(folder, &endpoints).map_err(Failure::failed)
}

fn chat(account: &str, quic: std::net::SocketAddr, certificate: &Path) -> String {
    format!("  {}", dev::chat_command(account, quic, certificate))
}

fn log(filter: &str) {
    let chosen = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(filter));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(chosen.unwrap_or_default())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Somebody else's subscriber stays when there is one.
    let _ = subscriber.try_init();
}
