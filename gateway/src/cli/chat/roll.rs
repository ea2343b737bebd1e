//! Who one knows, and who of them is there.

use std::collections::BTreeMap;

use longwire_stanza::xep::roster::{Item, Roster, Subscription};
use longwire_stanza::{BareJid, FullJid, Jid, PresenceType, Stanza};

use crate::cli::printable::printable;

/// Sessions of others that are remembered; more are shown when they come, and forgotten.
const SESSIONS: usize = 4_096;

/// The contacts, and the sessions of whoever has shown presence.
#[derive(Debug, Default)]
pub(super) struct Roll {
    contacts: BTreeMap<BareJid, Item>,
    present: BTreeMap<FullJid, String>,
}

impl Roll {
    /// The whole roster.
    pub(super) fn set_roster(&mut self, roster: Roster) {
        self.contacts = roster.items.into_iter().map(|item| (item.jid.clone(), item)).collect();
    }

    /// Nobody is known to be there: a new session has heard of nobody.
    pub(super) fn forget_presence(&mut self) {
        self.present.clear();
    }

    /// A roster push (RFC 6121 §2.1.6): what to say about it.
    pub(super) fn push(&mut self, change: Roster) -> Option<String> {
        let item = change.items.into_iter().next()?;
        let jid = item.jid.clone();
        if item.subscription == Subscription::Remove {
            self.contacts.remove(&jid);
            return Some(format!("{} is no contact any more", printable(jid.as_str())));
        }
        let line = contact(&item);
        self.contacts.insert(jid, item);
        Some(format!("contact {line}"))
    }

    /// A presence: what to say about it, when it is news.
    pub(super) fn presence(&mut self, presence: &Stanza, own: &FullJid) -> Option<String> {
        let from = presence.from()?;
        if *from == *own.as_str() {
            return None;
        }
        let who = printable(from.as_str());
        let bare = from.bare();
        let name = printable(bare.as_str());
        Some(match presence.presence_type() {
            PresenceType::Available => {
                let state = state(presence);
                if !self.note(from, &state) {
                    return None;
                }
                format!("{who} is {state}")
            }
            PresenceType::Unavailable => {
                let is_known =
                    from.to_full().is_some_and(|jid| self.present.remove(&jid).is_some());
                let text = presence.child_text("status").unwrap_or_default();
                if !is_known && text.is_empty() {
                    return None;
                }
                format!("{who} is gone{}", detail(&text))
            }
            PresenceType::Subscribe => {
                format!("{name} asks to see your presence: /accept {name} or /deny {name}")
            }
            PresenceType::Subscribed => format!("{name} lets you see their presence"),
            PresenceType::Unsubscribe => format!("{name} no longer wants to see your presence"),
            PresenceType::Unsubscribed => format!("{name} does not let you see their presence"),
            PresenceType::Error => {
                let error = presence.stanza_error().map(|error| super::show::error(&error));
                format!("presence to {who} came back: {}", error.unwrap_or_default())
            }
            PresenceType::Probe => return None,
        })
    }

    /// True when it is news.
    fn note(&mut self, from: &Jid, state: &str) -> bool {
        let Some(jid) = from.to_full() else { return true };
        let is_full = self.present.len() >= SESSIONS && !self.present.contains_key(&jid);
        if is_full {
            return true;
        }
        self.present.insert(jid, state.to_owned()).is_none_or(|before| before != state)
    }

    /// The one session of somebody that is known; nothing when there are several or none.
    pub(super) fn session_of(&self, somebody: &BareJid) -> Option<Jid> {
        let mut sessions = self.present.keys().filter(|jid| jid.bare() == *somebody);
        let first = sessions.next()?;
        sessions.next().is_none().then(|| Jid::from(first))
    }

    /// What `/roster` shows.
    pub(super) fn contacts(&self) -> Vec<String> {
        self.contacts.values().map(contact).collect()
    }

    /// What `/who` shows.
    pub(super) fn present(&self) -> Vec<String> {
        let line =
            |(jid, state): (&FullJid, &String)| format!("{} is {state}", printable(jid.as_str()));
        self.present.iter().map(line).collect()
    }
}

/// `online`, or `away (at lunch)`.
fn state(presence: &Stanza) -> String {
    let show = presence.child_text("show").unwrap_or_default();
    let state = match show.trim() {
        "away" => "away",
        "xa" => "away for long",
        "dnd" => "busy",
        "chat" => "online and likes to talk",
        _ => "online",
    };
    format!("{state}{}", detail(&presence.child_text("status").unwrap_or_default()))
}

