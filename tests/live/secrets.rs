//! What must never be in a log, not even in the most talkative one.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use longwire_client::{Client, Environment, Event, Mechanism, Transport};
use longwire_stanza::{Jid, MessageType, Stanza};
use longwire_tests::process::{Program, Site, in_real_time};

const PASSWORD: &str = "canary-password-of-alice";
const WRONG: &str = "canary-wrong-password";
const BODY: &str = "canary-body-of-a-message";
/// The middle of the password as PLAIN sends it, behind `alice` and two NUL.
const ENCODED: &str = "NhbmFyeS1wYXNzd29yZC1vZi1hbGlj";
const END: Duration = Duration::from_secs(25);

/// Logs in with every mechanism, over every transport, rightly and wrongly, and sends a message.
async fn use_all(site: &Site) -> anyhow::Result<()> {
    for transport in [Transport::Quic, Transport::Tls, Transport::StartTls, Transport::Plaintext] {
        for mechanisms in [vec![Mechanism::Plain], Mechanism::SCRAM.to_vec()] {
            for prefer_sasl2 in [true, false] {
                let mut login = site.login("alice", PASSWORD, transport);
                login.mechanisms.clone_from(&mechanisms);
                login.prefer_sasl2 = prefer_sasl2;
                let client = Client::connect(login, Environment::default()).await?;
                talk_to_oneself(client).await.with_context(|| format!("{transport:?}"))?;
            }
        }
        let mut login = site.login("alice", WRONG, transport);
        login.mechanisms = vec![Mechanism::Plain];
        ensure!(Client::connect(login, Environment::default()).await.is_err());
    }
    Ok(())
}

async fn talk_to_oneself(mut client: Client) -> anyhow::Result<()> {
    let to = Jid::from(client.jid().clone());
    client.send(Stanza::message(MessageType::Chat).to(to).body(BODY).build()).await?;
    while let Some(event) = client.next().await {
        if matches!(event, Event::Stanza { .. }) {
            client.close().await;
            return Ok(());
        }
    }
    bail!("the message did not arrive")
}

#[test]
fn secrets_and_bodies_are_in_no_log() -> anyhow::Result<()> {
    let tables = "[feature.accounts]\niterations = 4096\n\n[log]\nfilter = \"trace\"\n";
    let site = Site::configured(Program::build()?, "secrets", tables)?;
    site.add_account("alice", PASSWORD)?;
    let mut server = site.serve()?;
    in_real_time(use_all(&site))?;
    server.terminate()?;
    server.wait(END)?;
    let log = site.log()?;
    ensure!(log.contains("TRACE") || log.contains("DEBUG"), "the log is not talkative: {log}");
    for canary in [PASSWORD, WRONG, BODY, ENCODED] {
        let found = log.lines().find(|line| line.contains(canary));
        ensure!(found.is_none(), "{canary} is in the log: {found:?}");
    }
    Ok(())
}
