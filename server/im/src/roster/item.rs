//! What a roster entry is, and how it is stored.

use crate::subscription::state::{Half, State};
use longwire_core::store::record::{Reader, put_bool, put_str, put_u64};
use longwire_core::store::{Record, RecordError};
use longwire_stanza::BareJid;
use longwire_stanza::xep::roster::{self as vocabulary, Subscription};

/// A contact of an account (RFC 6121 §2.1.2), without the contact's own pending request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The contact.
    pub jid: BareJid,
    /// What the owner calls the contact; empty means nothing.
    pub name: String,
    /// The groups that the owner put the contact into.
    pub groups: Vec<String>,
    /// The owner's subscription to the contact.
    pub outward: Half,
    /// Whether the contact sees the owner's presence.
    pub inward: bool,
    /// Whether a request of the contact is granted in advance (RFC 6121 §3.4).
    pub approved: bool,
    /// The roster's version when the entry last changed.
    pub changed: u64,
    /// Whether the entry was removed and is only remembered for clients that were away.
    pub removed: bool,
}

impl Item {
    /// An entry without anything.
    #[must_use]
    pub const fn new(jid: BareJid) -> Self {
        Self {
            jid,
            name: String::new(),
            groups: Vec::new(),
            outward: Half::No,
            inward: false,
            approved: false,
            changed: 0,
            removed: false,
        }
    }

    /// The subscription state, given whether a request of the contact is waiting.
    #[must_use]
    pub const fn state(&self, requested: bool) -> State {
        let inward = match (self.inward, requested) {
            (true, _) => Half::Yes,
            (false, true) => Half::Pending,
            (false, false) => Half::No,
        };
        State::new(self.outward, inward)
    }

    /// Takes over a subscription state; a waiting request is kept elsewhere.
    pub fn set_state(&mut self, state: State) {
        self.outward = state.outward();
        self.inward = state.inward() == Half::Yes;
    }

    /// The entry as a client sees it (RFC 6121 §2.1.2).
    #[must_use]
    pub fn shown(&self) -> vocabulary::Item {
        let subscription = match (self.removed, self.outward, self.inward) {
            (true, ..) => Subscription::Remove,
            (false, Half::Yes, true) => Subscription::Both,
            (false, Half::Yes, false) => Subscription::To,
            (false, _, true) => Subscription::From,
            (false, _, false) => Subscription::None,
        };
        vocabulary::Item {
            jid: self.jid.clone(),
            name: (!self.name.is_empty()).then(|| self.name.clone()),
            subscription,
            ask: self.outward == Half::Pending,
            approved: self.approved,
            groups: self.groups.clone(),
        }
    }
}

impl Record for Item {
    fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, self.jid.as_str());
        put_str(out, &self.name);
        put_u64(out, self.groups.len() as u64);
        for group in &self.groups {
            put_str(out, group);
        }
        out.push(match self.outward {
            Half::No => 0,
            Half::Pending => 1,
            Half::Yes => 2,
        });
        put_bool(out, self.inward);
        put_bool(out, self.approved);
        put_u64(out, self.changed);
        put_bool(out, self.removed);
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let jid = reader.str()?.parse().map_err(|_| RecordError::Malformed("not an address"))?;
        let name = reader.str()?.to_owned();
        let count = reader.u64()?;
        let mut groups = Vec::new();
        for _ in 0..count {
            groups.push(reader.str()?.to_owned());
        }
        let outward = match reader.u8()? {
            0 => Half::No,
            1 => Half::Pending,
            2 => Half::Yes,
            _ => return Err(RecordError::Malformed("not a subscription")),
        };
        let item = Self {
            jid,
            name,
            groups,
            outward,
            inward: reader.bool()?,
            approved: reader.bool()?,
            changed: reader.u64()?,
            removed: reader.bool()?,
        };
        reader.finish()?;
        Ok(item)
    }
}

/// The version of a roster (RFC 6121 §2.6) and its counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// When the roster was begun: an account created again does not repeat old versions.
    pub epoch: u64,
    /// The number of changes so far.
    pub number: u64,
    /// The oldest version from which the changes are still known.
    pub floor: u64,
    /// Entries that are not removed.
    pub entries: u32,
    /// Removed entries that are remembered.
    pub tombstones: u32,
}

impl Version {
    /// What the client is told, and tells when it comes back.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{:x}-{:x}", self.epoch, self.number)
    }

    /// The number in a client's token, if the changes since then are still known.
    #[must_use]
    pub fn known(&self, token: &str) -> Option<u64> {
        let (epoch, number) = token.split_once('-')?;
        let (epoch, number) =
            (u64::from_str_radix(epoch, 16).ok()?, u64::from_str_radix(number, 16).ok()?);
        (epoch == self.epoch && (self.floor..=self.number).contains(&number)).then_some(number)
    }
}

impl Record for Version {
    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.epoch, self.number, self.floor] {
            put_u64(out, number);
        }
        put_u64(out, u64::from(self.entries));
        put_u64(out, u64::from(self.tombstones));
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        const TOO_MANY: RecordError = RecordError::Malformed("too many roster entries");
        let mut reader = Reader::new(bytes);
        let version = Self {
            epoch: reader.u64()?,
            number: reader.u64()?,
            floor: reader.u64()?,
            entries: reader.u64()?.try_into().map_err(|_| TOO_MANY)?,
            tombstones: reader.u64()?.try_into().map_err(|_| TOO_MANY)?,
        };
        reader.finish()?;
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<R: Record>(record: &R) -> R {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        for short in 0..bytes.len() {
            assert!(R::decode(1, &bytes[..short]).is_err(), "cut to {short} bytes");
        }
        R::decode(1, &bytes).unwrap()
    }

    #[test]
    fn entries_come_back_from_the_store() {
        for state in State::ALL {
            let mut item = Item::new("bob@b.example".parse().unwrap());
            item.name = "Bob \u{1f43b}".to_owned();
            item.groups = vec!["Friends".to_owned(), "Work".to_owned()];
            item.set_state(state);
            item.approved = true;
            item.changed = 300;
            assert_eq!(back(&item), item);
            assert_eq!(item.state(state.inward() == Half::Pending), state);
        }
    }

    #[test]
    fn versions_come_back_from_the_store() {
        let version = Version { epoch: 1 << 50, number: 9, floor: 3, entries: 2, tombstones: 1 };
        assert_eq!(back(&version), version);
    }

    #[test]
    fn only_tokens_of_this_roster_and_of_known_times_are_known() {
        let version = Version { epoch: 0xabc, number: 9, floor: 3, ..Version::default() };
        assert_eq!(version.known(&version.token()), Some(9));
        assert_eq!(version.known("abc-3"), Some(3));
        for unknown in ["abc-2", "abc-a", "abd-9", "", "9", "abc-", "-9", "abc-9-9", "x-y"] {
            assert_eq!(version.known(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn attributes_follow_the_state() {
        let attributes = |state| {
            let mut item = Item::new("bob@b.example".parse().unwrap());
            item.set_state(state);
            let shown = item.shown();
            (shown.subscription, shown.ask)
        };
        assert_eq!(attributes(State::NonePendingIn), (Subscription::None, false));
        assert_eq!(attributes(State::NonePendingOutIn), (Subscription::None, true));
        assert_eq!(attributes(State::ToPendingIn), (Subscription::To, false));
        assert_eq!(attributes(State::FromPendingOut), (Subscription::From, true));
        assert_eq!(attributes(State::Both), (Subscription::Both, false));
    }
}
