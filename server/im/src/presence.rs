//! Presence: who is there, told to those who may know (RFC 6121 §4).
//!
//! A broadcast goes to every contact with a subscription and to the account's own sessions; what
//! is sent to somebody else is remembered, so that they learn of the end. Probes are answered
//! from the home's memory. The subscription verbs are handed to [`subscription`].

use crate::limits::{DIRECTED, FAILED};
use crate::subscription::state::Half;
use crate::{roster, subscription};
use longwire_core::event::{AccountRemoved, Event, SessionDown};
use longwire_core::route::{Destination, destination};
use longwire_core::{Feature, NoConfig, Registrar, Session, SessionId, Turn};
use longwire_stanza::{
    BareJid, Condition, FullJid, Jid, Kind, PresenceType, Stanza, StanzaError, ns,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The feature: owns what happens to presence stanzas in both directions.
pub struct Presence;

/// A session of the account is no longer available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WentAway {
    /// The status that it left, if it said goodbye.
    pub(crate) status: Option<String>,
}

impl Event for WentAway {}

/// In a session's slots: whom it has sent presence besides the broadcast (RFC 6121 §4.6.3).
#[derive(Clone, Default)]
struct Directed(BTreeSet<Jid>);

/// In a session's slots: contacts that answered presence with an error (RFC 6121 §4.4.2).
#[derive(Clone, Default)]
struct Failed(BTreeSet<BareJid>);

impl Feature for Presence {
    const NAME: &'static str = "presence";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(6121);
        subscription::install(r);
        r.deliver(Kind::Presence, &self, Self::send, Self::receive);
        r.on(&self, Self::session_down);
        r.on(&self, Self::account_removed);
    }
}

impl Presence {
    fn send(&self, turn: &mut Turn<'_>) {
        let Some(sender) = turn.sender().and_then(|id| turn.session(id)) else { return };
        let stanza = turn.stanza().clone();
        let kind = stanza.presence_type();
        if let Some(verb) = subscription::verb(kind) {
            return subscription::send(turn, verb);
        }
        let done = match (kind, stanza.to()) {
            (PresenceType::Available, None) => broadcast(turn, &sender, &stanza),
            (PresenceType::Unavailable, None) => {
                leave(turn, &sender, &stanza);
                Ok(())
            }
            (PresenceType::Available, Some(to)) => direct(turn, &sender, &stanza, to),
            (PresenceType::Unavailable, Some(to)) => {
                change::<Directed>(turn, sender.id(), |directed| directed.0.remove(to));
                turn.route(stanza);
                Ok(())
            }
            (PresenceType::Error | PresenceType::Probe, Some(_)) => {
                turn.route(stanza);
                Ok(())
            }
            _ => Err(StanzaError::bad_request("to whom?")),
        };
        if let Err(error) = done {
            turn.refuse(error);
        }
    }

    fn receive(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let kind = stanza.presence_type();
        if let Some(verb) = subscription::verb(kind) {
            return subscription::receive(turn, verb);
        }
        if kind == PresenceType::Probe {
            return answer_probe(turn, &stanza);
        }
        match stanza.to().and_then(Jid::resource) {
            //= RFC 6121 §8.5.3
            Some(resource) => {
                let Some(session) = turn.session_of(resource) else { return };
                if kind == PresenceType::Error {
                    note_failure(turn, session.id(), &stanza);
                }
                turn.deliver(session.id(), stanza);
            }
            //= RFC 6121 §8.5.2: an error for nobody in particular is nobody's
            None if kind == PresenceType::Error => {}
            None => deliver_to_available(turn, &stanza),
        }
    }

    //= RFC 6121 §4.5.2: the server says goodbye for a session that ended without
    fn session_down(&self, turn: &mut Turn<'_>, down: &SessionDown) {
        let session = &down.session;
        let goodbye = Stanza::presence(PresenceType::Unavailable).from(session.jid()).build();
        leave(turn, session, &goodbye);
    }

    fn account_removed(&self, turn: &mut Turn<'_>, _: &AccountRemoved) {
        subscription::cancel_all(turn);
    }
}

