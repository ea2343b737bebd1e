//! What clients did, what was acknowledged, and what they find.

use std::collections::{BTreeMap, BTreeSet};

use longwire_stanza::xep::roster::Item;

use crate::limits;

/// An account, by number.
pub type Who = usize;

/// What an owner decides about a contact; nothing of it at all is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The contact's name.
    pub name: Option<String>,
    /// The contact's groups.
    pub groups: BTreeSet<String>,
}

/// How far a subscription is, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Nothing.
    #[default]
    No,
    /// Asked for.
    Asked,
    /// Granted.
    Yes,
}

/// Something that an account does about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Changes name and groups.
    Set(Entry),
    /// Removes the contact.
    Remove,
    /// Asks for the contact's presence.
    Subscribe,
    /// Grants a request, or the next one in advance.
    Subscribed,
    /// Gives the contact's presence up.
    Unsubscribe,
    /// Denies a request, or takes the grant back.
    Unsubscribed,
}

/// A deed, and what is known of its fate.
#[derive(Clone, Debug)]
pub struct Act {
    pub(super) who: Who,
    pub(super) whom: Who,
    pub(super) deed: Deed,
    /// When it was begun, in steps of the history.
    pub(super) begun: u64,
    /// When it was acknowledged.
    pub(super) done: Option<u64>,
    /// The server said that it was not done.
    pub(super) refused: bool,
}

/// What an account finds: its roster, and the requests that wait for its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The roster, by contact.
    pub items: BTreeMap<Who, Item>,
    /// Who asks for this account's presence, and how often.
    pub asking: BTreeMap<Who, usize>,
}

/// What all accounts find.
pub type Snapshot = Vec<Seen>;

impl Seen {
    /// Name and groups of a contact.
    #[must_use]
    pub fn entry(&self, contact: Who) -> Entry {
        let Some(item) = self.items.get(&contact) else { return Entry::default() };
        Entry { name: item.name.clone(), groups: item.groups.iter().cloned().collect() }
    }

    /// The account's subscription to a contact.
    #[must_use]
    pub fn outward(&self, contact: Who) -> Relation {
        match self.items.get(&contact) {
            Some(item) if item.subscription.is_to() => Relation::Yes,
            Some(item) if item.ask => Relation::Asked,
            _ => Relation::No,
        }
    }

    /// A contact's subscription to the account.
    #[must_use]
    pub fn inward(&self, contact: Who) -> Relation {
        match self.items.get(&contact) {
            Some(item) if item.subscription.is_from() => Relation::Yes,
            _ if self.asking.contains_key(&contact) => Relation::Asked,
            _ => Relation::No,
        }
    }
}

/// What was done since a snapshot.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) base: Snapshot,
    pub(super) acts: Vec<Act>,
    step: u64,
}

impl History {
    /// Nothing was done since `base`.
    #[must_use]
    pub fn new(base: Snapshot) -> Self {
        Self { base, acts: Vec::new(), step: 0 }
    }

    /// Notes a deed that is about to be sent; its number.
    ///
    /// # Panics
    /// When there are more deeds than a history holds.
    pub fn begin(&mut self, who: Who, whom: Who, deed: Deed) -> usize {
        assert!(self.acts.len() < limits::HISTORY_ACTS, "the history is full");
        self.step += 1;
        self.acts.push(Act { who, whom, deed, begun: self.step, done: None, refused: false });
        self.acts.len() - 1
    }

    /// Notes that the server's answer proves a deed.
    pub fn acknowledge(&mut self, number: usize) {
        self.step += 1;
        if let Some(act) = self.acts.get_mut(number) {
            act.done = Some(self.step);
        }
    }

    /// Notes that the server refused a deed.
    pub fn refuse(&mut self, number: usize) {
        if let Some(act) = self.acts.get_mut(number) {
            act.refused = true;
        }
    }

    /// Deeds that were begun, and those that were acknowledged.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let done = self.acts.iter().filter(|act| act.done.is_some() && !act.refused);
        (self.acts.len(), done.count())
    }

    /// What one account did about another and was not refused, in order.
    pub(super) fn of(&self, who: Who, whom: Who) -> impl Iterator<Item = &Act> {
        let own = move |act: &&Act| act.who == who && act.whom == whom && !act.refused;
        self.acts.iter().filter(own)
    }
}
