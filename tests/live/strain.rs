//! What wears a server down: connections that are cut off, and accounts that say too much.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use longwire_client::{Client, Disconnected, Environment, Event, Sender, Transport};
use longwire_stanza::{BareJid, IqType, MessageType, Payload, PresenceType, Stanza, xep};
use longwire_tests::hostile::table::{Entrance, Stage};
use longwire_tests::hostile::{Target, quic_primary, tcp};
use longwire_tests::process::{Program, Server, Site, in_real_time};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::task::JoinSet;

use crate::limits::open_again;

/// Cycles of which the memory is measured.
const CYCLES: usize = 2_000;
/// Cycles before the first measurement: the caches of TLS sessions are full then.
const WARM_UP: usize = 2_000;
/// Connections at once.
const AT_ONCE: usize = 8;
/// Strangers that the server lets in: more than vanish within a second.
const PLACES: usize = 256;
/// Memory that the measured cycles may cost: less than 4 KiB each.
const GROWTH: u64 = 8 << 20;
/// Memory that the server may have in use at the end; an optimised build uses less.
const CEILING: u64 = 96 << 20;

/// Every way to go without a word, one after the other.
async fn cut_off(target: &Target, cycle: usize) -> anyhow::Result<()> {
    match cycle % 20 {
        0..=2 => drop(target.tcp().await?),
        3..=5 => {
            let mut client = target.tcp().await?;
            client.open(target.site.domain()).await?;
            client.send("<message to='alice@localhost'><body>and th").await?;
        }
        6 | 7 => {
            let mut client = target.tls().await?;
            client.send("<?xml version='1.0'?><stream:str").await?;
        }
        8 | 9 => {
            let mut client = tcp(target.site.address(Transport::Tls)).await?;
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await?;
        }
        10..=12 => drop(target.connect().await?),
        13..=15 => {
            let mut quic = target.quic().await?;
            quic.primary.open(target.site.domain()).await?;
            quic.ancillary().await?.send("<message to='alice@localhost'><bo").await?;
        }
        16 | 17 => {
            let mut door = target.enter(Entrance::QuicAncillary, Some(Stage::Bound)).await?;
            door.input.send("<message to='alice@localhost'><body>and t").await?;
        }
        18 => {
            let mut door = target.enter(Entrance::Tls, Some(Stage::Bound)).await?;
            door.input.send("<presence/><message to='ali").await?;
        }
        _ => vanish(target).await?,
    }
    Ok(())
}

/// Leaves a QUIC connection as a machine does that loses its power: no packet says so.
async fn vanish(target: &Target) -> anyhow::Result<()> {
    let crypto = QuicClientConfig::try_from(target.site.tls()?)?;
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let (address, domain) = (target.site.address(Transport::Quic), target.site.domain());
    let opened = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let opened = runtime.block_on(async {
            let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
            let connection = endpoint.connect_with(config, address, domain)?.await?;
            let mut quic = quic_primary(connection).await?;
            quic.primary.open(domain).await?;
            anyhow::Ok((quic, endpoint))
        });
        // The tasks that would send a goodbye end first.
        drop(runtime);
        opened.map(drop)
    });
    opened.await?
}

