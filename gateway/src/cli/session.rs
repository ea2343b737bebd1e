//! What `chat` and `send` have in common: whom to log in as, where, how, and with which password.

use std::fs;
use std::io::{IsTerminal, stdin};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use longwire_client::{Client, Config, ConnectError, Secret, Server, Streams, Transport, Trust};
use longwire_stanza::BareJid;
use miette::{Report, miette};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::output;
use super::printable::printable;
use crate::dev::{self, Endpoints};

/// The options of commands that log in as a client.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArgs {
    /// Account to log in with: name@domain
    pub(super) account: BareJid,
    /// Where the server is, when not at the account's domain and the usual port
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<ServerName>,
    /// What carries the session
    #[arg(long, value_enum, default_value_t = TransportName::Quic)]
    transport: TransportName,
    /// How QUIC streams are used
    #[arg(long, value_enum, default_value_t = StreamsName::Many)]
    streams: StreamsName,
    /// PEM file with the certificates to trust instead of the system's authorities
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File whose first line is the password; otherwise LONGWIRE_PASSWORD, or you are asked
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Resource to ask for; the server makes one up otherwise
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Seconds that connecting and logging in may take, and each answer after that
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Folder of `longwire serve --dev`: for accounts of its domain, address, certificate and
    /// password come from there unless they are given
    #[arg(long, value_name = "DIR", default_value = dev::FOLDER)]
    data: PathBuf,
    /// Say more: connection details, and which stream each line came over
    #[arg(long, short)]
    pub(super) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransportName {
    /// QUIC: multi-stream, UDP
    Quic,
    /// TCP with TLS from the first byte
    Tls,
    /// TCP with STARTTLS
    Starttls,
    /// TCP without TLS, to this machine only
    Plaintext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StreamsName {
    /// A stream for every conversation (Multistream XMPP)
    Many,
    /// The same without type octets (the multi-stream change to XEP-0467)
    Untyped,
    /// One stream for everything, for comparison
    One,
}

/// `host`, `host:port`, `address:port` or `[IPv6 address]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerName {
    host: String,
    port: Option<u16>,
}

/// What is wrong with the value of `--server`.
#[derive(Debug, thiserror::Error)]
#[error("a server is HOST, HOST:PORT or [IPv6]:PORT")]
struct NoServerName;

impl FromStr for ServerName {
    type Err = NoServerName;

    fn from_str(text: &str) -> Result<Self, NoServerName> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(NoServerName)?;
            match port {
                "" => (host, None),
                _ => (host, Some(port.strip_prefix(':').ok_or(NoServerName)?)),
            }
        } else {
            match text.rsplit_once(':') {
                // More than one colon and no brackets: an IPv6 address alone.
                Some((rest, _)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or(NoServerName));
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NoServerName);
        }
        Ok(Self { host: host.to_owned(), port: port.transpose()? })
    }
}

/// How a command that talks to a server ended: its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is well.
    Done,
    /// The server or the recipient refused something.
    Refused,
    /// The command line is wrong, or a file that it names.
    Usage,
    /// There is no session, or none any more.
    NoSession,
}

