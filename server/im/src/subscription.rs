//! Subscriptions: asking for a contact's presence, granting, denying, giving up (RFC 6121 §3).
//!
//! Each half of a subscription lives in the home of its own account. A verb changes the sender's
//! half and travels as a durable handoff, so that a crash never leaves one half behind; it may
//! then arrive twice, which [`state`] makes harmless.

mod request;
pub mod state;

use crate::limits::{REQUEST_BYTES, REQUESTS};
use crate::presence;
use crate::roster::{self, item::Item};
use longwire_core::route::{Destination, destination};
use longwire_core::store::Table;
use longwire_core::xml::Element;
use longwire_core::{Registrar, SessionId, Turn};
use longwire_stanza::{BareJid, Condition, PresenceType, Stanza, StanzaError, ns};
use request::Asked;
use state::{Half, State, Verb};

/// Requests of others that wait for the account's answer, whole, by the contact's address.
pub const REQUESTS_IN: Table<String, Vec<u8>> = Table::account("im_requests", 1);

/// When the account asked for its latest subscriptions.
const ASKED: Table<(), Asked> = Table::account("im_asked", 1);

/// Declares what subscriptions need; the presence feature owns the stanzas.
pub(crate) fn install(r: &mut Registrar) {
    r.table(&REQUESTS_IN);
    r.table(&ASKED);
    r.stream_feature(Element::new(ns::PRE_APPROVAL, "sub"));
}

/// The verb that a type of presence stands for.
pub(crate) const fn verb(kind: PresenceType) -> Option<Verb> {
    match kind {
        PresenceType::Subscribe => Some(Verb::Subscribe),
        PresenceType::Subscribed => Some(Verb::Subscribed),
        PresenceType::Unsubscribe => Some(Verb::Unsubscribe),
        PresenceType::Unsubscribed => Some(Verb::Unsubscribed),
        PresenceType::Available
        | PresenceType::Unavailable
        | PresenceType::Probe
        | PresenceType::Error => None,
    }
}

const fn kind(verb: Verb) -> PresenceType {
    match verb {
        Verb::Subscribe => PresenceType::Subscribe,
        Verb::Subscribed => PresenceType::Subscribed,
        Verb::Unsubscribe => PresenceType::Unsubscribe,
        Verb::Unsubscribed => PresenceType::Unsubscribed,
    }
}

/// A verb that a session sends.
pub(crate) fn send(turn: &mut Turn<'_>, verb: Verb) {
    if let Err(error) = try_send(turn, verb) {
        turn.refuse(error);
    }
}

fn try_send(turn: &mut Turn<'_>, verb: Verb) -> Result<(), StanzaError> {
    //= RFC 6121 §3.1.1: what is managed is always the relation of two accounts
    let to = turn.stanza().to().ok_or_else(|| StanzaError::bad_request("to whom?"))?;
    let (contact, reachable) = (to.bare(), destination(to, turn.hosts()));
    if contact == *turn.home() {
        return Err(Condition::NotAllowed.into());
    }
    // Who gives something up can do so whatever has become of the contact.
    match (verb, reachable) {
        (_, Destination::Home(_)) | (Verb::Unsubscribe | Verb::Unsubscribed, _) => {}
        (_, Destination::Server) => return Err(Condition::ServiceUnavailable.into()),
        (_, Destination::Remote) => return Err(Condition::RemoteServerNotFound.into()),
    }
    let before = Relation::of(turn, &contact);
    let done = state::outbound(verb, before.state(), before.approved());
    before.check(turn, verb, done.next, done.approved)?;
    let stanza = turn.stanza().with_from(turn.home()).with_to(&contact);
    let inward = (before.state().inward(), done.next.inward());
    //= RFC 6121 §3.2.2: the contact loses sight first, then learns why
    if inward.0 == Half::Yes && inward.1 != Half::Yes {
        presence::hide(turn, &contact);
    }
    if done.route {
        turn.route_durable(stanza);
    }
    before.enter(turn, done.next, done.approved);
    //= RFC 6121 §3.1.5
    if inward.0 != Half::Yes && inward.1 == Half::Yes {
        presence::show(turn, &contact);
    }
    Ok(())
}

/// A verb that comes to the account.
pub(crate) fn receive(turn: &mut Turn<'_>, verb: Verb) {
    let Some(contact) = turn.stanza().from().map(|from| from.bare()) else { return };
    if contact == *turn.home() {
        return;
    }
    let stanza = turn.stanza().with_from(&contact).with_to(turn.home());
    let before = Relation::of(turn, &contact);
    let done = state::inbound(verb, before.state(), before.approved());
    let inward = (before.state().inward(), done.next.inward());
    let is_new = inward.0 != Half::Pending && inward.1 == Half::Pending;
    if is_new && let Err(error) = keep(turn, &contact, &stanza) {
        return turn.refuse(error);
    }
    if done.deliver {
        //= RFC 6121 §3.1.3 goes to the available sessions, the others to the interested ones
        let sessions = match verb {
            Verb::Subscribe => presence::available(turn),
            Verb::Subscribed | Verb::Unsubscribe | Verb::Unsubscribed => roster::interested(turn),
        };
        for session in sessions {
            turn.deliver(session, stanza.clone());
        }
    }
    if let Some(reply) = done.reply {
        let reply = Stanza::presence(kind(reply)).from(turn.home()).to(&contact).build();
        turn.route_durable(reply);
    }
    let approved = before.approved();
    before.enter(turn, done.next, approved);
    match inward {
        //= RFC 6121 §3.1.5: whoever is granted a subscription sees the account at once
        (_, Half::Yes) if done.reply.is_some() => presence::show(turn, &contact),
        //= RFC 6121 §3.3.3
        (Half::Yes, Half::No) => presence::hide(turn, &contact),
        _ => {}
    }
}

