//! Messages between pairs of sessions: closed loop and open loop.
//!
//! A message carries its number and the time when it was due in its id, so that the receiver knows
//! its delay and sees what is missing or out of order. Sender and receiver are in this process and
//! have the same clock.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use longwire_client::stanza::{Jid, Kind, MessageType, Stanza};
use longwire_client::{Client, Event};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::args::Loops;
use super::probe::{Probe, Usage};
use super::progress::Step;
use super::report::{Latency, Passed};

/// How long messages may be on their way after the end; later they count as lost.
const LATE: Duration = Duration::from_secs(5);

/// Due times that wait for one sender in the open loop; a full queue delays the sending, which the
/// latency shows.
const DUE: usize = 4_096;

/// How often the progress is shown.
const LOOK: Duration = Duration::from_millis(100);

/// Two sessions of different accounts.
pub(crate) struct Pair {
    pub(crate) from: Client,
    pub(crate) to: Client,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as fewer than so many of the pair are on their way.
    Window(usize),
    /// So many per second in all pairs together, each when it is due.
    Rate(f64),
}

/// What all tasks of a loop share. Times are nanoseconds since the epoch.
struct Ground {
    epoch: Instant,
    /// Messages that are due in `starts..ends` are measured.
    starts: u64,
    ends: u64,
    is_sending: AtomicBool,
    due: AtomicU64,
    arrived: AtomicU64,
    /// Arrived in `starts..ends`.
    arrived_in_time: AtomicU64,
    refused: AtomicU64,
}

