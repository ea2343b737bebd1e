//! Clashes, configuration, and what is derived.

use serde::Deserialize;

use super::*;
use crate::{Clash, Registry, Xep};

/// Declares the same as the features of this module, once more.
struct Rival;

impl Feature for Rival {
    const NAME: &'static str = "rival";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.disco(Entity::Account, &[Note::NS]);
        r.table(&Table::<(), u64>::account("notes", 1));
        r.iq_set(Entity::Account, &self, |_: &Self, _, _: Note| Ok(None));
        r.deliver(Kind::Message, &self, |_, _| (), |_, _| ());
        r.deliver(Kind::Iq, &self, |_, _| (), |_, _| ());
        r.on_send(Phase::Screen, &self, |_, _| ());
        r.on_receive(Phase::Deliver, &self, |_, _| ());
        r.provide::<dyn Roster>(Arc::new(Friends));
        r.require::<dyn Nowhere>();
    }
}

trait Nowhere: Send + Sync {}

#[test]
fn all_clashes_are_found_and_reported_together() {
    let config = "[rivall]\n[talk]\nvolume = 11\n[notes]\n".parse().unwrap();
    let mut registrar = Registrar::with_config(config);
    cast(&mut registrar);
    registrar.add::<Rival>().add::<Rival>();
    let clashes = registrar.finish().expect_err("clashes");
    let text: Vec<String> = clashes.iter().map(ToString::to_string).collect();
    for expected in [
        "feature rival was added twice",
        "urn:test:note of the account is announced by notes and by rival",
        "table notes is declared by notes and by rival",
        "set {urn:test:note}note of the account is handled by notes and by rival",
        "message is delivered by talk and by rival",
        "iq is delivered by core and by rival",
        "rival has a plain stage in phase Screen: use screen_send, screen_receive or deliver",
        "rival has a plain stage in phase Deliver: use screen_send, screen_receive or deliver",
        "port Roster is provided by friends and by rival",
        "rival needs port Nowhere, which nobody provides",
        "[feature.rivall]: there is no such feature; did you mean rival?",
    ] {
        assert!(text.iter().any(|line| line == expected), "{expected:?} is not in {text:#?}");
    }
    let wrong_key = text.iter().find(|line| line.starts_with("[feature.talk]")).unwrap();
    assert!(wrong_key.contains("volume"), "{wrong_key}");
}

/// Has something to set.
struct Limited {
    config: LimitedConfig,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct LimitedConfig {
    bound: u32,
}

impl Default for LimitedConfig {
    fn default() -> Self {
        Self { bound: 5 }
    }
}

impl Feature for Limited {
    const NAME: &'static str = "limited";
    type Config = LimitedConfig;

    fn new(config: LimitedConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        let name = if self.config.bound == 5 { "urn:test:five" } else { "urn:test:other" };
        r.disco(Entity::Server, &[name]);
    }
}

/// Would not notice a misspelt key.
struct Lax;

#[derive(Default, Deserialize)]
struct LaxConfig {}

impl Feature for Lax {
    const NAME: &'static str = "lax";
    type Config = LaxConfig;

    fn new(_: LaxConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, _: &mut Registrar) {}
}

fn limited(config: &str) -> Result<Registry, Vec<Clash>> {
    let mut registrar = Registrar::with_config(config.parse().unwrap());
    registrar.add::<Limited>();
    registrar.finish()
}

#[test]
fn a_feature_gets_its_own_table_of_the_configuration() {
    let announced = |config| limited(config).unwrap().disco(Entity::Server);
    for config in ["", "[limited]", "[limited]\nbound = 5"] {
        assert!(announced(config).contains(&"urn:test:five"), "{config}");
    }
    assert!(announced("[limited]\nbound = 6").contains(&"urn:test:other"));
    for config in ["limited = 5", "[limited]\nbound = -1", "[limited]\nbund = 6"] {
        let clashes = limited(config).expect_err(config);
        assert!(
            matches!(clashes[..], [Clash::Config { feature: "limited", .. }]),
            "{config}: {clashes:?}"
        );
    }
}

#[test]
fn a_configuration_that_swallows_unknown_keys_is_refused() {
    let mut registrar = Registrar::new();
    registrar.add::<Lax>();
    assert_eq!(registrar.finish().expect_err("a clash"), [Clash::LaxConfig("lax")]);
}

#[test]
fn the_order_of_everything_is_printed() {
    let mut registrar = Registrar::new();
    cast(&mut registrar);
    let registry = registrar.finish().unwrap();
    let expected = "\
send    Screen   faults
send    Archive  talk
send    Deliver  talk (message)
send    Deliver  friends (presence)
send    Deliver  core (iq)
send    Notify   faults
receive Archive  talk
receive Deliver  talk (message)
receive Deliver  friends (presence)
receive Deliver  core (iq)
receive Notify   faults
iq      account  get {http://jabber.org/protocol/disco#info}query core (anyone)
iq      account  get {http://jabber.org/protocol/disco#items}query core (anyone)
iq      account  get {urn:test:note}note notes (anyone)
iq      account  set {urn:test:note}note notes
iq      server   get {http://jabber.org/protocol/disco#info}query core
iq      server   get {http://jabber.org/protocol/disco#items}query core
iq      server   get {urn:test:note}note notes
event   SessionUp talk
event   SessionDown talk
";
    assert_eq!(registry.order_table(), expected);
}

#[test]
fn tables_and_specifications_are_known_from_the_declarations() {
    let mut registrar = Registrar::new();
    cast(&mut registrar);
    let registry = registrar.finish().unwrap();
    let names: Vec<&str> = registry.account_tables().iter().map(|table| table.name).collect();
    let expected =
        ["core_handoff", "talk_sent", "talk_filed", "notes", "friends_asked", "friends_asking"];
    assert_eq!(names, expected);
    assert_eq!(registry.tables(), registry.account_tables());
    let talk = registry.features().iter().find(|info| info.name == "talk").unwrap();
    assert_eq!(talk.xeps, [Xep { number: 85, version: "2.1" }]);
    assert_eq!(talk.tables, ["talk_sent", "talk_filed"]);
    let notes = registry.features().iter().find(|info| info.name == "notes").unwrap();
    assert_eq!(notes.disco, [(Entity::Account, Note::NS)]);
    let chat_states = Xep { number: 85, version: "2.1" };
    assert_eq!(registry.implemented().get(&chat_states), Some(&vec!["talk"]));
    let json = serde_json::to_value(registry.features()).unwrap();
    assert_eq!(json[0]["name"], "core");
}
