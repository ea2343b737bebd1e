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
