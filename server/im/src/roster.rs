//! The roster: who an account knows (RFC 6121 §2), with versions (§2.6).
//!
//! Every change gets the next version number and is pushed to the sessions that have asked for
//! the roster. A session that comes back with a version it knows gets the changes since then.

pub mod item;

use crate::limits::{ROSTER_CATCH_UP, ROSTER_ENTRIES, ROSTER_TOMBSTONES};
use crate::subscription;
use item::{Item, Version};
use longwire_core::event::Event;
use longwire_core::store::Table;
use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, NoConfig, Registrar, SessionId, Turn, port};
use longwire_stanza::xep::Payload;
use longwire_stanza::xep::roster::{self as vocabulary, Change, Request, Subscription};
use longwire_stanza::{BareJid, Condition, IqType, Stanza, StanzaError, ns};
use std::sync::Arc;

/// The entries of a roster, by the contact's address; removed ones are kept for a while.
pub const ITEMS: Table<String, Item> = Table::account("im_roster", 1);

/// The version and the counts of a roster.
pub const VERSION: Table<(), Version> = Table::account("im_roster_version", 1);

/// The feature: roster requests, and the roster for other features.
pub struct Roster;

/// In a session's slots: it has asked for the roster, so it gets every change (RFC 6121 §2.2).
struct Interested;

/// A session knows an old version and gets what has changed since, after its answer.
struct CatchUp {
    session: SessionId,
    since: u64,
}

impl Event for CatchUp {}

impl Feature for Roster {
    const NAME: &'static str = "roster";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(6121);
        r.xep(237, "1.3");
        r.table(&ITEMS);
        r.table(&VERSION);
        r.stream_feature(Element::new(ns::ROSTER_VERSIONING, "ver"));
        r.iq_get(Entity::Account, &self, Self::get);
        // Others are told that it is not theirs to change (§2.3.3).
        r.iq_set_public(Entity::Account, &self, Self::set);
        r.on(&self, Self::catch_up);
        r.provide::<dyn port::Roster>(self);
    }
}

impl port::Roster for Roster {
    fn is_subscriber(&self, turn: &Turn<'_>, contact: &BareJid) -> bool {
        entry(turn, contact).is_some_and(|item| item.inward)
    }
}

impl Roster {
    //= RFC 6121 §2.1.3
    fn get(&self, turn: &mut Turn<'_>, request: Request) -> Result<Option<Element>, StanzaError> {
        let Some(session) = turn.sender() else { return Err(Condition::Forbidden.into()) };
        turn.update_session(session, |session| session.set(Interested));
        let version = version(turn);
        //= RFC 6121 §2.6.3
        let known = request.ver.and_then(|token| version.known(&token));
        let few = known.filter(|since| missed(turn, *since).len() <= ROSTER_CATCH_UP);
        if let Some(since) = few {
            turn.emit(CatchUp { session, since });
            return Ok(None);
        }
        let items = entries(turn).iter().map(|item| item.shown()).collect();
        Ok(Some(vocabulary::Roster { ver: Some(version.token()), items }.element()))
    }

    //= RFC 6121 §2.6.3
    fn catch_up(&self, turn: &mut Turn<'_>, behind: &CatchUp) {
        let version = version(turn);
        for item in missed(turn, behind.since) {
            let token = Version { number: item.changed, ..version }.token();
            push_to(turn, behind.session, &item, token);
        }
    }

    //= RFC 6121 §2.1.5 and §2.3 to §2.5
    fn set(&self, turn: &mut Turn<'_>, change: Change) -> Result<Option<Element>, StanzaError> {
        if turn.sender().is_none() {
            return Err(Condition::Forbidden.into());
        }
        let wanted = change.item;
        if wanted.jid == *turn.home() {
            return Err(Condition::NotAllowed.into());
        }
        let known = entry(turn, &wanted.jid);
        if wanted.subscription == Subscription::Remove {
            let item = known.ok_or(Condition::ItemNotFound)?;
            subscription::cancel(turn, &item.jid);
            remove(turn, item);
            return Ok(None);
        }
        if known.is_none() {
            has_room(turn)?;
        }
        // What else the client says about the subscription is not its to decide.
        let mut item = known.unwrap_or_else(|| Item::new(wanted.jid));
        item.name = wanted.name.unwrap_or_default();
        item.groups = wanted.groups;
        save(turn, item);
        Ok(None)
    }
}

