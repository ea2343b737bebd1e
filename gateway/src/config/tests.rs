//! What an operator reads when a configuration is wrong.

use std::fs;
use std::path::Path;

use super::*;
use crate::dev::self_signed;
use crate::scratch::Folder;

const LOOPBACK: &str = "\
[[listener]]
transport = \"starttls\"
address = \"127.0.0.1:0\"
plaintext = \"loopback\"
";

/// The plain form of what is wrong with `text`.
fn complaint(text: &str) -> String {
    Config::parse(Path::new("/etc/longwire.toml"), text).unwrap_err().to_string()
}

#[test]
fn a_minimal_configuration_gets_the_documented_defaults() {
    let text = format!("[[host]]\nname = \"Example.ORG\"\n{LOOPBACK}");
    let config = Config::parse(Path::new("/etc/longwire.toml"), &text).unwrap();
    assert_eq!(config.hosts[0].name, "example.org");
    assert_eq!(config.data, Path::new("/etc/longwire-data"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.listeners[0].profile, LinkProfile::Broadband);
    assert!(config.listeners[0].plaintext);
    assert_eq!(config.log, "info");
}

#[test]
fn a_misspelt_limit_is_named_with_its_line_and_the_known_ones() {
    let complaint = complaint("[limits]\nstanza = \"1MiB\"\nacount_rate = \"1MB/s\"\n");
    let start = "/etc/longwire.toml:3:1: limits.acount_rate: unknown field `acount_rate`";
    assert!(complaint.starts_with(start), "{complaint}");
    assert!(complaint.contains("`account_rate`"), "{complaint}");
    assert!(complaint.ends_with("`longwire features` lists the feature tables)"), "{complaint}");
}

#[test]
fn a_value_without_its_unit_is_told_how_to_be_written() {
    assert_eq!(
        complaint("[limits]\nidle_time = \"600\"\n"),
        "/etc/longwire.toml:2:13: limits.idle_time: invalid value: string \"600\", expected a \
         length of time with its unit, in quotes, for example \"30s\", \"10m\", \"1h30m\" or \
         \"7d\" (write a value of the expected form)"
    );
    let complaint = complaint("[limits]\nstanza = 262144\n");
    let wanted = "invalid type: integer `262144`, expected a size with its unit";
    assert!(complaint.contains(wanted), "{complaint}");
}

#[test]
fn plain_text_on_a_reachable_address_is_refused() {
    let text = LOOPBACK.replace("127.0.0.1:0", "0.0.0.0:5222");
    assert_eq!(
        complaint(&format!("[[host]]\nname = \"a.example\"\n\n{text}")),
        "/etc/longwire.toml:7:13: listener.plaintext: plain text is refused on 0.0.0.0:5222, \
         which is reachable (listen on 127.0.0.1 or [::1], or remove the line so that TLS is used)"
    );
}

#[test]
fn plain_text_has_no_place_on_encrypted_transports() {
    let text = LOOPBACK.replace("starttls", "quic");
    let complaint = complaint(&format!("[[host]]\nname = \"a.example\"\n{text}"));
    assert!(complaint.contains("this transport is always encrypted"), "{complaint}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "\
[[host]]
name = \"alice@example.org\"

[[listener]]
transport = \"quic\"
address = \"example.org:443\"

[[listener]]
transport = \"tls\"
address = \"[::]:5223\"

[[listener]]
transport = \"starttls\"
address = \"[::]:5223\"

[limits]
stanza = \"1KiB\"
";
    assert_eq!(
        complaint(text),
        "\
/etc/longwire.toml:6:11: listener.address: \"example.org:443\" is not an IP address and a port \
(write \"[::]:5222\", \"0.0.0.0:5222\" or \"127.0.0.1:0\")
/etc/longwire.toml:14:11: listener.address: [::]:5223 is already used by a listener above \
(choose another port)
/etc/longwire.toml:2:8: host.name: \"alice@example.org\" is not a domain name (write a domain \
such as \"example.org\")
/etc/longwire.toml:17:1: limits.stanza: must not be below stanza_unauthenticated (write a larger \
value)"
    );
}

#[test]
fn a_host_without_certificate_needs_one_as_soon_as_a_listener_uses_tls() {
    let text = "[[host]]\nname = \"a.example\"\n";
    assert_eq!(
        complaint(text),
        "/etc/longwire.toml:1:1: host: a.example has no certificate, and a listener uses TLS \
         (add certificate = \"FILE.pem\" to this [[host]])"
    );
}

#[test]
fn a_configuration_without_hosts_says_how_to_add_one() {
    let complaint = complaint(LOOPBACK);
    assert!(complaint.contains("no virtual host is configured"), "{complaint}");
}

#[test]
fn certificates_are_read_relative_to_the_file_and_checked_against_their_keys() {
    let folder = Folder::new("config-certificates");
    let write = |name: &str, names: &[&str]| {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        fs::write(folder.path().join(format!("{name}.crt")), pem).unwrap();
        fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    write("a", &["a.example"]);
    write("b", &["b.example"]);
    let path = folder.path().join("longwire.toml");
    let host = |certificate: &str, key: &str| {
        let name = "name = \"a.example\"";
        format!("[[host]]\n{name}\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    };

    let config = Config::parse(&path, &host("a.crt", "a.key")).unwrap();
    assert!(config.hosts[0].identity.is_some());
    assert_eq!(config.listeners.len(), 3);

    let mixed = Config::parse(&path, &host("a.crt", "b.key")).unwrap_err().to_string();
    assert!(mixed.contains(":4:7: host.key: a.example: certificate and key"), "{mixed}");
    let missing = Config::parse(&path, &host("c.crt", "a.key")).unwrap_err().to_string();
    assert!(missing.contains(":3:15: host.certificate: a.example: cannot read"), "{missing}");
    let swapped = Config::parse(&path, &host("a.key", "a.key")).unwrap_err().to_string();
    assert!(swapped.contains("holds no certificate"), "{swapped}");
}

#[test]
fn the_report_shows_the_line_and_says_everything_once() {
    let error =
        Config::parse(Path::new("longwire.toml"), "[limits]\nidle_time = \"soon\"\n").unwrap_err();
    let mut shown = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme)
        .render_report(&mut shown, error.into_report().as_ref())
        .unwrap();
    assert_eq!(shown.matches("limits.idle_time").count(), 1, "{shown}");
    for part in [
        "longwire.toml has a problem",
        "longwire.toml:2:13",
        "idle_time = \"soon\"",
        "help: write a value",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
}

#[test]
fn the_template_is_a_valid_configuration_once_the_certificate_is_there() {
    let folder = Folder::new("config-template");
    let path = folder.path().join("longwire.toml");
    write_template(&path, "a.example").unwrap();
    let again = write_template(&path, "a.example").unwrap_err().to_string();
    assert!(again.contains("exists and was not changed"), "{again}");

    let complaint = Config::load(&path).unwrap_err().to_string();
    assert!(complaint.contains("a.example.crt"), "{complaint}");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    fs::write(folder.path().join("a.example.crt"), params.self_signed(&key).unwrap().pem())
        .unwrap();
    fs::write(folder.path().join("a.example.key"), key.serialize_pem()).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.listeners.len(), 3);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let complaint = Config::load(Path::new("/nowhere/longwire.toml")).unwrap_err();
    assert!(complaint.to_string().starts_with("cannot read /nowhere/longwire.toml"));
}

#[test]
fn a_configuration_made_in_code_needs_no_file() {
    let (identity, _) = self_signed(&["localhost"]).unwrap();
    let host = Host { name: "localhost".to_owned(), identity: Some(Arc::new(identity)) };
    let listener = Listener::new(TransportKind::Quic, "127.0.0.1:0".parse().unwrap());
    let config = Config::new(vec![host], vec![listener], PathBuf::from("unused"));
    assert!(!config.listeners[0].plaintext);
}
