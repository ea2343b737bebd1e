//! The router as a whole, with a few tiny features.

mod bounds;
mod durability;
mod homes;
mod outbox;
mod registrar;
mod requests;
mod routing;
mod sessions;

use std::sync::Arc;

use longwire_stanza::{BareJid, Kind, Payload, PresenceType, StanzaError, ns};
use longwire_store::Table;
use longwire_xml::{Child, Element};

use crate::event::{Down, SessionDown, SessionUp};
use crate::port::Roster;
use crate::testkit::{Device, Scene};
use crate::{Entity, Feature, Flow, NoConfig, Phase, Registrar, Turn};

/// A server with the features of this module.
fn scene() -> Scene {
    Scene::with(cast)
}

fn cast(r: &mut Registrar) {
    r.add::<Talk>().add::<Notes>().add::<Friends>().add::<Faults>();
}

/// Sends a message with a body and lets everything happen.
fn say(from: &Device, to: &str, body: &str) {
    from.send(&format!("<message type='chat' to='{to}'><body>{body}</body></message>"));
}

/// The bodies of what has come by now, without waiting.
fn heard_now(device: &Device) -> Vec<String> {
    let stanzas = std::iter::from_fn(|| device.receive_now());
    stanzas.filter_map(|it| it.child_text("body").map(|text| text.into_owned())).collect()
}

/// Messages go to the addressed session, or to all, or as a `<fan/>` to many accounts; each body that starts with `keep` is kept
/// in the sender's home, each that starts with `file` in the recipient's.
struct Talk;

const SENT: Table<u64, String> = Table::account("talk_sent", 1);
const FILED: Table<u64, String> = Table::account("talk_filed", 1);

impl Feature for Talk {
    const NAME: &'static str = "talk";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.xep(85, "2.1");
        r.table(&SENT);
        r.table(&FILED);
        r.on_send(Phase::Archive, &self, Self::keep);
        r.on_receive(Phase::Archive, &self, Self::file);
        r.deliver(Kind::Message, &self, Self::send, Self::receive);
        r.on(&self, Self::up);
        r.on(&self, Self::down);
    }
}

impl Talk {
    fn keep(&self, turn: &mut Turn<'_>) {
        Self::store(turn, "keep", &SENT);
    }

    fn file(&self, turn: &mut Turn<'_>) {
        Self::store(turn, "file", &FILED);
    }

    fn store(turn: &mut Turn<'_>, word: &str, table: &Table<u64, String>) {
        let body = turn.stanza().child_text("body").map(|text| text.into_owned());
        if let Some(body) = body.filter(|body| body.starts_with(word)) {
            let number = turn.rows(table).len() as u64;
            turn.put(table, &number, body);
        }
    }

    fn send(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let fan = stanza.child("urn:test", "fan").and_then(|fan| fan.text().parse().ok());
        for n in 0..fan.unwrap_or(0) {
            let to = BareJid::new(&format!("user{n}@a.example")).expect("an address");
            turn.route(stanza.with_to(to));
        }
        if fan.is_none() {
            turn.route(stanza);
        }
    }

    fn receive(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let resource = stanza.to().and_then(|to| to.resource()).map(str::to_owned);
        for session in turn.sessions() {
            if resource.as_deref().is_none_or(|wanted| wanted == session.jid().resource()) {
                turn.deliver(session.id(), stanza.clone());
            }
        }
    }

    /// Tells the other sessions who came.
    fn up(&self, turn: &mut Turn<'_>, event: &SessionUp) {
        Self::tell(turn, event.session, "came", "");
    }

    /// Tells the other sessions who went, and why.
    fn down(&self, turn: &mut Turn<'_>, event: &SessionDown) {
        let why = match event.reason {
            Down::Closed => "closed",
            Down::Lost => "lost",
            Down::Replaced => "replaced",
            Down::Ended => "ended",
        };
        let text = format!("{why} {}", event.unsent.len());
        Self::tell(turn, event.session.id(), "went", &text);
    }

    fn tell(turn: &mut Turn<'_>, about: crate::SessionId, name: &str, text: &str) {
        let notice = Element::new("urn:test", name).text(text);
        let notice = longwire_stanza::Stanza::message(longwire_stanza::MessageType::Headline)
            .child(notice)
            .build();
        for session in turn.sessions().into_iter().filter(|session| session.id() != about) {
            turn.deliver(session.id(), notice.clone());
        }
    }
}

