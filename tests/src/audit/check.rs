//! What may be found after a history, and what must not.

use std::collections::BTreeSet;
use std::fmt;

use super::history::{Act, Deed, Entry, History, Relation, Snapshot, Who};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An entry that contradicts itself.
    Shape {
        /// Whose it is.
        who: Who,
        /// About whom.
        whom: Who,
        /// What is wrong.
        what: &'static str,
    },
    /// The two halves of a relation differ.
    Halves {
        /// Who subscribes.
        who: Who,
        /// To whom.
        whom: Who,
        /// What the subscriber finds.
        outward: Relation,
        /// What the other one finds.
        inward: Relation,
    },
    /// Name and groups are none of those that are possible.
    Entry {
        /// Whose it is.
        who: Who,
        /// About whom.
        whom: Who,
        /// What is there.
        found: Entry,
        /// What could be there; the first one was acknowledged last.
        possible: Vec<Entry>,
    },
    /// A subscription is not as far as was acknowledged, or further than anybody went.
    Subscription {
        /// Who subscribes.
        who: Who,
        /// To whom.
        whom: Who,
        /// How far it is.
        found: Relation,
        /// How far it could be.
        possible: BTreeSet<Relation>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { who, whom, what } => write!(f, "{who} about {whom}: {what}"),
            Self::Halves { who, whom, outward, inward } => {
                write!(f, "{who} to {whom}: {outward:?} for the one, {inward:?} for the other")
            }
            Self::Entry { who, whom, found, possible } => {
                write!(f, "{who} about {whom}: found {found:?}, possible {possible:?}")
            }
            Self::Subscription { who, whom, found, possible } => {
                write!(f, "{who} to {whom}: found {found:?}, possible {possible:?}")
            }
        }
    }
}

/// Everything that must not be in what was found after a history.
#[must_use]
pub fn check(history: &History, found: &Snapshot) -> Vec<Violation> {
    let mut violations = Vec::new();
    for who in 0..found.len() {
        shape(found, who, &mut violations);
        for whom in (0..found.len()).filter(|whom| *whom != who) {
            violations.extend(halves(found, who, whom));
            violations.extend(entry(history, found, who, whom));
            violations.extend(subscription(history, found, who, whom));
        }
    }
    violations
}

fn shape(found: &Snapshot, who: Who, violations: &mut Vec<Violation>) {
    let Some(seen) = found.get(who) else { return };
    let mut wrong = |whom, what| violations.push(Violation::Shape { who, whom, what });
    for (&whom, item) in &seen.items {
        if whom == who {
            wrong(whom, "an account is its own contact");
        }
        if item.ask && item.subscription.is_to() {
            wrong(whom, "asks for what is granted");
        }
    }
    for (&whom, &times) in &seen.asking {
        if times > 1 {
            wrong(whom, "one request is shown twice");
        }
        if seen.items.get(&whom).is_some_and(|item| item.subscription.is_from()) {
            wrong(whom, "is asked for what was granted");
        }
    }
}

fn halves(found: &Snapshot, who: Who, whom: Who) -> Option<Violation> {
    let outward = found.get(who)?.outward(whom);
    let inward = found.get(whom)?.inward(who);
    (outward != inward).then_some(Violation::Halves { who, whom, outward, inward })
}

fn entry(history: &History, found: &Snapshot, who: Who, whom: Who) -> Option<Violation> {
    let decided = |act: &Act| match &act.deed {
        Deed::Set(entry) => Some(entry.clone()),
        Deed::Remove => Some(Entry::default()),
        _ => None,
    };
    let mut possible = vec![history.base.get(who).map(|seen| seen.entry(whom)).unwrap_or_default()];
    for act in history.of(who, whom) {
        let Some(entry) = decided(act) else { continue };
        if act.done.is_some() {
            possible.clear();
        }
        possible.push(entry);
    }
    let found = found.get(who)?.entry(whom);
    (!possible.contains(&found)).then_some(Violation::Entry { who, whom, found, possible })
}

fn subscription(history: &History, found: &Snapshot, who: Who, whom: Who) -> Option<Violation> {
    use Relation::{Asked, No, Yes};
    let base = history.base.get(who).map(|seen| seen.outward(whom)).unwrap_or_default();
    let mut possible = BTreeSet::from([base]);
    // From here on the other side's answers count.
    let mut since = 0;
    for act in history.of(who, whom) {
        let reached: &[Relation] = match act.deed {
            // An approval in advance answers at once, and from when it is does not matter.
            Deed::Subscribe => &[Asked, Yes],
            Deed::Unsubscribe | Deed::Remove => &[No],
            Deed::Set(_) | Deed::Subscribed | Deed::Unsubscribed => continue,
        };
        if act.done.is_some() {
            possible.clear();
            since = act.begun;
        }
        possible.extend(reached);
    }
    let answers = history.of(whom, who).filter(|act| act.done.is_none_or(|done| done > since));
    for answer in answers {
        match answer.deed {
            Deed::Subscribed if possible.contains(&Asked) => _ = possible.insert(Yes),
            Deed::Unsubscribed | Deed::Remove => _ = possible.insert(No),
            _ => {}
        }
    }
    let found = found.get(who)?.outward(whom);
    (!possible.contains(&found)).then_some(Violation::Subscription { who, whom, found, possible })
}

#[cfg(test)]
mod tests {
    use longwire_stanza::BareJid;
    use longwire_stanza::xep::roster::{Item, Subscription};

    use super::super::history::Seen;
    use super::*;

