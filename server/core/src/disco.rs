//! Service discovery (XEP-0030) and entity capabilities (XEP-0115), derived from what the features
//! declare.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longwire_stanza::{BareJid, Condition, StanzaError, ns};
use longwire_xml::{Child, Element};
use sha1::{Digest as _, Sha1};

use crate::feature::Entity;
use crate::registrar::Registrar;
use crate::registry::{Access, Method, Registry};
use crate::turn::Turn;

/// The name under which the router's own declarations are listed.
pub(crate) const NAME: &str = "core";

/// The URI that stands for this software in capabilities (XEP-0115 §4).
pub const CAPS_NODE: &str = "urn:longwire:server";

/// An identity (XEP-0030 §3.1); category and type are in the XMPP registrar's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) category: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) name: Option<&'static str>,
}

/// Declares discovery itself.
pub(crate) fn install(r: &mut Registrar) {
    r.rfc(6120);
    r.xep(30, "2.5.0");
    r.xep(115, "1.6.0");
    r.server_identity(Identity { category: "server", kind: "im", name: Some("longwire") });
    r.identity(Entity::Account, "account", "registered");
    for entity in [Entity::Server, Entity::Account] {
        r.disco(entity, &[ns::DISCO_INFO, ns::DISCO_ITEMS]);
        let key = |ns| (entity, Method::Get, ns, "query");
        let info = move |turn: &mut Turn<'_>, query: &Child<'_>| info(turn, entity, query);
        r.handle(key(ns::DISCO_INFO), Access::Anyone, Box::new(info));
        let items = move |turn: &mut Turn<'_>, query: &Child<'_>| items(turn, entity, query);
        r.handle(key(ns::DISCO_ITEMS), Access::Anyone, Box::new(items));
    }
    r.disco(Entity::Server, &[ns::CAPS]);
}

/// What an entity is and can do (XEP-0030 §3).
fn info(
    turn: &Turn<'_>,
    entity: Entity,
    query: &Child<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_access(turn, entity)?;
    let registry = turn.registry();
    let node = query.attribute("node");
    let known = match (entity, node.as_deref()) {
        (_, None) => true,
        (Entity::Server, Some(node)) => node == format!("{CAPS_NODE}#{}", ver(registry)),
        (Entity::Account, Some(_)) => false,
    };
    if !known {
        return Err(Condition::ItemNotFound.into());
    }
    Ok(Some(describe(registry, entity).attr_opt("node", node.as_deref())))
}

/// What belongs to an entity (XEP-0030 §4): nothing yet, as no feature has items.
fn items(
    turn: &Turn<'_>,
    entity: Entity,
    query: &Child<'_>,
) -> Result<Option<Element>, StanzaError> {
    // Refused, a stranger would learn that the account exists (§8).
    if check_access(turn, entity).is_ok() && query.attribute("node").is_some() {
        return Err(Condition::ItemNotFound.into());
    }
    Ok(Some(no_items()))
}

/// The answer of whoever has no items.
pub(crate) fn no_items() -> Element {
    Element::new(ns::DISCO_ITEMS, "query")
}

/// An account shows itself to its owner and to contacts that may see its presence
/// (XEP-0030 §8); to others it looks as if it did not exist.
fn check_access(turn: &Turn<'_>, entity: Entity) -> Result<(), StanzaError> {
    if entity == Entity::Server || turn.is_owner() {
        return Ok(());
    }
    let asker: Option<BareJid> = turn.stanza().from().map(|from| from.bare());
    let roster = turn.registry().roster.clone();
    let subscribed = asker
        .zip(roster.provider())
        .is_some_and(|(asker, roster)| roster.is_subscriber(turn, &asker));
    if subscribed { Ok(()) } else { Err(Condition::ServiceUnavailable.into()) }
}

fn describe(registry: &Registry, entity: Entity) -> Element {
    let identity = |identity: Identity| {
        Element::new(ns::DISCO_INFO, "identity")
            .attr("category", identity.category)
            .attr("type", identity.kind)
            .attr_opt("name", identity.name)
    };
    let feature = |var| Element::new(ns::DISCO_INFO, "feature").attr("var", var);
    Element::new(ns::DISCO_INFO, "query")
        .children(identities(registry, entity).into_iter().map(identity))
        .children(registry.disco(entity).into_iter().map(feature))
}

fn identities(registry: &Registry, entity: Entity) -> Vec<Identity> {
    let of = registry.identities.iter().filter(|(of, _)| *of == entity);
    let mut all: Vec<Identity> = of.map(|(_, identity)| identity.clone()).collect();
    all.sort();
    all
}

/// The server's capabilities, for the stream features (XEP-0115 §6.3).
pub(crate) fn caps(registry: &Registry) -> Element {
    Element::new(ns::CAPS, "c")
        .attr("hash", "sha-1")
        .attr("node", CAPS_NODE)
        .attr("ver", ver(registry))
}

/// The verification string of what the server announces.
fn ver(registry: &Registry) -> String {
    hash(&identities(registry, Entity::Server), &registry.disco(Entity::Server))
}

/// The verification string of sorted identities and features (XEP-0115 §5.1).
fn hash(identities: &[Identity], features: &[&str]) -> String {
    let mut text = String::new();
    for Identity { category, kind, name } in identities {
        text += &format!("{category}/{kind}//{}<", name.unwrap_or_default());
    }
    for feature in features {
        text += feature;
        text.push('<');
    }
    STANDARD.encode(Sha1::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_specification() {
        //= test XEP-0115 §5.2
        let exodus = Identity { category: "client", kind: "pc", name: Some("Exodus 0.9.1") };
        let features = [
            "http://jabber.org/protocol/caps",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "http://jabber.org/protocol/muc",
        ];
        assert_eq!(hash(&[exodus], &features), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }
}
