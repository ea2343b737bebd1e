//! Session establishment: a request that means nothing any longer (RFC 3921 §3).
//!
//! Clients of RFC 3921 wait for the answer before they do anything else.

use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, NoConfig, Registrar, Turn};
use longwire_stanza::{StanzaError, xep};
use std::sync::Arc;

/// The feature.
pub struct Session;

impl Feature for Session {
    const NAME: &'static str = "session";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        for entity in [Entity::Account, Entity::Server] {
            r.iq_set(entity, &self, Self::answer);
        }
    }
}

impl Session {
    fn answer(
        &self,
        _: &mut Turn<'_>,
        _: xep::session::Session,
    ) -> Result<Option<Element>, StanzaError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{assert_like, scene};

    #[test]
    fn an_old_client_gets_its_session() {
        let scene = scene();
        let alice = scene.session("alice@a.example/phone");
        for to in ["", "to='a.example'"] {
            let answer = alice.ask(&format!(
                "<iq type='set' {to}><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
            ));
            let from = to.replace("to=", "from=");
            assert_like(
                &answer,
                &format!("<iq type='result' id='*' {from} to='alice@a.example/phone'/>"),
            );
        }
    }
}