impl Ground {
    fn new(loops: &Loops) -> Self {
        let starts = nanos(loops.warm_up());
        Self {
            epoch: Instant::now(),
            starts,
            ends: starts + nanos(loops.length()),
            is_sending: AtomicBool::new(true),
            due: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            arrived_in_time: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }

    fn at(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn is_measured(&self, time: u64) -> bool {
        (self.starts..self.ends).contains(&time)
    }

    fn missing(&self) -> u64 {
        let came = self.arrived.load(SeqCst) + self.refused.load(SeqCst);
        self.due.load(SeqCst).saturating_sub(came)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Sends messages for a while and tells what became of them.
pub(crate) async fn run(
    pairs: Vec<Pair>,
    pace: Pace,
    loops: &Loops,
    probe: Probe,
    what: &str,
) -> Result<(Vec<Pair>, Passed)> {
    let ground = Arc::new(Ground::new(loops));
    let mut tasks = Tasks::start(pairs, pace, loops.bytes, &ground)?;
    let step = Step::timed(what, loops.warm_up() + loops.length());
    tasks.watch(&ground, ground.starts, &step).await?;
    let before = probe.sample();
    tasks.watch(&ground, ground.ends, &step).await?;
    let after = probe.sample();
    let resident = probe.resident();
    ground.is_sending.store(false, SeqCst);
    let deadline = Instant::now() + LATE;
    while (tasks.is_pacing() || ground.missing() > 0) && Instant::now() < deadline {
        tasks.check()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(step);
    let (pairs, tally) = tasks.end().await?;
    let usage = Usage::between(before, after);
    let in_time = ground.arrived_in_time.load(Relaxed);
    let passed = Passed {
        offered_per_second: match pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => Some(rate),
        },
        messages: in_time,
        messages_per_second: in_time as f64 / loops.seconds,
        latency: Latency::of(&tally.latency),
        server_cpu_us_per_message: usage.server_micros_per(in_time),
        server_resident_bytes: resident,
        usage,
        lost: ground.missing(),
        refused: ground.refused.load(Relaxed),
        disordered: tally.disordered,
    };
    Ok((pairs, passed))
}

/// The tasks of a loop: two for each pair, and who tells them when a message is due.
struct Tasks {
    running: JoinSet<Result<Ended>>,
    stops: Vec<oneshot::Sender<()>>,
    pacer: Option<std::thread::JoinHandle<()>>,
    pairs: usize,
}

/// What a task gives back.
enum Ended {
    From(usize, Client),
    To(usize, Client, Tally),
}

/// What a receiver has seen.
struct Tally {
    /// Delay of the measured messages in microseconds.
    latency: Histogram<u64>,
    next: u64,
    disordered: u64,
}

impl Tasks {
    fn start(pairs: Vec<Pair>, pace: Pace, bytes: usize, ground: &Arc<Ground>) -> Result<Self> {
        let count = pairs.len();
        let mut running = JoinSet::new();
        let mut stops = Vec::new();
        let mut stop = || {
            let (sender, receiver) = oneshot::channel();
            stops.push(sender);
            receiver
        };
        let mut dues = Vec::new();
        for (index, Pair { from, to }) in pairs.into_iter().enumerate() {
            let letter = Letter::new(to.jid().bare().into(), bytes);
            let ground = Arc::clone(ground);
            let credit = match pace {
                Pace::Window(window) => {
                    let credit = Arc::new(Semaphore::new(window));
                    let (ground, stop) = (Arc::clone(&ground), stop());
                    let sending = send_closed(from, letter, ground, Arc::clone(&credit), stop);
                    running.spawn(async move { Ok(Ended::From(index, sending.await?)) });
                    Some(credit)
                }
                Pace::Rate(_) => {
                    let (sender, due) = mpsc::channel(DUE);
                    dues.push(sender);
                    let sending = send_open(from, letter, Arc::clone(&ground), due, stop());
                    running.spawn(async move { Ok(Ended::From(index, sending.await?)) });
                    None
                }
            };
            let receiving = receive(to, ground, credit, stop());
            running.spawn(async move {
                let (to, tally) = receiving.await?;
                Ok(Ended::To(index, to, tally))
            });
        }
        let pacer = match pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => {
                let ground = Arc::clone(ground);
                let pacer = std::thread::Builder::new().name("pacer".to_owned());
                Some(pacer.spawn(move || pace_out(rate, &dues, &ground))?)
            }
        };
        Ok(Self { running, stops, pacer, pairs: count })
    }

    /// Shows the progress until a time.
    async fn watch(&mut self, ground: &Ground, until: u64, step: &Step) -> Result<()> {
        loop {
            let now = ground.now();
            let rate = ground.arrived.load(Relaxed) as f64 * 1e9 / now.max(1) as f64;
            step.set_time(Duration::from_nanos(now), format!("{rate:.0} messages/s"));
            if now >= until {
                return Ok(());
            }
            sleep_until(ground.at(until.min(now + nanos(LOOK)))).await;
            self.check()?;
        }
    }

    /// Fails when a task has ended already.
    fn check(&mut self) -> Result<()> {
        match self.running.try_join_next() {
            None => Ok(()),
            Some(ended) => {
                ended??;
                bail!("a session ended before its time")
            }
        }
    }

    /// Whether messages may still become due.
    fn is_pacing(&self) -> bool {
        self.pacer.as_ref().is_some_and(|pacer| !pacer.is_finished())
    }

    async fn end(mut self) -> Result<(Vec<Pair>, Tally)> {
        drop(self.stops);
        let mut halves: Vec<(Option<Client>, Option<Client>)> = Vec::new();
        halves.resize_with(self.pairs, Default::default);
        let mut all = Tally::new()?;
        while let Some(ended) = self.running.join_next().await {
            match ended?? {
                Ended::From(index, client) => {
                    if let Some(half) = halves.get_mut(index) {
                        half.0 = Some(client);
                    }
                }
                Ended::To(index, client, tally) => {
                    if let Some(half) = halves.get_mut(index) {
                        half.1 = Some(client);
                    }
                    all.latency.add(&tally.latency)?;
                    all.disordered += tally.disordered;
                }
            }
        }
        if let Some(pacer) = self.pacer {
            // The senders have gone, so it cannot wait for them any more.
            let _ = tokio::task::spawn_blocking(|| pacer.join()).await?;
        }
        let pairs = halves.into_iter().map(|(from, to)| Some(Pair { from: from?, to: to? }));
        Ok((pairs.collect::<Option<_>>().context("a session is missing")?, all))
    }
}

/// Tells the senders in turn when their messages are due.
///
/// A thread, because the runtime's timers are a millisecond apart.
fn pace_out(rate: f64, senders: &[mpsc::Sender<u64>], ground: &Ground) {
    for (number, sender) in (0_u64..).zip(senders.iter().cycle()) {
        let due = (number as f64 * 1e9 / rate) as u64;
        if due >= ground.ends || !ground.is_sending.load(Relaxed) {
            return;
        }
        let now = ground.now();
        if due > now {
            std::thread::sleep(Duration::from_nanos(due - now));
        }
        ground.due.fetch_add(1, Relaxed);
        if sender.blocking_send(due).is_err() {
            return;
        }
    }
}

async fn send_closed(
    mut from: Client,
    letter: Letter,
    ground: Arc<Ground>,
    credit: Arc<Semaphore>,
    mut stop: oneshot::Receiver<()>,
) -> Result<Client> {
    let mut number = 0;
    loop {
        tokio::select! {
            permit = credit.acquire(), if ground.is_sending.load(Relaxed) => {
                permit?.forget();
                // Counted before the last look, so that nobody thinks that everything has arrived
                // while this one is about to be sent.
                ground.due.fetch_add(1, SeqCst);
                if ground.is_sending.load(SeqCst) {
                    from.send(letter.write(number, ground.now())).await?;
                    number += 1;
                } else {
                    ground.due.fetch_sub(1, SeqCst);
                }
            }
            event = from.next() => {
                if is_refusal(event)? {
                    ground.refused.fetch_add(1, Relaxed);
                    credit.add_permits(1);
                }
            }
            _ = &mut stop => return Ok(from),
        }
    }
}

async fn send_open(
    mut from: Client,
    letter: Letter,
    ground: Arc<Ground>,
    mut dues: mpsc::Receiver<u64>,
    mut stop: oneshot::Receiver<()>,
) -> Result<Client> {
    let (mut number, mut is_open) = (0, true);
    loop {
        tokio::select! {
            due = dues.recv(), if is_open => match due {
                Some(due) => {
                    from.send(letter.write(number, due)).await?;
                    number += 1;
                }
                None => is_open = false,
            },
            event = from.next() => {
                if is_refusal(event)? {
                    ground.refused.fetch_add(1, Relaxed);
                }
            }
            _ = &mut stop => return Ok(from),
        }
    }
}

async fn receive(
    mut to: Client,
    ground: Arc<Ground>,
    credit: Option<Arc<Semaphore>>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(Client, Tally)> {
    let mut tally = Tally::new()?;
    loop {
        let event = tokio::select! {
            event = to.next() => event,
            _ = &mut stop => return Ok((to, tally)),
        };
        let now = ground.now();
        let mut arrived = tally.take(event, now, &ground)?;
        while let Some(event) = to.try_next() {
            arrived += tally.take(Some(event), now, &ground)?;
        }
        ground.arrived.fetch_add(arrived as u64, Relaxed);
        if ground.is_measured(now) {
            ground.arrived_in_time.fetch_add(arrived as u64, Relaxed);
        }
        if let Some(credit) = &credit {
            credit.add_permits(arrived);
        }
    }
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self { latency: Histogram::new(3)?, next: 0, disordered: 0 })
    }

    /// Takes note of what arrived; how many messages that was.
    fn take(&mut self, event: Option<Event>, now: u64, ground: &Ground) -> Result<usize> {
        let stanza = match event {
            Some(Event::Stanza { stanza, .. }) => stanza,
            Some(Event::Closed(reason)) => bail!("a receiver's session ended: {reason}"),
            None => bail!("a receiver's session ended"),
        };
        let Some((number, due)) = stanza.id().and_then(parse) else { return Ok(0) };
        if number < self.next {
            self.disordered += 1;
        }
        self.next = self.next.max(number + 1);
        if ground.is_measured(due) {
            self.latency.record(now.saturating_sub(due).div_ceil(1_000))?;
        }
        Ok(1)
    }
}

/// Whether a message of ours came back.
fn is_refusal(event: Option<Event>) -> Result<bool> {
    match event {
        Some(Event::Stanza { stanza, .. }) => {
            Ok(stanza.kind() == Kind::Message && stanza.is_error())
        }
        Some(Event::Closed(reason)) => bail!("a sender's session ended: {reason}"),
        None => bail!("a sender's session ended"),
    }
}

/// Number and due time from an id.
fn parse(id: &str) -> Option<(u64, u64)> {
    let (number, due) = id.split_once('.')?;
    Some((number.parse().ok()?, due.parse().ok()?))
}

/// Messages of one size for one recipient.
struct Letter {
    to: Jid,
    body: String,
}

impl Letter {
    fn new(to: Jid, bytes: usize) -> Self {
        let mut letter = Self { to, body: "w".to_owned() };
        let frame = letter.write(100_000, 10_000_000_000).to_bytes().len() - letter.body.len();
        letter.body = "words ".chars().cycle().take(bytes.saturating_sub(frame)).collect();
        letter
    }

    fn write(&self, number: u64, due: u64) -> Stanza {
        let id = format!("{number}.{due}");
        Stanza::message(MessageType::Chat).to(self.to.clone()).id(&id).body(&self.body).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_the_wanted_size_and_tells_when_it_was_due() {
        let letter = Letter::new(Jid::new("load-1@localhost").unwrap(), 400);
        let written = letter.write(123_456, 12_345_678_901);
        assert_eq!(written.to_bytes().len(), 400);
        assert_eq!(written.id().and_then(parse), Some((123_456, 12_345_678_901)));
        assert_eq!(parse("somebody-elses"), None);
    }

    #[test]
    fn what_comes_late_or_twice_is_counted() {
        let loops = Loops {
            pairs: 1,
            window: 1,
            bytes: 200,
            seconds: 1.0,
            warm_up_seconds: 1.0,
            rate: None,
        };
        let ground = Ground::new(&loops);
        let mut tally = Tally::new().unwrap();
        let letter = Letter::new(Jid::new("load-1@localhost").unwrap(), 200);
        let mut take = |number, due| {
            let stanza = letter.write(number, due);
            let event = Event::Stanza { stanza, stream: longwire_client::StreamId(0) };
            tally.take(Some(event), due + 2_000_000, &ground).unwrap()
        };
        // In the warm-up, then number 1 is missing, then it comes, then again.
        for (number, due) in
            [(0, 0), (2, 1_100_000_000), (1, 1_000_000_000), (1, 1_000_000_000), (3, 1_999_999_999)]
        {
            assert_eq!(take(number, due), 1);
        }
        assert_eq!(tally.disordered, 2);
        assert_eq!(tally.latency.len(), 4);
        assert!((1_999..=2_001).contains(&tally.latency.value_at_quantile(0.5)));
    }
}
