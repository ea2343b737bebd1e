//! Software version: what the server is (XEP-0092).

use longwire_core::xml::Element;
use longwire_core::{Entity, Feature, Registrar, Turn};
use longwire_stanza::xep::version::{Request, Version as Answer};
use longwire_stanza::{Payload, StanzaError, ns};
use serde::Deserialize;
use std::sync::Arc;

/// The feature, with what it tells.
pub struct Version(VersionConfig);

/// What the server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VersionConfig {
    /// The name of the software; `longwire` unless set.
    pub name: String,
    /// Its version; an empty text hides it.
    pub version: String,
    /// The operating system; not told unless set.
    pub os: Option<String>,
}

impl Default for VersionConfig {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name: "longwire".to_owned(), version, os: None }
    }
}

impl Feature for Version {
    const NAME: &'static str = "version";
    type Config = VersionConfig;

    fn new(config: VersionConfig) -> Self {
        Self(config)
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.xep(92, "1.1");
        r.disco(Entity::Server, &[ns::VERSION]);
        r.iq_get(Entity::Server, &self, Self::answer);
    }
}

impl Version {
    fn answer(&self, _: &mut Turn<'_>, _: Request) -> Result<Option<Element>, StanzaError> {
        let VersionConfig { name, version, os } = self.0.clone();
        Ok(Some(Answer { name, version, os }.element()))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{assert_like, scene};
    use longwire_core::testkit::{Scene, Setting};

    const ASK: &str = "<iq type='get' to='a.example'><query xmlns='jabber:iq:version'/></iq>";

    //= test XEP-0092 §3
    #[test]
    fn the_server_names_itself_and_not_its_host() {
        let scene = scene();
        let alice = scene.session("alice@a.example/phone");
        let version = env!("CARGO_PKG_VERSION");
        assert_like(
            &alice.ask(ASK),
            &format!(
                "<iq type='result' id='*' from='a.example' to='alice@a.example/phone'>\
                 <query xmlns='jabber:iq:version'><name>longwire</name>\
                 <version>{version}</version></query></iq>"
            ),
        );
    }

    #[test]
    fn an_operator_decides_what_is_told() {
        let config = "[version]\nname = 'example'\nversion = ''\nos = 'a secret'";
        let setting = Setting { config, ..Setting::default() };
        let scene = Scene::set(setting, crate::features);
        let alice = scene.session("alice@a.example/phone");
        assert_like(
            &alice.ask(ASK),
            "<iq type='result' id='*' from='a.example' to='alice@a.example/phone'>\
             <query xmlns='jabber:iq:version'><name>example</name><version/>\
             <os>a secret</os></query></iq>",
        );
    }
}
