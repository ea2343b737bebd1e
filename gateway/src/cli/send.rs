//! `longwire send`: for scripts.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{IsTerminal, Read, stdin};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::stream::{FuturesUnordered, StreamExt};
use longwire_client::{Client, Config, Element, Environment, Event, Sender};
use longwire_stanza::{IqType, Jid, Kind, MessageType, Payload, Stanza, StanzaError, ns, xep};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::chat::show;
use super::input::{self, Input};
use super::output::{note, say};
use super::printable::printable;
use super::session::{Exit, LoginArgs, connected, details};
use super::{complained, runtime};

/// Options of `longwire send`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    login: LoginArgs,
    /// Whom to send it to
    #[arg(long, value_name = "JID")]
    to: Jid,
    /// The text; standard input otherwise
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Send every line of standard input as a message of its own; empty ones are skipped
    #[arg(long, conflicts_with = "body")]
    lines: bool,
    /// The subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The type of the message
    #[arg(long = "type", value_enum, default_value_t = TypeName::Chat)]
    kind: TypeName,
    /// Print one JSON object per message: id, to, status (delivered, refused, unknown), ms, and
    /// for refused ones error.condition, error.type and error.text
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  longwire send --to bob@localhost --body hello alice@localhost
  uptime | longwire send --to admin@example.org --password-file secret host@example.org
  tail -f log | longwire send --lines --json --to admin@example.org host@example.org

Exit status:
  0  the server has taken every message
  1  the recipient or the server refused one; the reason is printed
  2  wrong usage, or a file that cannot be used
  3  cannot connect, login failed, or the connection ended before the server had taken all";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TypeName {
    /// Part of a conversation
    Chat,
    /// A message on its own
    Normal,
    /// A notice that needs no answer; never comes back
    Headline,
}

/// The most bytes of a stanza that the server takes (`longwire_xml::Limits::CLIENT`).
const STANZA_BYTES: usize = 256 * 1024;

/// Messages that may wait for the server's word at once.
const UNCONFIRMED: usize = 64;

pub(super) fn run(args: Args) -> ExitCode {
    let config = match args.login.resolve() {
        Ok(config) => config,
        Err(error) => return error.complain().into(),
    };
    // Read before connecting: a text that cannot be sent needs no connection.
    let texts = match args.texts() {
        Ok(texts) => texts,
        Err(why) => {
            note(format_args!("longwire: {why}"));
            return Exit::Usage.into();
        }
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(send(args, config, texts)).into(),
        Err(failure) => complained(&failure),
    }
}

/// Where the texts come from.
enum Texts {
    One(Option<String>),
    Lines(mpsc::Receiver<Input>),
}

impl Texts {
    async fn next(&mut self) -> Option<Input> {
        match self {
            Self::One(text) => text.take().map(Input::Line),
            Self::Lines(lines) => lines.recv().await,
        }
    }
}

impl Args {
    fn texts(&self) -> Result<Texts, String> {
        if self.lines {
            return Ok(Texts::Lines(input::lines()));
        }
        let text = match &self.body {
            Some(body) => body.clone(),
            None => read_all()?,
        };
        if text.trim().is_empty() {
            return Err("the message is empty".to_owned());
        }
        let message = self.message("", &text);
        if message.to_bytes().len() > STANZA_BYTES - 1024 {
            return Err("the message is longer than the 256 KiB that a server takes".to_owned());
        }
        Ok(Texts::One(Some(text)))
    }

    fn message(&self, id: &str, text: &str) -> Stanza {
        let subject = self.subject.as_deref();
        let subject = subject.map(|text| Element::new(ns::CLIENT, "subject").text(text));
        let kind = match self.kind {
            TypeName::Chat => MessageType::Chat,
            TypeName::Normal => MessageType::Normal,
            TypeName::Headline => MessageType::Headline,
        };
        Stanza::message(kind).to(&self.to).id(id).child_opt(subject).body(text).build()
    }
}