/// A note per account: `<note xmlns='urn:test:note'>text</note>`.
struct Notes;

struct Note(String);

const NOTE: Table<(), String> = Table::account("notes", 1);

impl Payload for Note {
    const NS: &'static str = "urn:test:note";
    const NAME: &'static str = "note";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        match child.text().into_owned() {
            text if text == "bad" => Err(StanzaError::bad_request("bad")),
            text => Ok(Self(text)),
        }
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).text(&*self.0)
    }
}

impl Feature for Notes {
    const NAME: &'static str = "notes";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.disco(Entity::Account, &[Note::NS]);
        r.table(&NOTE);
        r.iq_get_public(Entity::Account, &self, Self::read);
        r.iq_set(Entity::Account, &self, Self::write);
        r.iq_get(Entity::Server, &self, Self::whoami);
    }
}

impl Notes {
    fn read(&self, turn: &mut Turn<'_>, _: Note) -> Result<Option<Element>, StanzaError> {
        Ok(turn.get(&NOTE, &()).map(|text| Note((*text).clone()).element()))
    }

    fn write(&self, turn: &mut Turn<'_>, note: Note) -> Result<Option<Element>, StanzaError> {
        turn.put(&NOTE, &(), note.0);
        Ok(None)
    }

    fn whoami(&self, turn: &mut Turn<'_>, _: Note) -> Result<Option<Element>, StanzaError> {
        Ok(Some(Note(turn.home().to_string()).element()))
    }
}

/// Both sides of a subscription are written; what arrives is counted.
struct Friends;

const ASKED: Table<String, ()> = Table::account("friends_asked", 1);
const ASKING: Table<String, u64> = Table::account("friends_asking", 1);

impl Feature for Friends {
    const NAME: &'static str = "friends";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.table(&ASKED);
        r.table(&ASKING);
        r.deliver(Kind::Presence, &self, Self::send, Self::receive);
        r.provide::<dyn Roster>(self);
    }
}

impl Friends {
    fn send(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let Some(to) = stanza.to().cloned() else {
            let sender = turn.sender().expect("a sender");
            return turn.update_session(sender, |session| session.set_presence(Some(stanza)));
        };
        if stanza.presence_type() == PresenceType::Subscribe {
            turn.put(&ASKED, &to.bare_str().to_owned(), ());
            turn.route_durable(stanza);
        } else {
            turn.route(stanza);
        }
    }

    fn receive(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let from = stanza.from().expect("a sender").bare_str().to_owned();
        if stanza.presence_type() == PresenceType::Subscribe {
            let times = turn.get(&ASKING, &from).map_or(1, |times| *times + 1);
            turn.put(&ASKING, &from, times);
        }
        for session in turn.sessions() {
            turn.deliver(session.id(), stanza.clone());
        }
    }
}

impl Roster for Friends {
    fn is_subscriber(&self, turn: &Turn<'_>, contact: &BareJid) -> bool {
        turn.get(&ASKING, &contact.to_string()).is_some()
    }
}

/// Stages that misbehave, or refuse, when a stanza asks for it.
struct Faults;

impl Feature for Faults {
    const NAME: &'static str = "faults";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.screen_send(&self, Self::screen);
        r.on_send(Phase::Notify, &self, Self::late);
        r.on_receive(Phase::Notify, &self, Self::late_arrival);
    }
}

impl Faults {
    fn screen(&self, turn: &mut Turn<'_>) -> Flow {
        if turn.stanza().child("urn:test", "refuse").is_some() {
            turn.refuse(longwire_stanza::Condition::PolicyViolation.into());
            return Flow::Stop;
        }
        if turn.stanza().child("urn:test", "swallow").is_some() {
            return Flow::Stop;
        }
        Flow::Continue
    }

    fn late(&self, turn: &mut Turn<'_>) {
        assert!(turn.stanza().child("urn:test", "boom").is_none(), "a planted fault");
    }

    fn late_arrival(&self, turn: &mut Turn<'_>) {
        assert!(turn.stanza().child("urn:test", "late-boom").is_none(), "a planted fault");
    }
}

/// What a client gets for a request that nobody answers.
fn unavailable(to: &str, from: &str, id: &str) -> String {
    format!(
        "<iq type='error' id='{id}' to='{to}' from='{from}'><error type='cancel'>\
         <service-unavailable xmlns='{}'/></error></iq>",
        ns::STANZAS
    )
}
