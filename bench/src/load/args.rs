//! What can be said on the command line, and the plan that follows from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use longwire_client::{Server, Streams};
use serde::Serialize;

/// Put load on a real server and print messages per second, latency, CPU and memory.
///
/// Without --server, a server of this build is started as a process of its own, on loopback and
/// with data in a temporary folder, and stopped at the end. Rate limits are off, as many
/// connections as needed may come from one address, passwords have 4,096 PBKDF2 iterations.
///
/// For each transport, one after the other:
///   closed loop      every pair keeps --window messages on their way for --seconds: how many
///                    messages per second pass, and what one costs the server
///   open loop        --rate messages/s in all, sent when they are due whatever the server does;
///                    latency counts from the moment when a message was due
///   idle connections memory of the server with none, half and all of --idle sessions: the slope
///                    is the memory per connection; logging them in gives logins/s
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Transports to measure, separated by commas [default: tls,quic; with --server: required]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    transport: Vec<Transport>,
    /// Pairs of accounts; in each, one sends and the other receives [default: 50; --quick: 10]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pairs: Option<u32>,
    /// Messages on their way per pair in the closed loop
    #[arg(long, value_name = "COUNT", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=400))]
    window: u32,
    /// Length of each loop in seconds; 0 leaves the loops out [default: 10; --quick: 1.5]
    #[arg(long, value_name = "SECONDS", value_parser = number)]
    seconds: Option<f64>,
    /// Seconds before each loop that do not count [default: 1; --quick: 0.5]
    #[arg(long, value_name = "SECONDS", value_parser = number)]
    warm_up: Option<f64>,
    /// Messages per second in all in the open loop; 0 leaves it out [default: half of what the
    /// closed loop reached]
    #[arg(long, value_name = "RATE", value_parser = number)]
    rate: Option<f64>,
    /// Size of a message in bytes, as the sender writes it
    #[arg(long, value_name = "BYTES", default_value_t = 400,
          value_parser = clap::value_parser!(u32).range(160..=200_000))]
    size: u32,
    /// Idle connections; 0 leaves them out [default: 1000; --quick: 100; with --server: 0]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    idle: Option<u32>,
    /// A look that takes less than 20 seconds; its figures are rough
    #[arg(long)]
    quick: bool,
    /// Also write the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The server program to start [default: longwire of this build]
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    longwire: Option<PathBuf>,
    /// Measure a server that runs already. It needs the accounts load-0, load-1, ... (two for each
    /// pair, one for each idle connection); lift its [limits], or they are what is measured
    #[arg(long, value_name = "HOST:PORT", value_parser = server, requires = "transport")]
    server: Option<Server>,
    /// Domain of the accounts of that server
    #[arg(long, value_name = "NAME", default_value = DOMAIN, requires = "server")]
    domain: String,
    /// Password of the accounts of that server
    #[arg(long, value_name = "TEXT", default_value = PASSWORD, requires = "server")]
    password: String,
    /// Certificates to trust, PEM [default: those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Process number of that server, when it runs on this machine: for its CPU time and memory
    #[arg(long, value_name = "PID", requires = "server")]
    pid: Option<u32>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p longwire-bench -- load
  cargo run --release -p longwire-bench -- load --quick
  ... load --transport quic,quic-one --pairs 200 --window 1
  ... load --transport tls --seconds 30 --rate 5000 --idle 0 --json tls.json
  ... load --seconds 0 --idle 10000                    (ulimit -n 12000 before it)
  ... load --server chat.example.org:443 --transport quic --domain example.org --pairs 10

Accounts for a running server:
  for i in $(seq 0 99); do
    echo load-password | longwire user add load-$i@localhost --password-stdin
  done

Units: messages/s are messages that arrived; CPU is processor time of the server process per
message (user and system); memory is resident memory, KiB = 1,024 bytes. The load generator runs
on the same machine and takes its part of the same cores: the table says how much.";

/// The domain of the accounts that are made here.
pub(crate) const DOMAIN: &str = "localhost";
/// Their password.
pub(crate) const PASSWORD: &str = "load-password";

/// How the clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// TCP with TLS from the first byte
    Tls,
    /// TCP with STARTTLS
    Starttls,
    /// QUIC, a stream for every conversation
    Quic,
    /// QUIC, one stream for everything
    QuicOne,
}

impl Transport {
    /// The client library's words for it.
    pub(crate) fn parts(self) -> (longwire_client::Transport, Streams) {
        match self {
            Self::Tls => (longwire_client::Transport::Tls, Streams::One),
            Self::Starttls => (longwire_client::Transport::StartTls, Streams::One),
            Self::Quic => (longwire_client::Transport::Quic, Streams::Many),
            Self::QuicOne => (longwire_client::Transport::Quic, Streams::One),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Starttls => "starttls",
            Self::Quic => "quic",
            Self::QuicOne => "quic-one",
        }
    }
}