fn read_all() -> Result<String, String> {
    if stdin().is_terminal() {
        note("Type the message; Ctrl-D ends it.");
    }
    let mut text = Vec::new();
    let bound = u64::try_from(STANZA_BYTES + 1).unwrap_or(u64::MAX);
    let read = stdin().lock().take(bound).read_to_end(&mut text);
    read.map_err(|error| format!("cannot read standard input: {error}"))?;
    let text = String::from_utf8(text).map_err(|_| "the input is not UTF-8 text".to_owned())?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

async fn send(args: Args, config: Config, texts: Texts) -> Exit {
    let environment = Environment::default();
    let mut run = [0; 8];
    (environment.entropy)(&mut run);
    let mut client = match Client::connect(config.clone(), environment).await {
        Ok(client) => client,
        Err(error) => return args.login.no_session(&config, error).complain(),
    };
    if args.login.verbose {
        note(connected(&config, &client));
        note(details(&config, &client));
    }
    let mut batch = Batch::new(&args, client.sender(), u64::from_le_bytes(run));
    let exit = batch.run(&mut client, texts).await;
    client.close().await;
    exit
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Delivered,
    Refused(StanzaError),
    Unknown,
}

impl Outcome {
    const fn exit(&self) -> Exit {
        match self {
            Self::Delivered => Exit::Done,
            Self::Refused(_) => Exit::Refused,
            Self::Unknown => Exit::NoSession,
        }
    }
}

/// The worse of two outcomes: what is unknown may have been anything.
const fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::NoSession, _) | (_, Exit::NoSession) => Exit::NoSession,
        (Exit::Usage, _) | (_, Exit::Usage) => Exit::Usage,
        (Exit::Refused, _) | (_, Exit::Refused) => Exit::Refused,
        (Exit::Done, Exit::Done) => Exit::Done,
    }
}

/// The server has answered the request behind a message, or has not.
struct Confirmed {
    id: String,
    is_answered: bool,
    took: Duration,
}

type Confirmation = Pin<Box<dyn Future<Output = Confirmed> + Send>>;

/// The messages of one run.
///
/// Behind each message a ping goes to the same address and so over the same stream: its answer
/// says that the message was dealt with, and an error for the message arrives before it.
struct Batch<'a> {
    args: &'a Args,
    sender: Sender,
    run: u64,
    count: u64,
    waiting: FuturesUnordered<Confirmation>,
    /// Errors for messages that wait.
    errors: BTreeMap<String, Option<StanzaError>>,
    exit: Exit,
    is_over: bool,
}

impl<'a> Batch<'a> {
    fn new(args: &'a Args, sender: Sender, run: u64) -> Self {
        Self {
            args,
            sender,
            run,
            count: 0,
            waiting: FuturesUnordered::new(),
            errors: BTreeMap::new(),
            exit: Exit::Done,
            is_over: false,
        }
    }

    async fn run(&mut self, client: &mut Client, mut texts: Texts) -> Exit {
        let mut is_complete = false;
        while !self.is_over && (!is_complete || !self.waiting.is_empty()) {
            let reads = !is_complete && self.waiting.len() < UNCONFIRMED;
            tokio::select! {
                event = client.next() => self.arrived(event),
                Some(confirmed) = self.waiting.next(), if !self.waiting.is_empty() => {
                    // What arrived before the answer is here by now.
                    while let Some(event) = client.try_next() {
                        self.arrived(Some(event));
                    }
                    self.settle(confirmed);
                }
                text = texts.next(), if reads => match text {
                    Some(Input::Line(text)) => self.start(&text),
                    Some(Input::Unreadable(why)) => {
                        note(format_args!("longwire: {why}"));
                        self.exit = worse(self.exit, Exit::Usage);
                    }
                    None => is_complete = true,
                },
            }
        }
        // The session has ended: all requests end with it.
        while let Some(confirmed) = self.waiting.next().await {
            self.settle(confirmed);
        }
        self.exit
    }

    fn start(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.count += 1;
        let id = format!("{:x}-{}", self.run, self.count);
        let message = self.args.message(&id, text);
        // The bare address: the server answers, whether the recipient is there or not.
        let ping = Stanza::iq(IqType::Get).to(self.args.to.bare());
        let ping = ping.id(&format!("{id}-ping")).child(xep::ping::Ping.element()).build();
        let (sender, wait) = (self.sender.clone(), self.args.login.wait());
        self.errors.insert(id.clone(), None);
        self.waiting.push(Box::pin(async move {
            let began = Instant::now();
            let sent = async {
                sender.send(message).await.ok()?;
                sender.request(ping).await.ok()
            };
            let is_answered = matches!(tokio::time::timeout(wait, sent).await, Ok(Some(_)));
            Confirmed { id, is_answered, took: began.elapsed() }
        }));
    }

