//! Where features declare what they do.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

use longwire_stanza::{Kind, Payload, StanzaError};
use longwire_store::{Record, Scope, Table, TableInfo};
use longwire_xml::{Child, Element};

use crate::clash::Clash;
use crate::disco::{self, Identity};
use crate::event::Event;
use crate::feature::{Entity, Feature, Flow, Phase};
use crate::home::HomeTable;
use crate::port::{Port, Roster};
use crate::registry::{
    Access, Deliver, EventFn, FeatureInfo, Handler, IqFn, Method, Registry, Stage, StageFn, Xep,
};
use crate::turn::Turn;

/// Collects the declarations of all features; [`finish`](Self::finish) checks them together.
pub struct Registrar {
    now: &'static str,
    config: toml::Table,
    clashes: Vec<Clash>,
    send: Vec<Stage>,
    receive: Vec<Stage>,
    table_owners: Vec<(TableInfo, &'static str)>,
    marker: Option<(&'static str, &'static str)>,
    disco_owners: BTreeMap<(Entity, &'static str), &'static str>,
    ports: Vec<Provided>,
    wishes: Vec<Wish>,
    registry: Registry,
}

/// A port and its provider, an `Arc<P>` in a box.
struct Provided {
    port: TypeId,
    feature: &'static str,
    provider: Box<dyn Any + Send>,
}

/// Connects one [`Port`] when all providers are known.
type Wish = Box<dyn FnOnce(&[Provided]) -> Result<(), Clash> + Send>;

type Answer<F, P> = fn(&F, &mut Turn<'_>, P) -> Result<Option<Element>, StanzaError>;

impl Default for Registrar {
    fn default() -> Self {
        Self::new()
    }
}

impl Registrar {
    /// A registrar for features with their default configuration.
    pub fn new() -> Self {
        Self::with_config(toml::Table::new())
    }

    /// A registrar with the table `feature` of the configuration: one table per feature.
    pub fn with_config(features: toml::Table) -> Self {
        let mut registrar = Self {
            now: disco::NAME,
            config: features,
            clashes: Vec::new(),
            send: Vec::new(),
            receive: Vec::new(),
            table_owners: Vec::new(),
            marker: None,
            disco_owners: BTreeMap::new(),
            ports: Vec::new(),
            wishes: Vec::new(),
            registry: Registry::empty(),
        };
        registrar.begin(disco::NAME);
        disco::install(&mut registrar);
        registrar.registry.roster = registrar.want::<dyn Roster>();
        registrar
    }

    /// Adds a feature with its configuration.
    pub fn add<F: Feature>(&mut self) -> &mut Self {
        let config = self.configure::<F>();
        self.begin(F::NAME);
        Arc::new(F::new(config)).install(self);
        self
    }

    /// Adds a feature that was made elsewhere; a table `[feature.NAME]` is still checked.
    pub fn install<F: Feature>(&mut self, feature: F) -> &mut Self {
        self.configure::<F>();
        self.begin(F::NAME);
        Arc::new(feature).install(self);
        self
    }

    /// Names a specification that the feature implements, in the version that was read.
    pub fn xep(&mut self, number: u16, version: &'static str) {
        self.info(|info| info.xeps.push(Xep { number, version }));
    }

    /// Names an RFC that the feature implements.
    pub fn rfc(&mut self, number: u16) {
        self.info(|info| info.rfcs.push(number));
    }

    /// Announces features in service discovery (XEP-0030) and in the capabilities hash.
    pub fn disco(&mut self, entity: Entity, namespaces: &[&'static str]) {
        for ns in namespaces.iter().copied() {
            match self.disco_owners.insert((entity, ns), self.now) {
                Some(first) => {
                    let second = self.now;
                    self.clashes.push(Clash::Disco { entity, ns, first, second });
                }
                None => {
                    self.registry.disco.push((entity, ns));
                    self.info(|info| info.disco.push((entity, ns)));
                }
            }
        }
    }

    /// Announces an identity in service discovery (the categories are in the XMPP registrar's
    /// list). The account and the server have one already.
    pub fn identity(&mut self, entity: Entity, category: &'static str, kind: &'static str) {
        self.registry.identities.push((entity, Identity { category, kind, name: None }));
    }

    pub(crate) fn server_identity(&mut self, identity: Identity) {
        self.registry.identities.push((Entity::Server, identity));
    }

    /// Answers requests of type `get` with the payload `P`: those of an account's own sessions
    /// ([`Entity::Account`]), or those of everybody here to the server ([`Entity::Server`]).
    ///
    /// The turn is that of the home that answers: for the server, the sender's. `Ok(None)` is an
    /// empty result.
    pub fn iq_get<F, P>(&mut self, entity: Entity, feature: &Arc<F>, handler: Answer<F, P>)
    where
        F: Send + Sync + 'static,
        P: Payload + 'static,
    {
        self.iq(entity, Method::Get, Access::Owner, feature, handler);
    }

    /// As [`iq_get`](Self::iq_get), for requests of type `set`.
    pub fn iq_set<F, P>(&mut self, entity: Entity, feature: &Arc<F>, handler: Answer<F, P>)
    where
        F: Send + Sync + 'static,
        P: Payload + 'static,
    {
        self.iq(entity, Method::Set, Access::Owner, feature, handler);
    }

    /// As [`iq_get`](Self::iq_get), for requests that anybody may send to the account's bare
    /// JID; the account answers in its own home. The handler looks at
    /// [`Turn::is_owner`] and decides what to tell to whom.
    pub fn iq_get_public<F, P>(&mut self, entity: Entity, feature: &Arc<F>, handler: Answer<F, P>)
    where
        F: Send + Sync + 'static,
        P: Payload + 'static,
    {
        self.iq(entity, Method::Get, Access::Anyone, feature, handler);
    }

    /// As [`iq_get_public`](Self::iq_get_public), for requests of type `set`.
    pub fn iq_set_public<F, P>(&mut self, entity: Entity, feature: &Arc<F>, handler: Answer<F, P>)
    where
        F: Send + Sync + 'static,
        P: Payload + 'static,
    {
        self.iq(entity, Method::Set, Access::Anyone, feature, handler);
    }

    /// Looks at every stanza that a session of the account sends, and may stop it.
    pub fn screen_send<F>(&mut self, feature: &Arc<F>, stage: fn(&F, &mut Turn<'_>) -> Flow)
    where
        F: Send + Sync + 'static,
    {
        let feature = Arc::clone(feature);
        let run: StageFn = Box::new(move |turn| stage(&feature, turn));
        self.send.push(Stage { phase: Phase::Screen, feature: self.now, run });
    }

    /// Looks at every stanza that comes to the account, and may stop it.
    pub fn screen_receive<F>(&mut self, feature: &Arc<F>, stage: fn(&F, &mut Turn<'_>) -> Flow)
    where
        F: Send + Sync + 'static,
    {
        let feature = Arc::clone(feature);
        let run: StageFn = Box::new(move |turn| stage(&feature, turn));
        self.receive.push(Stage { phase: Phase::Screen, feature: self.now, run });
    }

    /// A stage for every stanza that a session of the account sends: messages, presence and IQs
    /// alike. [`Phase::Screen`] and [`Phase::Deliver`] have declarations of their own.
    pub fn on_send<F>(&mut self, phase: Phase, feature: &Arc<F>, stage: fn(&F, &mut Turn<'_>))
    where
        F: Send + Sync + 'static,
    {
        let stage = self.stage(phase, feature, stage);
        self.send.extend(stage);
    }

    /// A stage for every stanza that comes to the account.
    pub fn on_receive<F>(&mut self, phase: Phase, feature: &Arc<F>, stage: fn(&F, &mut Turn<'_>))
    where
        F: Send + Sync + 'static,
    {
        let stage = self.stage(phase, feature, stage);
        self.receive.extend(stage);
    }

    /// Chooses where messages or presence go (RFC 6121 §8): `send` for what a session sends,
    /// mostly by [`Turn::route`]; `receive` for what comes to the account, mostly by
    /// [`Turn::deliver`]. One feature per kind; IQs are the router's own.
    pub fn deliver<F>(
        &mut self,
        kind: Kind,
        feature: &Arc<F>,
        send: fn(&F, &mut Turn<'_>),
        receive: fn(&F, &mut Turn<'_>),
    ) where
        F: Send + Sync + 'static,
    {
        let (slot, kind) = match kind {
            Kind::Message => (&mut self.registry.message, "message"),
            Kind::Presence => (&mut self.registry.presence, "presence"),
            Kind::Iq => {
                let (first, second) = ("core", self.now);
                return self.clashes.push(Clash::Deliver { kind: "iq", first, second });
            }
        };
        if let Some(owner) = slot {
            let (first, second) = (owner.feature, self.now);
            return self.clashes.push(Clash::Deliver { kind, first, second });
        }
        let (sender, receiver) = (Arc::clone(feature), Arc::clone(feature));
        *slot = Some(Deliver {
            feature: self.now,
            send: Box::new(move |turn| send(&sender, turn)),
            receive: Box::new(move |turn| receive(&receiver, turn)),
        });
    }

    /// Declares a table. Those of accounts are loaded whole into the home, so they hold what is
    /// small and often needed; the values are decoded once.
    pub fn table<K, V>(&mut self, table: &Table<K, V>)
    where
        V: Record + Send + Sync + 'static,
    {
        let info = table.info();
        let known = self.table_owners.iter().find(|(other, _)| other.name == info.name);
        if let Some((other, first)) = known {
            // The marker table may be declared as a table as well.
            if *other != info || *first != self.now {
                let clash = Clash::Table { table: info.name, first, second: self.now };
                self.clashes.push(clash);
            }
            return;
        }
        self.table_owners.push((info, self.now));
        self.info(|feature| feature.tables.push(info.name));
        match info.scope {
            Scope::Account => self.registry.tables.push(HomeTable::new::<V>(info)),
            Scope::Global => self.registry.globals.push(info),
        }
    }

    /// Declares a table of accounts that is not loaded into homes: its feature reads it from the
    /// store. It is still erased with the account.
    pub fn table_on_disk<K, V>(&mut self, table: &Table<K, V>)
    where
        V: Record + Send + Sync + 'static,
    {
        let info = table.info();
        if let Some((_, first)) =
            self.table_owners.iter().find(|(other, _)| other.name == info.name)
        {
            let clash = Clash::Table { table: info.name, first, second: self.now };
            return self.clashes.push(clash);
        }
        self.table_owners.push((info, self.now));
        self.info(|feature| feature.tables.push(info.name));
        self.registry.globals.push(info);
    }

    /// Declares the table that says which accounts exist: those that have a row in it. Without
    /// one no account exists.
    pub fn account_marker<K, V>(&mut self, table: &Table<K, V>)
    where
        V: Record + Send + Sync + 'static,
    {
        if let Some((_, first)) = self.marker {
            self.clashes.push(Clash::Marker { first, second: self.now });
            return;
        }
        self.table(table);
        self.marker = Some((table.name(), self.now));
    }

    /// Whether a feature has declared the marker table.
    pub fn has_account_marker(&self) -> bool {
        self.marker.is_some()
    }

    /// Offers an element in `<stream:features/>` after authentication.
    pub fn stream_feature(&mut self, element: Element) {
        self.registry.stream_features.push(element);
    }

    /// Listens to an event: those of [`event`](crate::event), or one that a feature emits.
    pub fn on<E, F>(&mut self, feature: &Arc<F>, listener: fn(&F, &mut Turn<'_>, &E))
    where
        E: Event,
        F: Send + Sync + 'static,
    {
        let feature = Arc::clone(feature);
        let run: EventFn = Box::new(move |turn, event| {
            if let Some(event) = event.downcast_ref::<E>() {
                listener(&feature, turn, event);
            }
        });
        let name = type_name::<E>().rsplit("::").next().unwrap_or_default();
        self.registry.events.push((TypeId::of::<E>(), self.now, name, run));
    }

    /// Offers a port to the other features; exactly one may.
    pub fn provide<P: ?Sized + Send + Sync + 'static>(&mut self, provider: Arc<P>) {
        let port = TypeId::of::<P>();
        if let Some(other) = self.ports.iter().find(|provided| provided.port == port) {
            let (first, second) = (other.feature, self.now);
            self.clashes.push(Clash::Provider { port: port_name::<P>(), first, second });
            return;
        }
        self.ports.push(Provided { port, feature: self.now, provider: Box::new(provider) });
    }

    /// Uses a port that some feature must provide.
    pub fn require<P: ?Sized + Send + Sync + 'static>(&mut self) -> Port<P> {
        self.wish(true)
    }

    /// Uses a port if some feature provides it.
    pub fn want<P: ?Sized + Send + Sync + 'static>(&mut self) -> Port<P> {
        self.wish(false)
    }

    /// Checks everything and makes the registry.
    ///
    /// # Errors
    /// All contradictions at once; print them and do not start.
    pub fn finish(mut self) -> Result<Registry, Vec<Clash>> {
        for wish in std::mem::take(&mut self.wishes) {
            self.clashes.extend(wish(&self.ports).err());
        }
        for name in std::mem::take(&mut self.config).keys() {
            let nearest = self.nearest(name);
            self.clashes.push(Clash::UnknownFeature { name: name.clone(), nearest });
        }
        if !self.clashes.is_empty() {
            return Err(self.clashes);
        }
        // The sort is stable: within a phase the order of registration stays.
        self.send.sort_by_key(|stage| stage.phase);
        self.receive.sort_by_key(|stage| stage.phase);
        self.registry.send = self.send;
        self.registry.receive = self.receive;
        self.registry.marker = self.marker.and_then(|(name, _)| self.registry.table(name));
        Ok(self.registry)
    }

    fn wish<P: ?Sized + Send + Sync + 'static>(&mut self, needed: bool) -> Port<P> {
        let port = Port::<P>::new();
        let (handle, feature) = (port.clone(), self.now);
        self.wishes.push(Box::new(move |provided| {
            let found = provided.iter().find(|it| it.port == TypeId::of::<P>());
            match found.and_then(|it| it.provider.downcast_ref::<Arc<P>>()) {
                Some(provider) => handle.connect(Arc::clone(provider)),
                None if needed => {
                    return Err(Clash::NoProvider { feature, port: port_name::<P>() });
                }
                None => {}
            }
            Ok(())
        }));
        port
    }

    fn begin(&mut self, name: &'static str) {
        if self.registry.features.iter().any(|info| info.name == name) {
            self.clashes.push(Clash::Feature(name));
        }
        self.now = name;
        self.registry.features.push(FeatureInfo {
            name,
            xeps: Vec::new(),
            rfcs: Vec::new(),
            disco: Vec::new(),
            tables: Vec::new(),
        });
    }

    fn info(&mut self, change: impl FnOnce(&mut FeatureInfo)) {
        if let Some(info) = self.registry.features.last_mut() {
            change(info);
        }
    }

    /// Takes the feature's table out of the configuration.
    fn configure<F: Feature>(&mut self) -> F::Config {
        let mut probe = toml::Table::new();
        probe.insert("no-feature-has-this-key".into(), toml::Value::Boolean(true));
        if probe.try_into::<F::Config>().is_ok() {
            self.clashes.push(Clash::LaxConfig(F::NAME));
        }
        let config = match self.config.remove(F::NAME) {
            None => return F::Config::default(),
            Some(toml::Value::Table(table)) if table.is_empty() => return F::Config::default(),
            Some(toml::Value::Table(table)) => table.try_into().map_err(|error| error.to_string()),
            Some(_) => Err("a table was expected".to_owned()),
        };
        config.unwrap_or_else(|message| {
            let message = message.trim_end().replace('\n', " ");
            self.clashes.push(Clash::Config { feature: F::NAME, message });
            F::Config::default()
        })
    }

    fn stage<F: Send + Sync + 'static>(
        &mut self,
        phase: Phase,
        feature: &Arc<F>,
        stage: fn(&F, &mut Turn<'_>),
    ) -> Option<Stage> {
        if matches!(phase, Phase::Screen | Phase::Deliver) {
            self.clashes.push(Clash::Stage { feature: self.now, phase });
            return None;
        }
        let feature = Arc::clone(feature);
        let run: StageFn = Box::new(move |turn| {
            stage(&feature, turn);
            Flow::Continue
        });
        Some(Stage { phase, feature: self.now, run })
    }

    fn iq<F, P>(
        &mut self,
        entity: Entity,
        method: Method,
        access: Access,
        feature: &Arc<F>,
        handler: Answer<F, P>,
    ) where
        F: Send + Sync + 'static,
        P: Payload + 'static,
    {
        let feature = Arc::clone(feature);
        let run =
            move |turn: &mut Turn<'_>, child: &Child<'_>| handler(&feature, turn, P::parse(child)?);
        self.handle((entity, method, P::NS, P::NAME), access, Box::new(run));
    }

    pub(crate) fn handle(
        &mut self,
        (entity, method, ns, name): (Entity, Method, &'static str, &'static str),
        access: Access,
        run: IqFn,
    ) {
        let handler = Handler { feature: self.now, access, run };
        let key = (entity, method, ns, name);
        let place = match self.registry.find(key) {
            Ok(place) => place,
            Err(place) => return self.registry.iq.insert(place, (key, handler)),
        };
        let first = self.registry.iq.get(place).map_or("", |(_, other)| other.feature);
        let (second, method) = (self.now, method.as_str());
        self.clashes.push(Clash::Iq { entity, method, ns, name, first, second });
    }

    /// The feature whose name differs least, if it is close enough to be a slip.
    fn nearest(&self, name: &str) -> Option<&'static str> {
        let names = self.registry.features.iter().map(|info| info.name);
        let (distance, nearest) = names.map(|known| (distance(known, name), known)).min()?;
        (distance <= 2).then_some(nearest)
    }
}

impl std::fmt::Debug for Registrar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrar").field("now", &self.now).finish_non_exhaustive()
    }
}

fn port_name<P: ?Sized>() -> &'static str {
    type_name::<P>().rsplit("::").next().unwrap_or_default()
}

/// The edit distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let change = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = change.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
