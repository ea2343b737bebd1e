//! IQs: the router's own kind (RFC 6120 §8.2.3). Every request is answered exactly once.

use longwire_stanza::{Condition, Stanza, StanzaError};

use crate::feature::Entity;
use crate::registry::{Access, Method};
use crate::route::{Destination, destination};
use crate::turn::Turn;

/// Handles an IQ that a session sent.
pub(crate) fn send(turn: &mut Turn<'_>) {
    let stanza = turn.stanza().clone();
    let entity = match stanza.to() {
        None => Some(Entity::Account),
        Some(to) => match destination(to, turn.hosts()) {
            Destination::Server => Some(Entity::Server),
            Destination::Home(home) if home == *turn.home() && to.is_bare() => {
                Some(Entity::Account)
            }
            Destination::Home(_) | Destination::Remote => None,
        },
    };
    let Some(entity) = entity else {
        return turn.route(stanza);
    };
    // An answer to the server or to the account answers a push, which nobody waits for.
    if let Some(method) = Method::of(stanza.iq_type()) {
        answer(turn, &stanza, entity, method);
    }
}

/// Handles an IQ that came to the account.
pub(crate) fn receive(turn: &mut Turn<'_>) {
    let stanza = turn.stanza().clone();
    let method = Method::of(stanza.iq_type());
    match stanza.to().and_then(|to| to.resource()) {
        None => {
            if let Some(method) = method {
                answer(turn, &stanza, Entity::Account, method);
            }
        }
        Some(resource) => match turn.session_of(resource) {
            Some(session) => turn.deliver(session.id(), stanza),
            None if method.is_some() => turn.refuse(Condition::ServiceUnavailable.into()),
            None => {}
        },
    }
}

/// Lets the one handler of the payload answer.
fn answer(turn: &mut Turn<'_>, stanza: &Stanza, entity: Entity, method: Method) {
    let registry = turn.registry();
    let Some(payload) = stanza.payload() else {
        return turn.refuse(Condition::BadRequest.into());
    };
    let handler =
        registry.handler(entity, method, payload.namespace(), payload.name()).filter(|handler| {
            entity == Entity::Server || handler.access == Access::Anyone || turn.is_owner()
        });
    // What a stranger may not ask for looks like what does not exist.
    let Some(handler) = handler else {
        return turn.refuse(StanzaError::new(Condition::ServiceUnavailable));
    };
    // The answer comes first, then what follows from the request (RFC 6121 §2.3.2).
    let before = turn.deliveries();
    match (handler.run)(turn, &payload) {
        Ok(content) => turn.reply_before(before, stanza.result(content)),
        Err(error) => turn.refuse(error),
    }
}
