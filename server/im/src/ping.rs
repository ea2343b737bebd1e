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

#[cfg(test)]
mod tests {
    use crate::testing::{assert_error, assert_like, online, scene};

    //= test XEP-0199 §4.2
    #[test]
    fn the_server_and_the_own_account_answer() {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        for to in ["to='a.example'", "to='alice@a.example'", ""] {
            let answer =
                alice.ask(&format!("<iq type='get' {to}><ping xmlns='urn:xmpp:ping'/></iq>"));
            let from = to.replace("to=", "from=");
            assert_like(
                &answer,
                &format!("<iq type='result' id='*' {from} to='alice@a.example/phone'/>"),
            );
        }
    }

    //= test XEP-0199 §4.4
    #[test]
    fn a_ping_to_a_session_is_the_session_s_to_answer() {
        let scene = scene();
        let alice = online(&scene, "alice@a.example/phone");
        let bob = online(&scene, "bob@b.example/desk");
        alice.send(
            "<iq type='get' id='p' to='bob@b.example/desk'><ping xmlns='urn:xmpp:ping'/></iq>",
        );
        bob.expect(
            "<iq type='get' id='p' from='alice@a.example/phone' to='bob@b.example/desk'>\
             <ping xmlns='urn:xmpp:ping'/></iq>",
        );
        alice.expect_nothing();
        let gone = "<iq type='get' to='bob@b.example/gone'><ping xmlns='urn:xmpp:ping'/></iq>";
        assert_error(&alice.ask(gone), "service-unavailable", "cancel");
    }
}
