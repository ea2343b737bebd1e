//! `kill -9` while accounts subscribe to one another and change their rosters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use longwire_client::{Client, Disconnected, Environment, Event, Sender, Streams, Transport};
use longwire_stanza::xep::roster::{Change, Item, Request, Roster, Subscription};
use longwire_stanza::{BareJid, IqType, Kind, Payload, PresenceType, Stanza, StanzaError, ns, xep};
use longwire_tests::audit::{Deed, Entry, History, Relation, Seen, Snapshot, Who, check};
use longwire_tests::process::{Program, Server, Site, in_real_time};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const ACCOUNTS: usize = 20;
const PASSWORD: &str = "survives everything";
const KILLS: u64 = 10;
/// New subscriptions that an account asks for between two kills: all together as many as the
/// server allows in an hour.
const REQUESTS: usize = 3;
/// Longer than anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client has just done when the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It is about to send.
    Begun,
    /// It has an answer.
    Acknowledged,
    /// Something of somebody else arrived.
    Arrived,
}

/// One life of the server: what was done in it, and when it ends.
struct Life {
    history: Mutex<History>,
    moment: Moment,
    left: Mutex<u32>,
    over: Notify,
}

impl Life {
    fn new(base: Snapshot, random: &mut Pcg64) -> Self {
        let moments = [Moment::Begun, Moment::Acknowledged, Moment::Arrived];
        Self {
            history: Mutex::new(History::new(base)),
            moment: moments[random.random_range(0..moments.len())],
            left: Mutex::new(random.random_range(100..700)),
            over: Notify::new(),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts moments; the last one is the end.
    fn pass(&self, moment: Moment) {
        if moment != self.moment {
            return;
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if *left == 1 {
            self.over.notify_one();
        }
        *left = left.saturating_sub(1);
    }
}

fn name(who: Who) -> String {
    format!("user{who}")
}

fn number(jid: &BareJid) -> Option<Who> {
    jid.local()?.strip_prefix("user")?.parse().ok().filter(|who| *who < ACCOUNTS)
}

/// An account that is busy with the others.
struct Player {
    who: Who,
    sender: Sender,
    accounts: Arc<Vec<BareJid>>,
    life: Arc<Life>,
    random: Pcg64,
    /// New subscriptions that it may still ask for.
    requests: usize,
    count: u32,
}

impl Player {
    async fn play(mut self) -> Result<(), Disconnected> {
        loop {
            let whom = (self.who + self.random.random_range(1..ACCOUNTS)) % ACCOUNTS;
            match self.random.random_range(0..20) {
                0..=8 => self.change(whom).await?,
                9..=13 => self.subscribe(whom).await?,
                14 | 15 => self.give_up().await?,
                16 | 17 => self.verb(whom, Deed::Unsubscribed).await?,
                18 => self.verb(whom, Deed::Subscribed).await?,
                _ => self.remove(whom).await?,
            }
        }
    }

    /// The roster, as the server has it.
    async fn roster(&self) -> Result<Roster, Disconnected> {
        let request = Stanza::iq(IqType::Get).child(Request::default().element()).build();
        Ok(read_roster(&self.sender.request(request).await?).unwrap_or_default())
    }

    /// Waits until everything that was on its way between two accounts has arrived.
    async fn barrier(&self, whom: Who) -> Result<(), Disconnected> {
        self.sender.request(ping(&self.accounts[whom])).await.map(drop)
    }

    async fn subscribe(&mut self, whom: Who) -> Result<(), Disconnected> {
        let roster = self.roster().await?;
        let known = roster.items.iter().find(|item| number(&item.jid) == Some(whom));
        if self.requests == 0 || known.is_some_and(|item| item.ask || item.subscription.is_to()) {
            return Ok(());
        }
        self.requests -= 1;
        self.barrier(whom).await?;
        self.verb(whom, Deed::Subscribe).await
    }

    /// Gives up a subscription that it has, or has asked for.
    async fn give_up(&mut self) -> Result<(), Disconnected> {
        let roster = self.roster().await?;
        let held = roster.items.iter().filter(|item| item.ask || item.subscription.is_to());
        let held: Vec<Who> = held.filter_map(|item| number(&item.jid)).collect();
        if held.is_empty() {
            return Ok(());
        }
        let whom = held[self.random.random_range(0..held.len())];
        self.verb(whom, Deed::Unsubscribe).await
    }

    /// Sends a verb and waits until the contact's home has it.
    async fn verb(&self, whom: Who, deed: Deed) -> Result<(), Disconnected> {
        let number = send_verb(&self.life, self.who, whom, deed, &self.sender, &self.accounts);
        let number = number.await?;
        self.barrier(whom).await?;
        self.life.history().acknowledge(number);
        self.life.pass(Moment::Acknowledged);
        Ok(())
    }

    async fn change(&mut self, whom: Who) -> Result<(), Disconnected> {
        self.count += 1;
        let name = format!("{}-{}", self.count, self.random.random_range(0..1_000_000));
        let groups = (0..self.random.random_range(0..4)).map(|i| format!("{name} {i}"));
        let entry = Entry { name: Some(name.clone()), groups: groups.collect() };
        let mut item = Item::new(self.accounts[whom].clone());
        item.name.clone_from(&entry.name);
        item.groups = entry.groups.iter().cloned().collect();
        self.set(whom, item, Deed::Set(entry)).await
    }

    async fn remove(&mut self, whom: Who) -> Result<(), Disconnected> {
        let mut item = Item::new(self.accounts[whom].clone());
        item.subscription = Subscription::Remove;
        self.set(whom, item, Deed::Remove).await
    }

    async fn set(&self, whom: Who, item: Item, deed: Deed) -> Result<(), Disconnected> {
        let number = self.life.history().begin(self.who, whom, deed);
        self.life.pass(Moment::Begun);
        let request = Stanza::iq(IqType::Set).child(Change { item }.element()).build();
        let answer = self.sender.request(request).await?;
        if answer.is_error() {
            // An entry that is not there cannot be removed.
            self.life.history().refuse(number);
        } else {
            self.life.history().acknowledge(number);
        }
        self.life.pass(Moment::Acknowledged);
        Ok(())
    }
}

/// Sends a verb whose id is the number of the deed.
async fn send_verb(
    life: &Life,
    who: Who,
    whom: Who,
    deed: Deed,
    sender: &Sender,
    accounts: &[BareJid],
) -> Result<usize, Disconnected> {
    let kind = match deed {
        Deed::Subscribe => PresenceType::Subscribe,
        Deed::Subscribed => PresenceType::Subscribed,
        Deed::Unsubscribe => PresenceType::Unsubscribe,
        Deed::Unsubscribed | Deed::Set(_) | Deed::Remove => PresenceType::Unsubscribed,
    };
    let number = life.history().begin(who, whom, deed);
    life.pass(Moment::Begun);
    let presence = Stanza::presence(kind).to(&accounts[whom]).id(&number.to_string());
    sender.send(presence.build()).await?;
    Ok(number)
}

/// Answers requests, now with a grant, now with a refusal, now not at all.
async fn answer_requests(
    mut client: Client,
    who: Who,
    accounts: Arc<Vec<BareJid>>,
    life: Arc<Life>,
    mut random: Pcg64,
) -> Result<(), Disconnected> {
    let sender = client.sender();
    while let Some(Event::Stanza { stanza, .. }) = client.next().await {
        life.pass(Moment::Arrived);
        if stanza.kind() != Kind::Presence {
            continue;
        }
        if stanza.is_error() {
            let number = stanza.id().and_then(|id| id.parse().ok());
            number.into_iter().for_each(|number| life.history().refuse(number));
            continue;
        }
        let from = stanza.from().and_then(|from| number(&from.bare()));
        let (PresenceType::Subscribe, Some(whom)) = (stanza.presence_type(), from) else {
            continue;
        };
        let deed = match random.random_range(0..10) {
            0..=5 => Deed::Subscribed,
            6 | 7 => Deed::Unsubscribed,
            _ => continue,
        };
        send_verb(&life, who, whom, deed, &sender, &accounts).await?;
    }
    Ok(())
}

fn ping(to: &BareJid) -> Stanza {
    Stanza::iq(IqType::Get).to(to).child(xep::ping::Ping.element()).build()
}

fn read_roster(answer: &Stanza) -> Result<Roster, StanzaError> {
    let query = answer.child(ns::ROSTER, "query");
    query.map(|query| Roster::parse(&query)).transpose().map(Option::unwrap_or_default)
}

/// How the accounts of a life connect: every transport and both dialects.
fn transport(who: Who) -> (Transport, Streams) {
    match who % 4 {
        0 => (Transport::Quic, Streams::Many),
        1 => (Transport::Quic, Streams::Untyped),
        2 => (Transport::Tls, Streams::One),
        _ => (Transport::StartTls, Streams::One),
    }
}

async fn connect(
    site: &Site,
    who: Who,
    (transport, streams): (Transport, Streams),
) -> anyhow::Result<Client> {
    let mut login = site.login(&name(who), PASSWORD, transport);
    login.streams = streams;
    let client = Client::connect(login, Environment::default()).await;
    client.with_context(|| format!("login of {}", name(who)))
}

/// Lets all accounts play until the moment comes.
async fn live(site: &Arc<Site>, life: &Arc<Life>, random: &mut Pcg64) -> anyhow::Result<()> {
    let accounts: Arc<Vec<BareJid>> =
        Arc::new((0..ACCOUNTS).map(|who| site.account(&name(who))).collect());
    let mut players: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for who in 0..ACCOUNTS {
        let seeds = [(); 2].map(|()| Pcg64::seed_from_u64(random.random()));
        let (site, accounts, life) = (Arc::clone(site), Arc::clone(&accounts), Arc::clone(life));
        players.spawn(async move {
            let client = connect(&site, who, transport(who)).await?;
            let [random, answering] = seeds;
            let sender = client.sender();
            let player = Player {
                who,
                sender: sender.clone(),
                accounts: Arc::clone(&accounts),
                life: Arc::clone(&life),
                random,
                requests: REQUESTS,
                count: 0,
            };
            let answers = answer_requests(client, who, accounts, life, answering);
            let play = async {
                sender.send(Stanza::presence(PresenceType::Available).build()).await?;
                player.play().await
            };
            let (played, answered) = tokio::join!(play, answers);
            played.and(answered).with_context(|| format!("{} before the kill", name(who)))
        });
    }
    let over = tokio::time::timeout(PATIENCE, life.over.notified());
    tokio::select! {
        over = over => over.context("the moment to kill the server does not come"),
        Some(ended) = players.join_next() => ended?,
    }
}

/// Kills the server at the moment that the life has chosen.
fn live_and_kill(
    site: &Arc<Site>,
    server: &mut Server,
    life: &Arc<Life>,
    random: &mut Pcg64,
) -> anyhow::Result<()> {
    // A runtime of its own: with it end the clients of this life, whatever they were about.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let lived = live(site, life, random).await;
        server.kill()?;
        lived
    })?;
    runtime.shutdown_background();
    Ok(())
}

/// What all accounts find, after everything that is on its way has arrived.
async fn look(site: &Arc<Site>) -> anyhow::Result<Snapshot> {
    let mut clients = Vec::new();
    let connecting = (0..ACCOUNTS).map(|who| {
        let site = Arc::clone(site);
        // One stream, so that an answer comes behind all that was sent before it.
        tokio::spawn(async move { connect(&site, who, (Transport::Tls, Streams::One)).await })
    });
    for connecting in connecting.collect::<Vec<_>>() {
        clients.push(connecting.await??);
    }
    // A request and the answer that the server gives to it in somebody's name: two rounds.
    for _ in 0..2 {
        for (who, client) in clients.iter().enumerate() {
            for whom in (0..ACCOUNTS).filter(|whom| *whom != who) {
                client.request(ping(&site.account(&name(whom)))).await?;
            }
        }
    }
    let mut found = Vec::new();
    for client in &mut clients {
        found.push(see(client).await?);
    }
    for client in clients {
        client.close().await;
    }
    Ok(found)
}

async fn see(client: &mut Client) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let request = Stanza::iq(IqType::Get).child(Request::default().element()).build();
    let roster = read_roster(&client.request(request).await?)
        .map_err(|error| anyhow::anyhow!("the roster: {}", error.condition))?;
    for item in roster.items {
        let contact = number(&item.jid).context("a contact that nobody has added")?;
        ensure!(seen.items.insert(contact, item).is_none(), "a contact twice");
    }
    // Requests are shown to sessions that are available.
    client.send(Stanza::presence(PresenceType::Available).build()).await?;
    client.request(Stanza::iq(IqType::Get).child(xep::ping::Ping.element()).build()).await?;
    while let Some(event) = client.try_next() {
        let Event::Stanza { stanza, .. } = event else { continue };
        let is_request =
            stanza.kind() == Kind::Presence && stanza.presence_type() == PresenceType::Subscribe;
        if let (true, Some(from)) = (is_request, stanza.from()) {
            let contact = number(&from.bare()).context("a request of nobody")?;
            *seen.asking.entry(contact).or_default() += 1;
        }
    }
    Ok(seen)
}

