//! Messages: which sessions get them (RFC 6121 §8.5).
//!
//! The specification leaves a choice for chats to a bare address: here all sessions that share
//! the highest priority get them. Nothing is kept for accounts without sessions yet, so whoever
//! writes to one is told.

use longwire_core::{Feature, NoConfig, Registrar, SessionId, Turn};
use longwire_stanza::{Condition, Jid, Kind, MessageType};
use std::sync::Arc;

/// The feature: owns what happens to messages in both directions.
pub struct Message;

impl Feature for Message {
    const NAME: &'static str = "message";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(6121);
        r.deliver(Kind::Message, &self, Self::send, Self::receive);
    }
}

impl Message {
    //= RFC 6120 §10.3.1: a message to nobody is one to the account itself
    fn send(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let stanza = if stanza.to().is_some() { stanza } else { stanza.with_to(turn.home()) };
        turn.route(stanza);
    }

    fn receive(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let kind = stanza.message_type();
        let resource = stanza.to().and_then(Jid::resource);
        //= RFC 6121 §8.5.3.1
        if let Some(session) = resource.and_then(|resource| turn.session_of(resource)) {
            return turn.deliver(session.id(), stanza);
        }
        let sessions = match (kind, resource) {
            //= RFC 6121 §8.5.2.1.1, and §8.5.3.2.1 for a chat whose session has gone
            (MessageType::Chat, _) | (MessageType::Normal, None) => foremost(turn),
            (MessageType::Headline, None) => welcoming(turn),
            (MessageType::Normal | MessageType::Headline, Some(_))
            | (MessageType::Groupchat | MessageType::Error, _) => Vec::new(),
        };
        if sessions.is_empty() {
            //= RFC 6121 §8.5.2.2.1
            return match kind {
                MessageType::Headline | MessageType::Error => {}
                MessageType::Normal | MessageType::Chat | MessageType::Groupchat => {
                    turn.refuse(Condition::ServiceUnavailable.into());
                }
            };
        }
        for session in sessions {
            turn.deliver(session, stanza.clone());
        }
    }
}

/// The available sessions that take messages to the bare address: those whose priority is not
/// negative (RFC 6121 §8.5.2.1.1).
fn welcoming(turn: &Turn<'_>) -> Vec<SessionId> {
    candidates(turn).map(|(_, id)| id).collect()
}

/// The welcoming sessions that share the highest priority.
fn foremost(turn: &Turn<'_>) -> Vec<SessionId> {
    let highest = candidates(turn).map(|(priority, _)| priority).max();
    candidates(turn).filter(|(priority, _)| Some(*priority) == highest).map(|(_, id)| id).collect()
}

fn candidates(turn: &Turn<'_>) -> impl Iterator<Item = (i8, SessionId)> {
    turn.sessions().into_iter().filter_map(|session| {
        let priority = session.priority().filter(|priority| *priority >= 0)?;
        Some((priority, session.id()))
    })
}