//= RFC 6121 §4.2.2 and §4.4.2
fn broadcast(turn: &mut Turn<'_>, sender: &Session, stanza: &Stanza) -> Result<(), StanzaError> {
    check_priority(stanza)?;
    let id = sender.id();
    let initial = !sender.is_available();
    turn.update_session(id, |session| session.set_presence(Some(stanza.clone())));
    tell_subscribers(turn, sender, stanza);
    deliver_to_available(turn, stanza);
    if initial {
        look_around(turn, id, sender.jid());
        subscription::remind(turn, id);
    }
    Ok(())
}

//= RFC 6121 §4.7.2.3
fn check_priority(stanza: &Stanza) -> Result<(), StanzaError> {
    let is_priority = |name: &str, namespace: &str| name == "priority" && namespace == ns::CLIENT;
    let mut priorities = stanza
        .children()
        .filter(|child| is_priority(child.name(), child.namespace()))
        .map(|child| child.text().trim().parse::<i8>());
    match (priorities.next(), priorities.next()) {
        (None | Some(Ok(_)), None) => Ok(()),
        _ => Err(StanzaError::bad_request("a priority is one number from -128 to 127")),
    }
}

/// Tells a new session who else is there: the account's other sessions, and the contacts.
fn look_around(turn: &mut Turn<'_>, id: SessionId, jid: &FullJid) {
    for other in turn.sessions() {
        if let Some(presence) = other.presence().filter(|_| other.id() != id) {
            turn.deliver(id, presence.with_to(jid));
        }
    }
    //= RFC 6121 §4.3.1
    for item in roster::entries(turn) {
        if item.outward == Half::Yes {
            let probe = Stanza::presence(PresenceType::Probe).from(jid).to(&item.jid);
            turn.route(probe.build());
        }
    }
}

/// A session becomes unavailable: everybody who knew of it learns that (RFC 6121 §4.5.2).
fn leave(turn: &mut Turn<'_>, session: &Session, goodbye: &Stanza) {
    let (id, jid) = (session.id(), session.jid());
    let mut told = BTreeSet::new();
    if session.is_available() {
        turn.update_session(id, |session| session.set_presence(None));
        told = tell_subscribers(turn, session, goodbye);
        deliver_to_available(turn, goodbye);
        if turn.session(id).is_some() {
            turn.deliver(id, goodbye.with_to(jid));
        }
        let status = goodbye.child_text("status").map(|status| status.into_owned());
        turn.emit(WentAway { status });
    }
    //= RFC 6121 §4.6.3
    for to in session.get::<Directed>().map(|directed| directed.0.clone()).unwrap_or_default() {
        if !told.contains(&to.bare()) {
            turn.route(goodbye.with_to(to));
        }
    }
    turn.update_session(id, |session| {
        session.remove::<Directed>();
        session.remove::<Failed>();
    });
}

/// Sends a broadcast to the contacts who may see it, and says to whom it went.
fn tell_subscribers(turn: &mut Turn<'_>, sender: &Session, stanza: &Stanza) -> BTreeSet<BareJid> {
    let failed = sender.get::<Failed>();
    let mut told = BTreeSet::new();
    for item in roster::entries(turn) {
        if item.inward && !failed.is_some_and(|failed| failed.0.contains(&item.jid)) {
            turn.route(stanza.with_to(&item.jid));
            told.insert(item.jid.clone());
        }
    }
    told
}

/// Sends presence to somebody outside the broadcast (RFC 6121 §4.6).
fn direct(
    turn: &mut Turn<'_>,
    sender: &Session,
    stanza: &Stanza,
    to: &Jid,
) -> Result<(), StanzaError> {
    // Who is not here answers with an error, and then need not be told of the end.
    if destination(to, turn.hosts()) != Destination::Remote && to.bare() != *turn.home() {
        let mut directed = sender.get::<Directed>().cloned().unwrap_or_default();
        if !directed.0.contains(to) && directed.0.len() >= DIRECTED {
            let error = StanzaError::new(Condition::ResourceConstraint);
            return Err(error.with_text("presence was sent to too many"));
        }
        directed.0.insert(to.clone());
        turn.update_session(sender.id(), |session| session.set(directed));
    }
    turn.route(stanza.clone());
    Ok(())
}

