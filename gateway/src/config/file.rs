//! The file format, and the checks that go beyond types.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longwire_stanza::Jid;
use serde::Deserialize;
use toml::Spanned;

use super::error::{Problem, Source};
use super::{Config, ConfigError, DEFAULT_LOG, Host, Limits, LinkProfile, Listener, TransportKind};
use crate::tls;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    host: Vec<Spanned<HostTable>>,
    #[serde(default)]
    listener: Vec<ListenerTable>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    store: StoreTable,
    #[serde(default)]
    feature: toml::Table,
    #[serde(default)]
    log: LogTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostTable {
    name: Spanned<String>,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    transport: TransportKind,
    address: Spanned<String>,
    #[serde(default)]
    profile: LinkProfile,
    plaintext: Option<Spanned<Plaintext>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Plaintext {
    Loopback,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreTable {
    path: PathBuf,
}

impl Default for StoreTable {
    fn default() -> Self {
        Self { path: PathBuf::from("longwire-data") }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    filter: Spanned<String>,
}

impl Default for LogTable {
    fn default() -> Self {
        Self { filter: Spanned::new(0..0, DEFAULT_LOG.to_owned()) }
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let source = Source::new(path, text);
    let file: File = toml::from_str(text).map_err(|error| syntax(&source, &error))?;
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut checks = Checks { source: &source, base, problems: Vec::new() };
    let listeners = checks.listeners(&file.listener);
    let tls_required = listeners.iter().any(|l| !l.plaintext);
    let hosts = checks.hosts(&file.host, tls_required);
    let log = checks.log(file.log);
    checks.limits(&file.limits);
    let problems = checks.problems;
    if !problems.is_empty() {
        return Err(source.reject(problems));
    }
    Ok(Config {
        hosts,
        listeners,
        limits: file.limits,
        data: base.join(file.store.path),
        features: file.feature,
        log,
        source: Some(Arc::new(source)),
    })
}

/// A syntax or type error of the TOML reader, with our words about what to do.
fn syntax(source: &Source, error: &toml::de::Error) -> ConfigError {
    let problem = source.problem(error.span().unwrap_or(0..0), error.message());
    let advice = if error.message().starts_with("unknown field") {
        "remove it, or correct its spelling; `longwire features` lists the feature tables"
    } else if error.message().starts_with("missing field") {
        "add it to this table"
    } else if error.message().starts_with("invalid ") {
        "write a value of the expected form"
    } else {
        "correct the TOML syntax; see https://toml.io"
    };
    source.reject(vec![problem.advise(advice)])
}

struct Checks<'a> {
    source: &'a Source,
    base: &'a Path,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn report(&mut self, at: std::ops::Range<usize>, message: String, advice: &str) {
        self.problems.push(self.source.problem(at, message).advise(advice));
    }

    fn listeners(&mut self, tables: &[ListenerTable]) -> Vec<Listener> {
        if tables.is_empty() {
            return default_listeners();
        }
        let mut listeners: Vec<Listener> = Vec::with_capacity(tables.len());
        for table in tables {
            let Some(listener) = self.listener(table) else { continue };
            let udp = |kind| kind == TransportKind::Quic;
            let taken = listeners.iter().any(|other| {
                other.address == listener.address
                    && listener.address.port() != 0
                    && udp(other.transport) == udp(listener.transport)
            });
            if taken {
                let message = format!("{} is already used by a listener above", listener.address);
                self.report(table.address.span(), message, "choose another port");
            }
            listeners.push(listener);
        }
        listeners
    }

    fn listener(&mut self, table: &ListenerTable) -> Option<Listener> {
        let Ok(address) = table.address.as_ref().parse::<SocketAddr>() else {
            let message = format!("{:?} is not an IP address and a port", table.address.as_ref());
            let advice = r#"write "[::]:5222", "0.0.0.0:5222" or "127.0.0.1:0""#;
            self.report(table.address.span(), message, advice);
            return None;
        };
        if let Some(plaintext) = &table.plaintext {
            let Plaintext::Loopback = plaintext.as_ref();
            if !address.ip().to_canonical().is_loopback() {
                let message = format!("plain text is refused on {}, which is reachable", address);
                let advice = "listen on 127.0.0.1 or [::1], or remove the line so that TLS is used";
                self.report(plaintext.span(), message, advice);
            }
            if table.transport != TransportKind::StartTls {
                let message = "this transport is always encrypted".to_owned();
                let advice = r#"remove the line, or use transport = "starttls""#;
                self.report(plaintext.span(), message, advice);
            }
        }
        Some(Listener {
            transport: table.transport,
            address,
            profile: table.profile,
            plaintext: table.plaintext.is_some(),
        })
    }

    fn hosts(&mut self, tables: &[Spanned<HostTable>], tls_required: bool) -> Vec<Host> {
        if tables.is_empty() {
            let advice = "add [[host]] with name = \"example.org\", certificate and key";
            self.report(0..0, "no virtual host is configured".to_owned(), advice);
        }
        let mut hosts: Vec<Host> = Vec::with_capacity(tables.len());
        for table in tables {
            let Some(host) = self.host(table, tls_required) else { continue };
            if hosts.iter().any(|other| other.name == host.name) {
                let message = format!("{} is configured twice", host.name);
                self.report(table.as_ref().name.span(), message, "remove one of the two");
            }
            hosts.push(host);
        }
        hosts
    }

    fn host(&mut self, table: &Spanned<HostTable>, tls_required: bool) -> Option<Host> {
        let span = table.span();
        let table = table.as_ref();
        let Some(name) = domain(table.name.as_ref()) else {
            let message = format!("{:?} is not a domain name", table.name.as_ref());
            self.report(table.name.span(), message, r#"write a domain such as "example.org""#);
            return None;
        };
        let identity = match (&table.certificate, &table.key) {
            (Some(certificate), Some(key)) => Some(self.identity(&name, certificate, key)?),
            (None, None) if !tls_required => None,
            (None, _) | (_, None) => {
                let missing = if table.certificate.is_none() { "certificate" } else { "key" };
                let message = format!("{name} has no {missing}, and a listener uses TLS");
                let advice = format!("add {missing} = \"FILE.pem\" to this [[host]]");
                self.report(span.start..span.start, message, &advice);
                return None;
            }
        };
        Some(Host { name, identity })
    }

    fn identity(
        &mut self,
        name: &str,
        certificate: &Spanned<PathBuf>,
        key: &Spanned<PathBuf>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let paths = (self.base.join(certificate.as_ref()), self.base.join(key.as_ref()));
        match tls::load_identity(&paths.0, &paths.1) {
            Ok(identity) => Some(Arc::new(identity)),
            Err(error) => {
                let at = if error.about_key() { key.span() } else { certificate.span() };
                self.report(at, format!("{name}: {error}"), error.advice());
                None
            }
        }
    }

    fn log(&mut self, table: LogTable) -> String {
        let span = table.filter.span();
        let filter = table.filter.into_inner();
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            let advice = r#"write for example "info" or "info,longwire=debug""#;
            self.report(span, format!("not a log filter: {error}"), advice);
        }
        filter
    }

    fn limits(&mut self, limits: &Limits) {
        let checks = [
            ("stanza", limits.stanza >= limits.stanza_unauthenticated, "stanza_unauthenticated"),
            ("quic_streams", limits.quic_streams >= 4, "4: clients open several streams"),
            ("quic_window", limits.quic_window >= limits.quic_stream_window, "quic_stream_window"),
            ("stanza_unauthenticated", limits.stanza_unauthenticated.get() >= 10_000, "10kB"),
            ("account_rate", limits.account_rate.get() >= 1, "8bit/s"),
            ("unauthenticated", limits.unauthenticated >= 1, "1"),
            ("connections", limits.connections >= 1, "1"),
        ];
        for (key, holds, floor) in checks {
            if !holds {
                let at = self.source.locate("limits", Some(key));
                self.report(at, format!("must not be below {floor}"), "write a larger value");
            }
        }
    }
}

/// The normalised domain, when the text is nothing but a domain.
fn domain(text: &str) -> Option<String> {
    let jid = Jid::new(text).ok()?;
    (jid.local().is_none() && jid.resource().is_none()).then(|| jid.domain().to_owned())
}

/// QUIC on 443, STARTTLS on 5222, direct TLS on 5223, on every address.
fn default_listeners() -> Vec<Listener> {
    let any = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    vec![
        Listener::new(TransportKind::Quic, any(443)),
        Listener::new(TransportKind::StartTls, any(5222)),
        Listener::new(TransportKind::Tls, any(5223)),
    ]
}