/// Gives up both halves of a relation, because its entry is removed (RFC 6121 §2.5.2).
pub(crate) fn cancel(turn: &mut Turn<'_>, contact: &BareJid) {
    let relation = Relation::of(turn, contact);
    let (outward, inward) = (relation.state().outward(), relation.state().inward());
    if inward == Half::Yes {
        presence::hide(turn, contact);
    }
    for (needed, verb) in
        [(outward != Half::No, Verb::Unsubscribe), (inward != Half::No, Verb::Unsubscribed)]
    {
        if needed {
            let told = Stanza::presence(kind(verb)).from(turn.home()).to(contact).build();
            turn.route_durable(told);
        }
    }
    turn.delete(&REQUESTS_IN, &key(contact));
}

/// Gives up every relation, because the account is removed.
pub(crate) fn cancel_all(turn: &mut Turn<'_>) {
    for item in roster::entries(turn) {
        cancel(turn, &item.jid);
    }
    for (contact, _) in turn.rows(&REQUESTS_IN) {
        if let Ok(contact) = BareJid::new(&contact) {
            cancel(turn, &contact);
        }
    }
}

/// Whether a request of the contact waits for the account's answer.
pub(crate) fn is_waiting(turn: &Turn<'_>, contact: &BareJid) -> bool {
    turn.get(&REQUESTS_IN, &key(contact)).is_some()
}

/// Shows the waiting requests to a session that has become available (RFC 6121 §3.1.3).
pub(crate) fn remind(turn: &mut Turn<'_>, session: SessionId) {
    for (_, request) in turn.rows(&REQUESTS_IN) {
        if let Some(stanza) = request::read(&request) {
            turn.deliver(session, stanza);
        }
    }
}

/// Keeps a request until it is answered.
fn keep(turn: &mut Turn<'_>, contact: &BareJid, stanza: &Stanza) -> Result<(), StanzaError> {
    if stanza.wire_len() > 2 * REQUEST_BYTES {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("too long"));
    }
    if turn.rows(&REQUESTS_IN).len() >= REQUESTS {
        let error = StanzaError::new(Condition::ResourceConstraint);
        return Err(error.with_text("too many requests wait for an answer"));
    }
    turn.put(&REQUESTS_IN, &key(contact), stanza.to_bytes().to_vec());
    Ok(())
}

/// What an account and a contact are to each other.
struct Relation {
    contact: BareJid,
    item: Option<Item>,
    requested: bool,
}

impl Relation {
    fn of(turn: &Turn<'_>, contact: &BareJid) -> Self {
        Self {
            item: roster::entry(turn, contact),
            requested: is_waiting(turn, contact),
            contact: contact.clone(),
        }
    }

    fn state(&self) -> State {
        match &self.item {
            Some(item) => item.state(self.requested),
            None if self.requested => State::NonePendingIn,
            None => State::None,
        }
    }

    fn approved(&self) -> bool {
        self.item.as_ref().is_some_and(|item| item.approved)
    }

    /// Whether a verb of the account stays within its bounds.
    fn check(
        &self,
        turn: &mut Turn<'_>,
        verb: Verb,
        next: State,
        approved: bool,
    ) -> Result<(), StanzaError> {
        if verb == Verb::Subscribe && turn.stanza().wire_len() > REQUEST_BYTES {
            return Err(StanzaError::new(Condition::NotAcceptable).with_text("too long"));
        }
        if self.item.is_none() && is_kept(next, approved) {
            roster::has_room(turn)?;
        }
        if self.state().outward() == Half::No && next.outward() == Half::Pending {
            let asked = turn.get(&ASKED, &()).map(|asked| (*asked).clone()).unwrap_or_default();
            let asked = asked.again(turn.wall_clock()).ok_or_else(|| {
                StanzaError::new(Condition::ResourceConstraint)
                    .with_text("too many new subscriptions, try again later")
            })?;
            turn.put(&ASKED, &(), asked);
        }
        Ok(())
    }

    /// Moves to another state, and pushes the entry if it changes.
    fn enter(self, turn: &mut Turn<'_>, next: State, approved: bool) {
        if self.requested && next.inward() != Half::Pending {
            turn.delete(&REQUESTS_IN, &key(&self.contact));
        }
        if self.item.is_none() && !is_kept(next, approved) {
            return;
        }
        let old = self.item.clone();
        let mut item = self.item.unwrap_or_else(|| Item::new(self.contact));
        item.set_state(next);
        item.approved = approved;
        if old.as_ref() != Some(&item) {
            roster::save(turn, item);
        }
    }
}

/// Whether a contact in this state has an entry in the roster; a mere request has none
/// (RFC 6121 §3.1.3).
fn is_kept(state: State, approved: bool) -> bool {
    approved || state.outward() != Half::No || state.inward() == Half::Yes
}

fn key(contact: &BareJid) -> String {
    contact.as_str().to_owned()
}

#[cfg(test)]
mod tests;