async fn cut_off_many(target: &Arc<Target>, cycles: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (target, next) = (Arc::clone(target), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let cycle = next.fetch_add(1, Ordering::Relaxed);
                if cycle >= cycles {
                    return Ok(());
                }
                if cycle > 0 && cycle.is_multiple_of(500) {
                    println!("{cycle} connections cut off");
                }
                cut_off(&target, cycle).await.with_context(|| format!("cycle {cycle}"))?;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// The server's memory once it has noticed that all have gone: every place can be taken again.
async fn resident(target: &Target) -> anyhow::Result<u64> {
    let mut guests = Vec::new();
    for _ in 0..PLACES {
        guests.push(open_again(target, Entrance::Tcp).await?);
    }
    target.server.resident()
}

#[test]
fn two_thousand_connections_that_are_cut_off_leave_nothing_behind() -> anyhow::Result<()> {
    // Who vanishes is missed after a second, not after half a minute.
    let tables = format!(
        "[limits]\nauthentication_time = \"1s\"\nconnections_per_address = {}\n\
         unauthenticated_per_address = {PLACES}\n[feature.accounts]\niterations = 4096\n",
        2 * PLACES
    );
    let target = Arc::new(Target::start("strain-cycles", &tables)?);
    in_real_time(async {
        cut_off_many(&target, WARM_UP).await?;
        let before = resident(&target).await?;
        cut_off_many(&target, CYCLES).await?;
        let after = resident(&target).await?;
        let mib = |bytes: u64| bytes >> 20;
        println!("{} MiB before, {} MiB after {CYCLES} cycles", mib(before), mib(after));
        ensure!(after < before + GROWTH, "{before} bytes became {after}");
        ensure!(after < CEILING, "{after} bytes");
        let mut door = target.enter(Entrance::QuicPrimary, Some(Stage::Bound)).await?;
        door.input.send("<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>").await?;
        door.output().until("id=\"x\"").await?;
        Ok(())
    })
}

const PASSWORD: &str = "enough said";

async fn connect(site: &Site, user: &str, transport: Transport) -> anyhow::Result<Client> {
    let login = site.login(user, PASSWORD, transport);
    Client::connect(login, Environment::default()).await.with_context(|| user.to_owned())
}

fn ping() -> Stanza {
    Stanza::iq(IqType::Get).child(xep::ping::Ping.element()).build()
}

/// A server with a rate, and who is there: bob listens, others do something else.
struct Scene {
    site: Site,
    _server: Server,
    bob: Client,
    others: Vec<Client>,
}

async fn scene(name: &str, limits: &str) -> anyhow::Result<Scene> {
    let tables = format!("[limits]\n{limits}\n[feature.accounts]\niterations = 4096\n");
    let site = Site::configured(Program::build()?, name, &tables)?;
    const OTHERS: [&str; 4] = ["carol", "dave", "eve", "frank"];
    for user in ["quic", "tls", "bob"].into_iter().chain(OTHERS) {
        site.add_account(user, PASSWORD)?;
    }
    let server = site.serve()?;
    let bob = connect(&site, "bob", Transport::Quic).await?;
    bob.send(Stanza::presence(PresenceType::Available).build()).await?;
    bob.request(ping()).await?;
    let mut others = Vec::new();
    for user in OTHERS {
        others.push(connect(&site, user, Transport::Tls).await?);
    }
    Ok(Scene { site, _server: server, bob, others })
}

/// Says a kilobyte to bob, again and again.
async fn talk(talker: Sender, bob: BareJid, messages: usize) -> Result<(), Disconnected> {
    for number in 0..messages {
        let text = format!("{number} {}", "x".repeat(1_000));
        let message = Stanza::message(MessageType::Chat).to(bob.clone()).body(&text);
        talker.send(message.build()).await?;
    }
    Ok(())
}

#[test]
fn who_says_too_much_is_slowed_down_and_nothing_is_lost() -> anyhow::Result<()> {
    const MESSAGES: usize = 120;
    in_real_time(async {
        let limits = "account_rate = \"40kB/s\"\naccount_burst = \"8KiB\"";
        let Scene { site, _server, mut bob, others } = scene("strain-rate", limits).await?;
        let of_quic = connect(&site, "quic", Transport::Quic).await?;
        let of_tls = connect(&site, "tls", Transport::Tls).await?;
        let arrivals = async {
            let mut next = [0; 2];
            while next != [MESSAGES; 2] {
                let Some(Event::Stanza { stanza, .. }) = bob.next().await else { break };
                let Some(text) = stanza.child_text("body") else { continue };
                let from = stanza.from().map(|from| from.bare());
                let who = usize::from(from == Some(site.account("tls")));
                let number = text.split(' ').next().unwrap_or_default();
                ensure!(number == next[who].to_string(), "{number} instead of {}", next[who]);
                next[who] += 1;
            }
            ensure!(next == [MESSAGES; 2], "only {next:?} messages arrived");
            Ok(())
        };
        let others = async {
            for other in others.iter().cycle().take(100) {
                other.request(ping()).await?;
            }
            Ok(())
        };
        let (arrived, quic, tls, others) = tokio::join!(
            arrivals,
            talk(of_quic.sender(), site.account("bob"), MESSAGES),
            talk(of_tls.sender(), site.account("bob"), MESSAGES),
            others,
        );
        others.and(quic).and(tls)?;
        arrived
    })
}

#[test]
fn who_has_used_up_a_small_rate_is_not_heard_for_long_and_stays() -> anyhow::Result<()> {
    const MESSAGES: usize = 100;
    /// Few enough for the others' own rate.
    const PINGS: usize = 120;
    in_real_time(async {
        // The whole would take more than a minute.
        let limits = "account_rate = \"1kB/s\"\naccount_burst = \"8KiB\"";
        let Scene { site, _server, mut bob, others } = scene("strain-small", limits).await?;
        for (user, transport) in [("quic", Transport::Quic), ("tls", Transport::Tls)] {
            let mut talker = connect(&site, user, transport).await?;
            talk(talker.sender(), site.account("bob"), MESSAGES).await?;
            // Round trips in which all would have arrived long since.
            for other in others.iter().cycle().take(PINGS) {
                other.request(ping()).await?;
            }
            let mut heard = 0;
            while let Some(event) = bob.try_next() {
                let Event::Stanza { stanza, .. } = event else { anyhow::bail!("bob is gone") };
                heard += usize::from(stanza.child_text("body").is_some());
            }
            println!("{user}: {heard} of {MESSAGES} messages");
            ensure!(heard > 0 && heard < MESSAGES / 2, "{heard} of {MESSAGES} messages");
            ensure!(talker.try_next().is_none(), "who is too quick is not sent away");
        }
        Ok(())
    })
}