/// Notes that somebody cannot or will not have a session's presence.
fn note_failure(turn: &mut Turn<'_>, id: SessionId, error: &Stanza) {
    let Some(from) = error.from().cloned() else { return };
    change::<Directed>(turn, id, |directed| directed.0.remove(&from));
    change::<Failed>(turn, id, |failed| failed.0.len() < FAILED && failed.0.insert(from.bare()));
}

//= RFC 6121 §4.3.2
fn answer_probe(turn: &mut Turn<'_>, probe: &Stanza) {
    let Some(from) = probe.from().cloned() else { return };
    let asker = from.bare();
    let trusted =
        asker == *turn.home() || roster::entry(turn, &asker).is_some_and(|item| item.inward);
    let resource = probe.to().and_then(Jid::resource);
    let mut shown = false;
    for session in turn.sessions() {
        if resource.is_some_and(|resource| resource != session.jid().resource()) {
            continue;
        }
        if !trusted && !knows(&session, &from) {
            continue;
        }
        if let Some(presence) = session.presence() {
            shown = true;
            turn.route(presence.with_to(&from));
        }
    }
    let kind = match (trusted, shown) {
        (_, true) => return,
        (true, false) => PresenceType::Unavailable,
        // The answer to a request is the owner's to give.
        (false, false) if subscription::is_waiting(turn, &asker) => return,
        (false, false) => PresenceType::Unsubscribed,
    };
    let answer = Stanza::presence(kind).from(turn.home());
    // The one is about this moment and goes to who asked, the other about both accounts.
    let answer = if trusted { answer.to(from) } else { answer.to(asker) };
    turn.route(answer.build());
}

/// Whether a session has sent its presence to somebody.
fn knows(session: &Session, somebody: &Jid) -> bool {
    session.get::<Directed>().is_some_and(|directed| {
        directed.0.contains(somebody) || directed.0.contains(&Jid::from(somebody.bare()))
    })
}

/// Shows the account's available sessions to a contact who may see them from now on.
pub(crate) fn show(turn: &mut Turn<'_>, contact: &BareJid) {
    for session in turn.sessions() {
        if let Some(presence) = session.presence() {
            turn.route(presence.with_to(contact));
        }
    }
}

/// Makes the account's available sessions vanish for a contact who may not see them any longer.
pub(crate) fn hide(turn: &mut Turn<'_>, contact: &BareJid) {
    for session in turn.sessions() {
        if session.is_available() {
            let goodbye = Stanza::presence(PresenceType::Unavailable).from(session.jid());
            turn.route(goodbye.to(contact).build());
        }
    }
}

/// The sessions that have sent presence.
pub(crate) fn available(turn: &Turn<'_>) -> Vec<SessionId> {
    let sessions = turn.sessions();
    sessions.iter().filter(|session| session.is_available()).map(|session| session.id()).collect()
}

/// Delivers to every available session: under the address that it came to, or to each its own
/// when it is the account's broadcast.
fn deliver_to_available(turn: &mut Turn<'_>, stanza: &Stanza) {
    for session in turn.sessions() {
        if session.is_available() {
            let stanza = match stanza.to() {
                Some(_) => stanza.clone(),
                None => stanza.with_to(session.jid()),
            };
            turn.deliver(session.id(), stanza);
        }
    }
}

/// Changes a session's slot when that makes a difference.
fn change<T>(turn: &mut Turn<'_>, id: SessionId, change: impl FnOnce(&mut T) -> bool)
where
    T: Clone + Default + Send + Sync + 'static,
{
    let Some(session) = turn.session(id) else { return };
    let mut value = session.get::<T>().cloned().unwrap_or_default();
    if change(&mut value) {
        turn.update_session(id, |session| session.set(value));
    }
}

#[cfg(test)]
mod tests;