/// The contact's entry, unless it was removed.
pub(crate) fn entry(turn: &Turn<'_>, contact: &BareJid) -> Option<Item> {
    turn.get(&ITEMS, &key(contact)).filter(|item| !item.removed).map(|item| (*item).clone())
}

/// All entries that are not removed.
pub(crate) fn entries(turn: &Turn<'_>) -> Vec<Arc<Item>> {
    let rows = turn.rows(&ITEMS).into_iter();
    rows.map(|(_, item)| item).filter(|item| !item.removed).collect()
}

/// What has changed since a version, oldest change first.
fn missed(turn: &Turn<'_>, since: u64) -> Vec<Arc<Item>> {
    let mut items: Vec<_> = turn.rows(&ITEMS).into_iter().map(|(_, item)| item).collect();
    items.retain(|item| item.changed > since);
    items.sort_by_key(|item| item.changed);
    items
}

/// Whether one more entry is allowed.
///
/// # Errors
/// Answers with the error when the roster is full.
pub(crate) fn has_room(turn: &mut Turn<'_>) -> Result<(), StanzaError> {
    if version(turn).entries < ROSTER_ENTRIES {
        return Ok(());
    }
    Err(StanzaError::new(Condition::ResourceConstraint).with_text("the roster is full"))
}

/// Writes an entry as the latest change, and pushes it.
pub(crate) fn save(turn: &mut Turn<'_>, mut item: Item) {
    let mut version = version(turn);
    version.number += 1;
    match turn.get(&ITEMS, &key(&item.jid)) {
        None => version.entries += 1,
        Some(old) if old.removed => {
            version.entries += 1;
            version.tombstones = version.tombstones.saturating_sub(1);
        }
        Some(_) => {}
    }
    item.changed = version.number;
    push(turn, &item, &version);
    turn.put(&ITEMS, &key(&item.jid), item);
    turn.put(&VERSION, &(), version);
}

/// Turns an entry into the memory of one, and pushes its removal.
fn remove(turn: &mut Turn<'_>, item: Item) {
    let mut version = version(turn);
    version.number += 1;
    version.entries = version.entries.saturating_sub(1);
    version.tombstones += 1;
    let item = Item { removed: true, changed: version.number, ..Item::new(item.jid) };
    push(turn, &item, &version);
    turn.put(&ITEMS, &key(&item.jid), item);
    if version.tombstones > ROSTER_TOMBSTONES {
        let removed = turn.rows(&ITEMS).into_iter().filter(|(_, item)| item.removed);
        if let Some((key, oldest)) = removed.min_by_key(|(_, item)| item.changed) {
            turn.delete(&ITEMS, &key);
            version.floor = oldest.changed;
            version.tombstones -= 1;
        }
    }
    turn.put(&VERSION, &(), version);
}

/// The roster's version; a roster begins when it is first looked at.
fn version(turn: &mut Turn<'_>) -> Version {
    if let Some(version) = turn.get(&VERSION, &()) {
        return *version;
    }
    let version = Version { epoch: turn.wall_clock(), ..Version::default() };
    turn.put(&VERSION, &(), version);
    version
}

//= RFC 6121 §2.1.6
fn push(turn: &mut Turn<'_>, item: &Item, version: &Version) {
    for session in interested(turn) {
        push_to(turn, session, item, version.token());
    }
}

fn push_to(turn: &mut Turn<'_>, session: SessionId, item: &Item, ver: String) {
    let Some(to) = turn.session(session).map(|session| session.jid().clone()) else { return };
    let content = vocabulary::Roster { ver: Some(ver), items: vec![item.shown()] };
    let id = turn.fresh_id();
    let push = Stanza::iq(IqType::Set).to(to).id(&id).child(content.element()).build();
    turn.deliver(session, push);
}

/// The sessions that have asked for the roster.
pub(crate) fn interested(turn: &Turn<'_>) -> Vec<SessionId> {
    let sessions = turn.sessions();
    let asked = sessions.iter().filter(|session| session.get::<Interested>().is_some());
    asked.map(|session| session.id()).collect()
}

fn key(contact: &BareJid) -> String {
    contact.as_str().to_owned()
}

#[cfg(test)]
mod tests;