#[test]
fn what_was_acknowledged_survives_ten_kills_and_both_halves_agree() -> anyhow::Result<()> {
    let seed = std::env::var("LONGWIRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let mut random = Pcg64::seed_from_u64(seed);
    let tables = "[limits]\nunauthenticated_per_address = 200\nconnections_per_address = 1000\n\
                  account_rate_enforced = false\n[feature.accounts]\niterations = 4096\n";
    let site = Arc::new(Site::configured(Program::build()?, "crash", tables)?);
    for who in 0..ACCOUNTS {
        site.add_account(&name(who), PASSWORD)?;
    }
    let mut base = vec![Seen::default(); ACCOUNTS];
    let mut server = site.serve()?;
    for kill in 1..=KILLS {
        let life = Arc::new(Life::new(base, &mut random));
        live_and_kill(&site, &mut server, &life, &mut random)?;
        // Now and then it is killed again while it comes back.
        let again = random.random_range(0..3);
        for _ in 0..again {
            site.serve_briefly(Duration::from_millis(random.random_range(0..80)))?;
        }
        server = site.serve().with_context(|| format!("the start after kill {kill}"))?;
        let found = in_real_time(look(&site))?;
        let history = life.history();
        let (begun, done) = history.counts();
        let relations = found
            .iter()
            .map(|seen| (0..ACCOUNTS).filter(|whom| seen.outward(*whom) != Relation::No).count());
        println!(
            "kill {kill} when {:?}, {again} more: {begun} deeds, {done} acknowledged, \
             {} relations, back in {} ms",
            life.moment,
            relations.sum::<usize>(),
            server.started_in().as_millis()
        );
        let violations = check(&history, &found);
        for violation in &violations {
            println!("VIOLATION: {violation}");
        }
        ensure!(violations.is_empty(), "{} violations, seed {seed}", violations.len());
        ensure!(done > 0, "nothing was acknowledged before kill {kill}");
        base = found;
    }
    Ok(())
}