fn detail(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(" ({})", printable(text)) }
}

fn contact(item: &Item) -> String {
    let sees = match item.subscription {
        Subscription::Both => "you see each other",
        Subscription::To => "you see them",
        Subscription::From => "they see you",
        Subscription::None | Subscription::Remove => "you do not see each other",
    };
    let name = detail(item.name.as_deref().unwrap_or_default());
    let asked = if item.ask { ", you have asked" } else { "" };
    format!("{}{name}: {sees}{asked}", printable(item.jid.as_str()))
}

#[cfg(test)]
mod tests {
    use longwire_client::Element;
    use longwire_stanza::ns;

    use super::*;

    const BOB: &str = "bob@b.example/x";

    fn own() -> FullJid {
        FullJid::new("alice@a.example/x").unwrap()
    }

    fn presence(kind: PresenceType, from: &str, show: &str, status: &str) -> Stanza {
        let text = |name, text: &str| Element::new(ns::CLIENT, name).text(text);
        let presence = Stanza::presence(kind).from(Jid::new(from).unwrap());
        let show = (!show.is_empty()).then(|| text("show", show));
        let status = (!status.is_empty()).then(|| text("status", status));
        presence.child_opt(show).child_opt(status).build()
    }

    #[test]
    fn presence_is_told_once_and_remembered_until_it_ends() {
        let mut roll = Roll::default();
        let mut hear =
            |kind, show, status| roll.presence(&presence(kind, BOB, show, status), &own());
        let come = hear(PresenceType::Available, "", "");
        assert_eq!(come.as_deref(), Some("bob@b.example/x is online"));
        assert_eq!(hear(PresenceType::Available, "", ""), None, "no news");
        let away = hear(PresenceType::Available, "away", "at \u{9b}31mlunch");
        assert_eq!(away.as_deref(), Some("bob@b.example/x is away (at 31mlunch)"));
        assert_eq!(roll.present(), ["bob@b.example/x is away (at 31mlunch)"]);
        assert_eq!(roll.session_of(&BareJid::new("bob@b.example").unwrap()), Jid::new(BOB).ok());
        assert_eq!(roll.session_of(&BareJid::new("b.example").unwrap()), None);
        let gone = roll.presence(&presence(PresenceType::Unavailable, BOB, "", ""), &own());
        assert_eq!(gone.as_deref(), Some("bob@b.example/x is gone"));
        assert!(roll.present().is_empty());
        let again = roll.presence(&presence(PresenceType::Unavailable, BOB, "", ""), &own());
        assert_eq!(again, None, "no news");
    }

    #[test]
    fn ones_own_presence_is_no_news() {
        let own_presence = presence(PresenceType::Available, own().as_str(), "", "");
        assert_eq!(Roll::default().presence(&own_presence, &own()), None);
    }

    #[test]
    fn who_asks_is_shown_with_what_to_do() {
        let ask = presence(PresenceType::Subscribe, "bob@b.example", "", "");
        let line = Roll::default().presence(&ask, &own()).unwrap();
        assert!(line.ends_with("/accept bob@b.example or /deny bob@b.example"), "{line}");
    }

    #[test]
    fn the_roster_follows_its_pushes() {
        let mut roll = Roll::default();
        let mut item = Item::new(BareJid::new("bob@b.example").unwrap());
        item.name = Some("Bob\u{7}".to_owned());
        roll.set_roster(Roster { ver: None, items: vec![item.clone()] });
        assert_eq!(roll.contacts(), ["bob@b.example (Bob): you do not see each other"]);
        item.subscription = Subscription::Both;
        let line = roll.push(Roster { ver: None, items: vec![item.clone()] }).unwrap();
        assert_eq!(line, "contact bob@b.example (Bob): you see each other");
        item.subscription = Subscription::Remove;
        let line = roll.push(Roster { ver: None, items: vec![item] }).unwrap();
        assert_eq!(line, "bob@b.example is no contact any more");
        assert!(roll.contacts().is_empty());
    }

    #[test]
    fn remembered_sessions_are_bounded() {
        let mut roll = Roll::default();
        for i in 0..=SESSIONS {
            let jid = format!("bob@b.example/{i}");
            let come = presence(PresenceType::Available, &jid, "", "");
            assert!(roll.presence(&come, &own()).is_some(), "shown all the same");
            assert_eq!(roll.present.len(), (i + 1).min(SESSIONS));
        }
    }
}