impl Exit {
    const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::NoSession => 3,
        }
    }

    /// Which status a failed attempt to connect gives.
    pub(super) const fn of(error: &ConnectError) -> Self {
        match error {
            ConnectError::Certificates(_) => Self::Usage,
            ConnectError::Address(_)
            | ConnectError::Certificate(_)
            | ConnectError::Network(_)
            | ConnectError::Quic(_)
            | ConnectError::Refused(_)
            | ConnectError::Closed(_)
            | ConnectError::Timeout => Self::NoSession,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// Why there is no session: what to tell, and the exit status.
#[derive(Debug)]
pub(super) struct NoSession {
    pub(super) exit: Exit,
    pub(super) report: Report,
}

impl NoSession {
    fn usage(report: Report) -> Self {
        Self { exit: Exit::Usage, report }
    }

    /// Tells it, in one line for scripts and one with advice, and gives the exit status.
    pub(super) fn complain(&self) -> Exit {
        output::note(format_args!("longwire: {}", self.report));
        if let Some(help) = self.report.help() {
            output::note(format_args!("  {help}"));
        }
        self.exit
    }
}

impl LoginArgs {
    /// Time for an answer.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Everything that the client library needs to know.
    pub(super) fn resolve(&self) -> Result<Config, NoSession> {
        self.resolve_with(std::env::var("LONGWIRE_PASSWORD").ok()).map_err(NoSession::usage)
    }

    fn resolve_with(&self, environment: Option<String>) -> Result<Config, Report> {
        if self.account.local().is_none() {
            return Err(miette!("{} is no account: write name@domain", self.account));
        }
        let endpoints = self.endpoints()?;
        let password = match self.password(environment)? {
            Some(password) => password,
            None => self.ask()?,
        };
        let mut config = Config::new(self.account.clone(), password);
        config.transport = self.transport.into();
        config.streams = self.streams.into();
        config.resource.clone_from(&self.resource);
        config.connect_wait = self.wait();
        config.server = self.server(config.transport, endpoints.as_ref());
        let dev = endpoints.as_ref().map(|endpoints| self.data.join(&endpoints.ca));
        if let Some(ca) = self.ca.as_ref().or(dev.as_ref()) {
            config.trust = Trust::Certificates(certificates(ca)?);
        }
        Ok(config)
    }

    /// The development server, when the account is one of its domain.
    fn endpoints(&self) -> Result<Option<Endpoints>, Report> {
        let endpoints = dev::endpoints(&self.data).map_err(Report::from_err)?;
        Ok(endpoints.filter(|endpoints| endpoints.domain == self.account.domain()))
    }

    fn server(&self, transport: Transport, endpoints: Option<&Endpoints>) -> Server {
        if let Some(ServerName { host, port }) = &self.server {
            let port = port.unwrap_or_else(|| transport.default_port());
            return match host.parse() {
                Ok(ip) => Server::Address(SocketAddr::new(ip, port)),
                Err(_) => Server::Host(host.clone(), port),
            };
        }
        match endpoints.and_then(|endpoints| endpoints.of(transport)) {
            Some(address) => Server::Address(address),
            None => Server::Host(self.account.domain().to_owned(), transport.default_port()),
        }
    }

    /// The password as far as nobody has to be asked for it.
    fn password(&self, environment: Option<String>) -> Result<Option<Secret>, Report> {
        if let Some(path) = &self.password_file {
            let failed = |error| miette!("cannot read {}: {error}", path.display());
            let text = fs::read_to_string(path).map(Secret::new).map_err(failed)?;
            let line = text.expose().lines().next().unwrap_or_default();
            return Ok(Some(Secret::new(line)));
        }
        if let Some(password) = environment {
            return Ok(Some(Secret::new(password)));
        }
        let known = dev::password(&self.data, &self.account).map_err(Report::from_err)?;
        Ok(known.map(Secret::new))
    }

    fn ask(&self) -> Result<Secret, Report> {
        if !stdin().is_terminal() {
            return Err(miette!(
                help = "name a file with --password-file, or set LONGWIRE_PASSWORD",
                "there is no password for {}, and no terminal to ask for it",
                self.account
            ));
        }
        let typed = rpassword::prompt_password(format!("Password of {}: ", self.account));
        Ok(Secret::new(typed.map_err(|error| miette!("cannot ask for the password: {error}"))?))
    }

    /// What to tell when there is no session.
    pub(super) fn no_session(&self, config: &Config, error: ConnectError) -> NoSession {
        let exit = Exit::of(&error);
        let server = match &config.server {
            Server::Address(address) => address.to_string(),
            Server::Host(host, port) => format!("{host}:{port}"),
        };
        let transport = transport(config.transport);
        let what = format!("no session for {} at {server} over {transport}", self.account);
        let help = self.advice(&error);
        let reason = printable(&error.to_string()).into_owned();
        NoSession { exit, report: miette!(help = help, "{what}: {reason}") }
    }

    fn advice(&self, error: &ConnectError) -> &'static str {
        let is_dev = self.endpoints().is_ok_and(|endpoints| endpoints.is_some());
        match error {
            ConnectError::Certificates(_) => "name a file with certificates to trust with --ca",
            ConnectError::Certificate(_) => {
                "if this is the right server, trust its certificate with --ca"
            }
            ConnectError::Refused(_) => "check account and password",
            ConnectError::Address(_) => "check the domain, or name the server with --server",
            ConnectError::Network(_)
            | ConnectError::Quic(_)
            | ConnectError::Closed(_)
            | ConnectError::Timeout => match is_dev {
                true => "is `longwire serve --dev` running in this folder?",
                false => "check --server and --transport, and whether something blocks the port",
            },
        }
    }
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Quic => Self::Quic,
            TransportName::Tls => Self::Tls,
            TransportName::Starttls => Self::StartTls,
            TransportName::Plaintext => Self::Plaintext,
        }
    }
}

