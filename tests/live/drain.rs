//! SIGTERM in mid-load: a goodbye to everybody, and the end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use longwire_client::{Client, CloseReason, Environment, Event, Streams, Transport};
use longwire_stanza::xep::roster::{Change, Item, Request, Roster};
use longwire_stanza::{
    Condition, IqType, Jid, MessageType, Payload, PresenceType, Stanza, StreamCondition, ns,
};
use longwire_tests::process::{Program, Site, in_real_time};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const USERS: usize = 12;
const PASSWORD: &str = "until the end";
/// Messages that arrive before the signal.
const BEFORE: u32 = 2_000;
/// What the server promises, and a moment for the system to reap the process.
const END: Duration = Duration::from_secs(25);

fn name(user: usize) -> String {
    format!("user{user}")
}

fn transport(user: usize) -> (Transport, Streams) {
    match user % 4 {
        0 => (Transport::Quic, Streams::Many),
        1 => (Transport::Quic, Streams::Untyped),
        2 => (Transport::Tls, Streams::One),
        _ => (Transport::StartTls, Streams::One),
    }
}

async fn connect(site: &Site, user: usize) -> anyhow::Result<Client> {
    let (transport, streams) = transport(user);
    let mut login = site.login(&name(user), PASSWORD, transport);
    login.streams = streams;
    Client::connect(login, Environment::default()).await.with_context(|| name(user))
}

fn is_unavailable(answer: &Stanza) -> bool {
    answer.stanza_error().is_some_and(|error| error.condition == Condition::ServiceUnavailable)
}

/// A contact that an account keeps.
fn contact(number: u32) -> Item {
    Item::new(format!("c{number}@localhost").parse().expect("a possible name"))
}

/// What a client saw of the end.
struct Saw {
    /// Roster changes that were acknowledged.
    kept: u32,
    reason: Option<CloseReason>,
}

/// Sends to everybody and changes the roster, until the server ends the session.
async fn be_busy(mut client: Client, user: usize, arrived: Arc<Semaphore>) -> anyhow::Result<Saw> {
    let sender = client.sender();
    sender.send(Stanza::presence(PresenceType::Available).build()).await?;
    let talk = {
        let sender = client.sender();
        async move {
            for turn in user + 1.. {
                let to = Jid::new(&format!("{}@localhost", name(turn % USERS)))?;
                let message = Stanza::message(MessageType::Chat).to(to).body("still here?");
                if sender.send(message.build()).await.is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        }
    };
    let keep = async {
        let mut kept = 0;
        loop {
            let change = Change { item: contact(kept) }.element();
            let request = Stanza::iq(IqType::Set).child(change).build();
            match sender.request(request).await {
                Ok(answer) if !answer.is_error() => kept += 1,
                // What comes after the signal is not taken, and the client is told so.
                Ok(answer) if is_unavailable(&answer) => return Ok(kept),
                Ok(answer) => bail!("the roster was refused: {}", answer.to_xml()),
                Err(_) => return Ok(kept),
            }
        }
    };
    let listen = async {
        while let Some(event) = client.next().await {
            match event {
                Event::Stanza { .. } => arrived.add_permits(1),
                Event::Closed(reason) => return Some(reason),
            }
        }
        None
    };
    let (talked, kept, reason) = tokio::join!(talk, keep, listen);
    talked?;
    Ok(Saw { kept: kept?, reason })
}

#[test]
fn everybody_is_told_and_the_process_ends_well() -> anyhow::Result<()> {
    // Whoever is in the middle of a handshake must not be waited for.
    let tables = "[limits]\nhandshake_time = \"60s\"\naccount_rate_enforced = false\nunauthenticated_per_address = 64\n\
                  [feature.accounts]\niterations = 4096\n";
    let site = Arc::new(Site::configured(Program::build()?, "drain", tables)?);
    for user in 0..USERS {
        site.add_account(&name(user), PASSWORD)?;
    }
    let mut server = site.serve()?;
    let arrived = Arc::new(Semaphore::new(0));
    let ended = in_real_time(async {
        let mut clients: JoinSet<anyhow::Result<(usize, Saw)>> = JoinSet::new();
        for user in 0..USERS {
            let client = connect(&site, user).await?;
            let arrived = Arc::clone(&arrived);
            clients.spawn(async move {
                let saw = be_busy(client, user, arrived).await;
                Ok((user, saw.with_context(|| name(user))?))
            });
        }
        // Strangers in the middle of a login, one of them in the middle of a stanza.
        let mut stranger = longwire_tests::hostile::tcp(site.address(Transport::Plaintext)).await?;
        stranger.open(site.domain()).await?;
        stranger.send("<authenticate xmlns='urn:xmpp:sasl:2' mech").await?;
        let mut silent = longwire_tests::hostile::tcp(site.address(Transport::Tls)).await?;
        arrived.acquire_many(BEFORE).await?.forget();
        server.terminate()?;
        ensure!(stranger.stream_error().await? == "system-shutdown", "a stranger is told");
        silent.until_closed().await?;
        let mut ended = Vec::new();
        while let Some(done) = clients.join_next().await {
            ended.push(done??);
        }
        anyhow::Ok(ended)
    })?;
    let status = server.wait(END)?;
    ensure!(status.code() == Some(0), "{status}:\n{}", server.log_end());
    let log = server.log_end();
    ensure!(!log.contains("cut off") && !log.contains("not idle in time"), "{log}");
    for (user, saw) in &ended {
        let told = matches!(&saw.reason, Some(CloseReason::PeerError(error))
            if error.condition == StreamCondition::SystemShutdown);
        ensure!(told, "{} {:?} ended with {:?}", name(*user), transport(*user), saw.reason);
    }
    let kept: u32 = ended.iter().map(|(_, saw)| saw.kept).sum();
    println!("{} clients were told; {kept} roster changes were acknowledged", ended.len());
    let _server = site.serve()?;
    in_real_time(check_rosters(&site, &ended))
}

/// All that was acknowledged is there.
async fn check_rosters(site: &Site, ended: &[(usize, Saw)]) -> anyhow::Result<()> {
    for (user, saw) in ended {
        let client = connect(site, *user).await?;
        let request = Stanza::iq(IqType::Get).child(Request::default().element()).build();
        let answer = client.request(request).await?;
        let query = answer.child(ns::ROSTER, "query").context("a roster")?;
        let roster = Roster::parse(&query).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        for number in 0..saw.kept {
            let wanted = contact(number).jid;
            let found = roster.items.iter().any(|item| item.jid == wanted);
            ensure!(found, "{}: {wanted} was acknowledged and is not there", name(*user));
        }
        client.close().await;
    }
    Ok(())
}
