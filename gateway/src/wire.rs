//! What the server speaks below the stanzas, declared so that the documents name it.

use std::sync::Arc;

use longwire_core::{Feature, NoConfig, Registrar};

/// What carries streams.
pub(crate) struct Transports;

impl Feature for Transports {
    const NAME: &'static str = "transports";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(9000);
        r.xep(368, "1.1.0");
        r.xep(467, "0.1.0");
        r.xep(478, "0.2.0");
    }
}

/// How a client logs in and gets its address.
pub(crate) struct Login;

impl Feature for Login {
    const NAME: &'static str = "login";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        for rfc in [4616, 5929, 9266] {
            r.rfc(rfc);
        }
        r.xep(386, "1.1.0");
        r.xep(388, "1.0.4");
        r.xep(440, "1.0.0");
        r.xep(474, "0.5.0");
        r.xep(509, "0.2.0");
    }
}