impl From<StreamsName> for Streams {
    fn from(name: StreamsName) -> Self {
        match name {
            StreamsName::Many => Self::Many,
            StreamsName::Untyped => Self::Untyped,
            StreamsName::One => Self::One,
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Report> {
    let failed = |error: &dyn std::fmt::Display| {
        miette!(help = "name a PEM file", "no certificates in {}: {error}", path.display())
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    if read.is_empty() {
        return Err(failed(&"there are none"));
    }
    Ok(read)
}

const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Quic => "QUIC",
        Transport::Tls => "TLS",
        Transport::StartTls => "STARTTLS",
        Transport::Plaintext => "TCP without TLS",
    }
}

/// `connected as alice@localhost/x over QUIC, one stream per conversation`
pub(super) fn connected(config: &Config, client: &Client) -> String {
    let streams = match (config.transport, config.streams) {
        (Transport::Quic, Streams::Many) => ", one stream per conversation",
        (Transport::Quic, Streams::Untyped) => ", one untyped stream per conversation",
        (Transport::Quic, Streams::One) => ", one stream for everything",
        _ => "",
    };
    format!("connected as {} over {}{streams}", client.jid(), transport(config.transport))
}

/// `server 127.0.0.1:5224 (UDP), ALPN xmpp-client`
pub(super) fn details(config: &Config, client: &Client) -> String {
    let server = client.server();
    match config.transport {
        Transport::Quic => format!("server {server} (UDP), TLS 1.3, ALPN xmpp-client"),
        Transport::Tls => format!("server {server} (TCP), ALPN xmpp-client"),
        Transport::StartTls | Transport::Plaintext => format!("server {server} (TCP)"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use longwire_client::{ClientError, CloseReason};

    use super::*;
    use crate::scratch::Folder;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        login: LoginArgs,
    }

    fn parse(words: &str) -> LoginArgs {
        let words = ["x"].into_iter().chain(words.split(' '));
        Line::try_parse_from(words).unwrap().login
    }

    fn named(text: &str) -> Option<(String, Option<u16>)> {
        text.parse::<ServerName>().ok().map(|name| (name.host, name.port))
    }

    #[test]
    fn servers_are_named_in_every_usual_way() {
        let name = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(named("example.org"), name("example.org", None));
        assert_eq!(named("example.org:5223"), name("example.org", Some(5223)));
        assert_eq!(named("127.0.0.1:1"), name("127.0.0.1", Some(1)));
        assert_eq!(named("[::1]:5224"), name("::1", Some(5224)));
        assert_eq!(named("[::1]"), name("::1", None));
        assert_eq!(named("fe80::1"), name("fe80::1", None));
        for bad in ["", ":1", "x:", "x:0", "x:65536", "x:y", "[::1", "[::1]5", "a b:1", "[]:1"] {
            assert_eq!(named(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_outcome_has_its_own_exit_status() {
        let all = [Exit::Done, Exit::Refused, Exit::Usage, Exit::NoSession];
        assert_eq!(all.map(Exit::status), [0, 1, 2, 3]);
    }

    #[test]
    fn a_failed_connection_is_3_and_an_unusable_file_2() {
        let network = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for error in [
            ConnectError::Address("x".to_owned()),
            ConnectError::Certificate("x".to_owned()),
            ConnectError::Network(network),
            ConnectError::Quic("x".to_owned()),
            ConnectError::Refused(ClientError::NoMechanism),
            ConnectError::Closed(CloseReason::Lost),
            ConnectError::Timeout,
        ] {
            assert_eq!(Exit::of(&error), Exit::NoSession, "{error}");
        }
        assert_eq!(Exit::of(&ConnectError::Certificates("x".to_owned())), Exit::Usage);
    }

    #[test]
    fn the_password_comes_from_the_file_then_the_environment() {
        let folder = Folder::new("login-password");
        let file = folder.path().join("password");
        fs::write(&file, "from the file\nsecond line\n").unwrap();
        let data = folder.path().display();
        let given = parse(&format!("a@b.c --data {data} --password-file {}", file.display()));
        let environment = || Some("from the environment".to_owned());
        let password = |login: &LoginArgs, environment| {
            login.password(environment).unwrap().map(|secret| secret.expose().to_owned())
        };
        assert_eq!(password(&given, environment()).unwrap(), "from the file");
        let plain = parse(&format!("a@b.c --data {data}"));
        assert_eq!(password(&plain, environment()).unwrap(), "from the environment");
        assert_eq!(password(&plain, None), None);
    }

    #[test]
    fn without_any_option_the_server_is_the_domain() {
        let login = parse("a@b.example --data no-such-folder");
        let config = login.resolve_with(Some("x".to_owned())).unwrap();
        assert_eq!(config.server, Server::Host("b.example".to_owned(), 443));
        assert!(matches!(config.trust, Trust::System));
        let login = parse("a@b.example --data no-such-folder --transport starttls");
        let config = login.resolve_with(Some("x".to_owned())).unwrap();
        assert_eq!(config.server, Server::Host("b.example".to_owned(), 5222));
    }

    #[test]
    fn an_account_has_a_name() {
        let error = parse("b.example").resolve_with(Some("x".to_owned())).err().unwrap();
        assert!(error.to_string().contains("name@domain"), "{error}");
    }

    #[test]
    fn options_go_before_the_development_folder() {
        let folder = Folder::new("login-dev");
        let endpoints = Endpoints {
            domain: "localhost".to_owned(),
            quic: Some("127.0.0.1:5224".parse().unwrap()),
            starttls: Some("127.0.0.1:5222".parse().unwrap()),
            tls: None,
            ca: PathBuf::from("localhost.crt"),
        };
        dev::write_endpoints(folder.path(), &endpoints).unwrap();
        let (_, pem) = dev::self_signed(&["localhost"]).unwrap();
        fs::write(folder.path().join("localhost.crt"), pem).unwrap();
        let data = folder.path().display();
        let server = |options: &str| {
            let login = parse(&format!("alice@localhost --data {data}{options}"));
            login.resolve_with(Some("x".to_owned())).unwrap()
        };
        let plain = server("");
        assert_eq!(plain.server, Server::Address("127.0.0.1:5224".parse().unwrap()));
        assert!(matches!(plain.trust, Trust::Certificates(all) if all.len() == 1));
        let other = server(" --transport starttls").server;
        assert_eq!(other, Server::Address("127.0.0.1:5222".parse().unwrap()));
        let other = server(" --server [::1]:9").server;
        assert_eq!(other, Server::Address("[::1]:9".parse().unwrap()));
        assert_eq!(server(" --transport tls").server, Server::Host("localhost".to_owned(), 5223));
        let stranger = parse(&format!("alice@b.example --data {data}"));
        let config = stranger.resolve_with(Some("x".to_owned())).unwrap();
        assert!(matches!(config.trust, Trust::System), "another domain is not the dev server's");
    }
}
