//! Programs of others against the longwire binary: slixmpp over TCP, aioquic over QUIC.
//!
//! The scripts in `interop/` check the protocol; this file only gives them a server. A script
//! runs alone with `LONGWIRE_INTEROP` set as below and the names of checks as arguments.

use std::path::{Path, PathBuf};

use longwire_tests::process::{Program, Server, Site, Venv};
use serde_json::json;

const ACCOUNTS: [(&str, &str); 4] = [
    ("alice", "wonderland, rabbit=1"),
    ("bob", "builder"),
    ("carol", "Füße & Hände"),
    ("dave", "a longer password with several words"),
];

#[test]
fn slixmpp_over_starttls_and_direct_tls() -> anyhow::Result<()> {
    run_script("slixmpp_tcp.py")
}

#[test]
fn aioquic_in_both_multistream_dialects() -> anyhow::Result<()> {
    run_script("aioquic_multistream.py")
}

fn run_script(script: &str) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let venv = Venv::prepare(&folder.join("requirements.txt"))?;
    let (site, server) = start(script)?;
    let output =
        venv.script(&folder.join(script)).env("LONGWIRE_INTEROP", settings(&site)).output()?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {}\n{}", output.status, server.log_end());
    Ok(())
}

fn start(script: &str) -> anyhow::Result<(Site, Server)> {
    let name = PathBuf::from(script).with_extension("").display().to_string();
    let site = Site::new(Program::build()?, &name)?;
    for (user, password) in ACCOUNTS {
        site.add_account(user, password)?;
    }
    let server = site.serve()?;
    Ok((site, server))
}

/// What the scripts need to know; `{jid}` and the like are filled in by them, and passwords go
/// through the environment.
fn settings(site: &Site) -> String {
    let program = site.program().path().display().to_string();
    let authority = site.authority().display().to_string();
    let accounts: serde_json::Map<String, serde_json::Value> =
        ACCOUNTS.iter().map(|(user, password)| ((*user).to_owned(), json!(password))).collect();
    let server = format!("127.0.0.1:{}", site.ports.quic);
    let client = ["{jid}", "--server", &server, "--ca", &authority];
    let command = |name: &str, rest: &[&str]| -> Vec<String> {
        let all = [&[program.as_str(), name][..], &client, rest].concat();
        all.into_iter().map(ToOwned::to_owned).collect()
    };
    json!({
        "host": "127.0.0.1",
        "domain": site.domain(),
        "certificates": authority,
        "ports": {
            "quic": site.ports.quic,
            "starttls": site.ports.starttls,
            "tls": site.ports.tls,
        },
        "accounts": accounts,
        "send_command": command("send", &["--to", "{to}", "--body", "{body}"]),
        "chat_command": command("chat", &["{to}"]),
    })
    .to_string()
}