    fn arrived(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Stanza { stanza, .. }) => {
                let is_error = stanza.kind() == Kind::Message && stanza.is_error();
                let known = self.errors.get_mut(stanza.id().unwrap_or_default());
                if let (true, Some(error)) = (is_error, known) {
                    *error = stanza.stanza_error();
                }
            }
            Some(Event::Closed(reason)) => {
                let reason = reason.to_string();
                note(format_args!("longwire: {}", printable(&reason)));
                self.exit = worse(self.exit, Exit::NoSession);
                self.is_over = true;
            }
            None => self.is_over = true,
        }
    }

    fn settle(&mut self, confirmed: Confirmed) {
        let error = self.errors.remove(&confirmed.id).flatten();
        let outcome = match (error, confirmed.is_answered) {
            (Some(error), _) => Outcome::Refused(error),
            (None, true) => Outcome::Delivered,
            (None, false) => Outcome::Unknown,
        };
        self.exit = worse(self.exit, outcome.exit());
        self.tell(&confirmed, &outcome);
    }

    fn tell(&self, confirmed: &Confirmed, outcome: &Outcome) {
        let to = self.args.to.as_str();
        if self.args.json {
            return say(report(confirmed, to, outcome));
        }
        let to = printable(to);
        match outcome {
            Outcome::Delivered if self.args.login.verbose => {
                let took = confirmed.took.as_secs_f64() * 1e3;
                note(format_args!("delivered to the server of {to} in {took:.1} ms"));
            }
            Outcome::Delivered => {}
            Outcome::Refused(error) => {
                note(format_args!("longwire: {to} did not get it: {}", show::error(error)));
            }
            Outcome::Unknown => {
                note(format_args!("longwire: the server did not say whether {to} gets it"));
            }
        }
    }
}

/// One line of JSON about a message.
fn report(confirmed: &Confirmed, to: &str, outcome: &Outcome) -> serde_json::Value {
    let status = match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused(_) => "refused",
        Outcome::Unknown => "unknown",
    };
    let ms = u64::try_from(confirmed.took.as_millis()).unwrap_or(u64::MAX);
    let mut report = json!({ "id": confirmed.id, "to": to, "status": status, "ms": ms });
    if let (Outcome::Refused(error), Some(report)) = (outcome, report.as_object_mut()) {
        let error = json!({
            "condition": error.condition.as_str(),
            "type": error.kind.as_str(),
            "text": error.text.as_deref().map(printable),
        });
        report.insert("error".to_owned(), error);
    }
    report
}

#[cfg(test)]
mod tests {
    use longwire_stanza::Condition;

    use super::*;

    fn refused() -> Outcome {
        let error = StanzaError::new(Condition::ServiceUnavailable).with_text("no\u{1b}[2J");
        Outcome::Refused(error)
    }

    #[test]
    fn the_worst_outcome_decides_the_exit_status() {
        let exits =
            |outcomes: &[Outcome]| outcomes.iter().map(Outcome::exit).fold(Exit::Done, worse);
        use Outcome::{Delivered, Unknown};
        assert_eq!(exits(&[Delivered, Delivered]), Exit::Done);
        assert_eq!(exits(&[Delivered, refused(), Delivered]), Exit::Refused);
        assert_eq!(exits(&[refused(), Unknown, Delivered]), Exit::NoSession);
        assert_eq!(worse(Exit::Usage, Exit::Refused), Exit::Usage);
        assert_eq!(worse(Exit::Done, Exit::Usage), Exit::Usage);
    }

    #[test]
    fn a_report_is_one_json_object() {
        let took = Duration::from_micros(3_456);
        let confirmed = Confirmed { id: "1".to_owned(), is_answered: true, took };
        let delivered = report(&confirmed, "bob@localhost", &Outcome::Delivered);
        let expected = json!({ "id": "1", "to": "bob@localhost", "status": "delivered", "ms": 3 });
        assert_eq!(delivered, expected);
        let refused = report(&confirmed, "bob@localhost", &refused());
        assert_eq!(refused["status"], "refused");
        let error =
            json!({ "condition": "service-unavailable", "type": "cancel", "text": "no[2J" });
        assert_eq!(refused["error"], error);
    }
}