    const ALICE: Who = 0;
    const BOB: Who = 1;

    fn named(name: &str) -> Entry {
        Entry { name: Some(name.to_owned()), groups: BTreeSet::from([format!("{name}'s")]) }
    }

    fn item(subscription: Subscription, name: &str) -> Item {
        let mut item = Item::new(BareJid::new("x@y").unwrap());
        item.subscription = subscription;
        item.name = Some(name.to_owned());
        item.groups = vec![format!("{name}'s")];
        item
    }

    /// Alice asked, Bob granted, both gave names; the last deed was not acknowledged.
    fn scene() -> (History, Snapshot) {
        let mut history = History::new(vec![Seen::default(); 3]);
        for (who, whom, deed) in [
            (ALICE, BOB, Deed::Set(named("old"))),
            (ALICE, BOB, Deed::Subscribe),
            (BOB, ALICE, Deed::Subscribed),
            (ALICE, BOB, Deed::Set(named("new"))),
            (BOB, ALICE, Deed::Set(named("al"))),
        ] {
            let number = history.begin(who, whom, deed);
            history.acknowledge(number);
        }
        history.begin(ALICE, BOB, Deed::Set(named("newest")));
        let mut found = vec![Seen::default(); 3];
        found[ALICE].items.insert(BOB, item(Subscription::To, "new"));
        found[BOB].items.insert(ALICE, item(Subscription::From, "al"));
        (history, found)
    }

    fn broken(change: impl FnOnce(&mut Snapshot)) -> Vec<Violation> {
        let (history, mut found) = scene();
        change(&mut found);
        check(&history, &found)
    }

    fn of_alice(found: &mut Snapshot) -> &mut Item {
        found[ALICE].items.get_mut(&BOB).unwrap()
    }

    #[test]
    fn what_was_acknowledged_and_what_was_begun_are_both_right() {
        assert_eq!(broken(|_| {}), []);
        assert_eq!(broken(|found| *of_alice(found) = item(Subscription::To, "newest")), []);
    }

    #[test]
    fn an_acknowledged_name_that_is_lost_is_found() {
        let wrong = [
            broken(|found| *of_alice(found) = item(Subscription::To, "old")),
            broken(|found| of_alice(found).name = None),
            broken(|found| found[BOB].items.get_mut(&ALICE).unwrap().groups.clear()),
            // Half of one change and half of another.
            broken(|found| of_alice(found).groups = vec!["newest's".to_owned()]),
        ];
        for violations in wrong {
            assert!(matches!(violations[..], [Violation::Entry { .. }]), "{violations:?}");
        }
    }

    #[test]
    fn halves_that_differ_are_found() {
        let wrong = [
            broken(|found| of_alice(found).subscription = Subscription::Both),
            broken(|found| {
                found[BOB].items.get_mut(&ALICE).unwrap().subscription = Subscription::None;
            }),
            broken(|found| _ = found[2].asking.insert(ALICE, 1)),
        ];
        for violations in wrong {
            assert!(matches!(violations[..], [Violation::Halves { .. }]), "{violations:?}");
        }
    }

    #[test]
    fn an_acknowledged_request_that_is_lost_on_both_sides_is_found() {
        let mut history = History::new(vec![Seen::default(); 2]);
        let number = history.begin(ALICE, BOB, Deed::Subscribe);
        let nothing = vec![Seen::default(); 2];
        assert_eq!(check(&history, &nothing), []);
        history.acknowledge(number);
        let lost = check(&history, &nothing);
        assert!(matches!(lost[..], [Violation::Subscription { .. }]), "{lost:?}");
        // A refusal explains it, as long as it is not older than the request.
        let denied = history.begin(BOB, ALICE, Deed::Unsubscribed);
        history.acknowledge(denied);
        assert_eq!(check(&history, &nothing), []);
        let again = history.begin(ALICE, BOB, Deed::Subscribe);
        history.acknowledge(again);
        assert_eq!(check(&history, &nothing).len(), 1);
        history.refuse(again);
        assert_eq!(check(&history, &nothing), []);
    }

    #[test]
    fn a_subscription_that_came_from_nowhere_is_found() {
        let history = History::new(vec![Seen::default(); 2]);
        let mut found = vec![Seen::default(); 2];
        found[ALICE].items.insert(BOB, Item::new(BareJid::new("x@y").unwrap()));
        assert_eq!(check(&history, &found), []);
        found[ALICE].items.get_mut(&BOB).unwrap().ask = true;
        found[BOB].asking.insert(ALICE, 1);
        let conjured = check(&history, &found);
        assert!(matches!(conjured[..], [Violation::Subscription { .. }]), "{conjured:?}");
    }

    #[test]
    fn entries_that_contradict_themselves_are_found() {
        let wrong = [
            broken(|found| of_alice(found).ask = true),
            broken(|found| _ = found[BOB].asking.insert(ALICE, 1)),
            broken(|found| _ = found[2].items.insert(2, item(Subscription::None, ""))),
        ];
        for violations in wrong {
            assert!(matches!(violations[..], [Violation::Shape { .. }, ..]), "{violations:?}");
        }
        let mut twice = vec![Seen::default(); 2];
        twice[ALICE].items.insert(BOB, Item::new(BareJid::new("x@y").unwrap()));
        twice[ALICE].items.get_mut(&BOB).unwrap().ask = true;
        twice[BOB].asking.insert(ALICE, 2);
        let violations = check(&History::new(twice.clone()), &twice);
        assert!(matches!(violations[..], [Violation::Shape { .. }]), "{violations:?}");
    }
}