/// What is going to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) transports: Vec<Transport>,
    pub(crate) loops: Loops,
    /// Whether the closed loop and the open loop run at all.
    pub(crate) has_loops: bool,
    /// Idle connections.
    pub(crate) idle: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) target: Target,
}

/// How the two loops run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Loops {
    pub(crate) pairs: usize,
    pub(crate) window: usize,
    pub(crate) bytes: usize,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    /// Messages per second of the open loop; `None`: half of what the closed loop reached.
    pub(crate) rate: Option<f64>,
}

impl Loops {
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }
}

/// Which server is measured.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One that is started here.
    Own(Option<PathBuf>),
    /// One that runs already.
    Running(Running),
}

/// A server that runs already.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) domain: String,
    pub(crate) password: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) pid: Option<u32>,
}

impl Running {
    /// What the report calls it.
    pub(crate) fn name(&self) -> String {
        match &self.server {
            Server::Address(address) => format!("at {address}"),
            Server::Host(host, port) => format!("at {host}:{port}"),
        }
    }
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan> {
        let quick = self.quick;
        let either = |full: f64, quicker: f64| if quick { quicker } else { full };
        let idle = match (self.idle, &self.server) {
            (Some(idle), _) => idle,
            (None, Some(_)) => 0,
            (None, None) => {
                if quick {
                    100
                } else {
                    1000
                }
            }
        };
        let seconds = self.seconds.unwrap_or_else(|| either(10.0, 1.5));
        if seconds == 0.0 && idle == 0 {
            bail!("--seconds 0 and --idle 0 leave nothing to measure");
        }
        let transports = match self.transport {
            chosen if !chosen.is_empty() => chosen,
            _ => vec![Transport::Tls, Transport::Quic],
        };
        let target = match self.server {
            Some(server) if transports.len() == 1 => Target::Running(Running {
                server,
                domain: self.domain,
                password: self.password,
                ca: self.ca,
                pid: self.pid,
            }),
            Some(_) => bail!("an address has one transport: name one with --transport"),
            None => Target::Own(self.longwire),
        };
        let loops = Loops {
            pairs: self.pairs.unwrap_or(if quick { 10 } else { 50 }) as usize,
            window: self.window as usize,
            bytes: self.size as usize,
            seconds,
            warm_up_seconds: self.warm_up.unwrap_or_else(|| either(1.0, 0.5)),
            rate: self.rate,
        };
        let (json, idle, has_loops) = (self.json, idle as usize, seconds > 0.0);
        Ok(Plan { transports, loops, has_loops, idle, json, target })
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    let fits = number.is_finite() && (0.0..=10_000_000.0).contains(&number);
    if fits { Ok(number) } else { Err("write a number from 0 to 10000000".to_owned()) }
}

fn server(text: &str) -> Result<Server, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Server::Address(address));
    }
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Server::Host(host.to_owned(), port))
    });
    parsed.ok_or_else(|| "write HOST:PORT, such as 127.0.0.1:5223 or [::1]:443".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("load").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_measures_tls_and_quic() {
        let plan = plan("").unwrap();
        assert_eq!(plan.transports, [Transport::Tls, Transport::Quic]);
        assert_eq!((plan.loops.pairs, plan.idle, plan.has_loops), (50, 1000, true));
        assert!(matches!(plan.target, Target::Own(None)));
    }

    #[test]
    fn quick_is_short_but_what_is_said_goes_first() {
        let plan = plan("--quick --pairs 3 --transport quic-one,starttls").unwrap();
        assert_eq!(plan.transports, [Transport::QuicOne, Transport::Starttls]);
        assert_eq!((plan.loops.pairs, plan.idle), (3, 100));
        assert!(plan.loops.seconds < 2.0);
    }

    #[test]
    fn a_running_server_needs_one_transport_and_gets_no_idle_connections() {
        assert!(plan("--server 127.0.0.1:5223").is_err());
        assert!(plan("--server 127.0.0.1:5223 --transport tls,quic").is_err());
        assert!(plan("--server 5223 --transport tls").is_err());
        let plan = plan("--server chat.example.org:5223 --transport tls").unwrap();
        assert_eq!(plan.idle, 0);
        let Target::Running(running) = plan.target else { panic!("not a running server") };
        assert_eq!(running.server, Server::Host("chat.example.org".to_owned(), 5223));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--seconds -1", "--seconds NaN", "--rate inf", "--pairs 0", "--window 0"] {
            assert!(plan(line).is_err(), "{line}");
        }
        assert!(plan("--seconds 0 --idle 0").is_err());
    }
}
