//! Ping: the server is there (XEP-0199).

use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, NoConfig, Registrar, Turn};
use longwire_stanza::{StanzaError, ns, xep};
use std::sync::Arc;

/// The feature.
pub struct Ping;

impl Feature for Ping {
    const NAME: &'static str = "ping";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.xep(199, "2.0.1");
        for entity in [Entity::Account, Entity::Server] {
            r.disco(entity, &[ns::PING]);
            r.iq_get(entity, &self, Self::answer);
        }
    }
}

impl Ping {
    fn answer(&self, _: &mut Turn<'_>, _: xep::ping::Ping) -> Result<Option<Element>, StanzaError> {
        Ok(None)
    }
}
