//! What comes for an account that does not exist: answered as a stranger's stanza to one that
//! does, so that nobody can find out which accounts there are.

use longwire_stanza::{Condition, IqType, Kind, PresenceType, Stanza, ns};

use crate::disco;
use crate::turn::Turn;

/// Handles a stanza that nobody is there for.
///
/// `//= RFC 6121 §8.5.1`
pub(crate) fn receive(turn: &mut Turn<'_>) {
    let stanza = turn.stanza().clone();
    match stanza.kind() {
        Kind::Presence if stanza.presence_type() == PresenceType::Probe => {
            let Some(asker) = stanza.from().map(|from| from.bare()) else { return };
            //= RFC 6121 §4.3.2: whoever still has a subscription loses it
            let ended = Stanza::presence(PresenceType::Unsubscribed).from(turn.home());
            turn.route(ended.to(asker).build());
        }
        Kind::Presence => {}
        Kind::Iq if asks_for_items(&stanza) => turn.reply(stanza.result(Some(disco::no_items()))),
        Kind::Message | Kind::Iq => turn.refuse(Condition::ServiceUnavailable.into()),
    }
}

fn asks_for_items(stanza: &Stanza) -> bool {
    stanza.iq_type() == IqType::Get
        && stanza.to().is_some_and(|to| to.is_bare())
        && stanza.child(ns::DISCO_ITEMS, "query").is_some()
}
