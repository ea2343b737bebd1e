//! The finished set of features, and everything that is derived from it.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use longwire_stanza::{IqType, Kind, StanzaError};
use longwire_store::{Scope, TableInfo};
use longwire_xml::{Child, Element};
use serde::Serialize;

use crate::disco::Identity;
use crate::feature::{Entity, Flow, Phase};
use crate::handoff;
use crate::home::HomeTable;
use crate::port::{Port, Roster};
use crate::turn::Turn;

pub(crate) type StageFn = Box<dyn Fn(&mut Turn<'_>) -> Flow + Send + Sync>;
pub(crate) type DeliverFn = Box<dyn Fn(&mut Turn<'_>) + Send + Sync>;
pub(crate) type EventFn = Box<dyn Fn(&mut Turn<'_>, &dyn Any) + Send + Sync>;
pub(crate) type IqFn =
    Box<dyn Fn(&mut Turn<'_>, &Child<'_>) -> Result<Option<Element>, StanzaError> + Send + Sync>;

/// A stage of one of the two paths.
pub(crate) struct Stage {
    pub(crate) phase: Phase,
    pub(crate) feature: &'static str,
    pub(crate) run: StageFn,
}

/// Who chooses the sessions for a kind of stanza.
pub(crate) struct Deliver {
    pub(crate) feature: &'static str,
    pub(crate) send: DeliverFn,
    pub(crate) receive: DeliverFn,
}

/// A request that needs an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Get,
    Set,
}

impl Method {
    pub(crate) fn of(kind: IqType) -> Option<Self> {
        match kind {
            IqType::Get => Some(Self::Get),
            IqType::Set => Some(Self::Set),
            IqType::Result | IqType::Error => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }
}

/// Who may send a request to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The account's own sessions.
    Owner,
    /// Everybody; the handler decides.
    Anyone,
}

/// Who answers a request.
pub(crate) struct Handler {
    pub(crate) feature: &'static str,
    pub(crate) access: Access,
    pub(crate) run: IqFn,
}

/// Payload names of one entity and method.
pub(crate) type IqKey = (Entity, Method, &'static str, &'static str);

/// A feature as the server describes itself to people and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureInfo {
    /// The feature's name.
    pub name: &'static str,
    /// The specifications that it implements.
    pub xeps: Vec<Xep>,
    /// The RFCs that it implements.
    pub rfcs: Vec<u16>,
    /// What it announces in service discovery.
    pub disco: Vec<(Entity, &'static str)>,
    /// Its tables.
    pub tables: Vec<&'static str>,
}

/// A specification and the version of it that is implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Xep {
    /// The number.
    pub number: u16,
    /// The version.
    pub version: &'static str,
}

/// The finished, immutable set of features.
pub struct Registry {
    pub(crate) features: Vec<FeatureInfo>,
    pub(crate) send: Vec<Stage>,
    pub(crate) receive: Vec<Stage>,
    pub(crate) message: Option<Deliver>,
    pub(crate) presence: Option<Deliver>,
    /// Sorted by key.
    pub(crate) iq: Vec<(IqKey, Handler)>,
    pub(crate) events: Vec<(TypeId, &'static str, &'static str, EventFn)>,
    /// The tables that are loaded with a home.
    pub(crate) tables: Vec<HomeTable>,
    /// Tables that are not: the server's, and those of accounts that stay on the disk.
    pub(crate) globals: Vec<TableInfo>,
    pub(crate) marker: Option<usize>,
    pub(crate) disco: Vec<(Entity, &'static str)>,
    pub(crate) identities: Vec<(Entity, Identity)>,
    pub(crate) stream_features: Vec<Element>,
    pub(crate) roster: Port<dyn Roster>,
}

impl Registry {
    pub(crate) fn empty() -> Self {
        Self {
            features: Vec::new(),
            send: Vec::new(),
            receive: Vec::new(),
            message: None,
            presence: None,
            iq: Vec::new(),
            events: Vec::new(),
            tables: Vec::new(),
            globals: Vec::new(),
            marker: None,
            disco: Vec::new(),
            identities: Vec::new(),
            stream_features: Vec::new(),
            roster: Port::new(),
        }
    }

    /// Every stage in the order in which it runs, and every request handler; for a snapshot test,
    /// so that any change of the order is seen.
    pub fn order_table(&self) -> String {
        let mut out = String::new();
        for (path, stages) in [("send", &self.send), ("receive", &self.receive)] {
            let (before, after): (Vec<_>, Vec<_>) =
                stages.iter().partition(|stage| stage.phase < Phase::Deliver);
            let line = |out: &mut String, phase: Phase, feature: &str| {
                let _ = writeln!(out, "{path:8}{phase:<9}{feature}", phase = format!("{phase:?}"));
            };
            before.iter().for_each(|stage| line(&mut out, stage.phase, stage.feature));
            let owner = |owner: &Option<Deliver>| owner.as_ref().map_or("core", |o| o.feature);
            for (kind, feature) in [
                ("message", owner(&self.message)),
                ("presence", owner(&self.presence)),
                ("iq", "core"),
            ] {
                line(&mut out, Phase::Deliver, &format!("{feature} ({kind})"));
            }
            after.iter().for_each(|stage| line(&mut out, stage.phase, stage.feature));
        }
        for ((entity, method, ns, name), handler) in &self.iq {
            let access = match handler.access {
                Access::Owner => "",
                Access::Anyone if *entity == Entity::Server => "",
                Access::Anyone => " (anyone)",
            };
            let (method, feature) = (method.as_str(), handler.feature);
            let _ = writeln!(out, "iq      {entity:<9}{method} {{{ns}}}{name} {feature}{access}");
        }
        for (_, feature, event, _) in &self.events {
            let _ = writeln!(out, "event   {event} {feature}");
        }
        out
    }

    /// What is installed, in the order of the registration list.
    pub fn features(&self) -> &[FeatureInfo] {
        &self.features
    }

    /// Every specification that is implemented, sorted, with the features that do it: what
    /// `doap.xml` and the documentation are made from.
    pub fn implemented(&self) -> BTreeMap<Xep, Vec<&'static str>> {
        let mut all: BTreeMap<Xep, Vec<&'static str>> = BTreeMap::new();
        for feature in &self.features {
            for xep in &feature.xeps {
                all.entry(*xep).or_default().push(feature.name);
            }
        }
        all
    }

    /// Every table, the router's own included: what the store is opened with.
    pub fn tables(&self) -> Vec<TableInfo> {
        let mut all = self.account_tables();
        all.extend(self.globals.iter().filter(|table| table.scope == Scope::Global));
        all
    }

    /// The tables whose rows belong to accounts and are erased with them.
    pub fn account_tables(&self) -> Vec<TableInfo> {
        let mut all = vec![handoff::TABLE.info()];
        all.extend(self.tables.iter().map(|table| table.info));
        all.extend(self.globals.iter().filter(|table| table.scope == Scope::Account));
        all
    }

    /// The table whose row says that an account exists.
    pub(crate) fn marker_table(&self) -> Option<TableInfo> {
        self.marker.and_then(|at| self.tables.get(at)).map(|table| table.info)
    }

    /// The elements to offer in `<stream:features/>` after authentication, capabilities
    /// (XEP-0115 §6.3) included.
    pub fn stream_features(&self) -> Vec<Element> {
        let mut all = self.stream_features.clone();
        all.push(crate::disco::caps(self));
        all
    }

    /// The disco features of an entity, sorted.
    pub fn disco(&self, entity: Entity) -> Vec<&'static str> {
        let mut all: Vec<_> =
            self.disco.iter().filter(|(of, _)| *of == entity).map(|(_, ns)| *ns).collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn deliver(&self, kind: Kind) -> Option<&Deliver> {
        match kind {
            Kind::Message => self.message.as_ref(),
            Kind::Presence => self.presence.as_ref(),
            Kind::Iq => None,
        }
    }

    pub(crate) fn handler(
        &self,
        entity: Entity,
        method: Method,
        ns: &str,
        name: &str,
    ) -> Option<&Handler> {
        let at = self.find((entity, method, ns, name)).ok()?;
        self.iq.get(at).map(|(_, handler)| handler)
    }

    /// Where a handler is, or belongs.
    pub(crate) fn find(&self, key: (Entity, Method, &str, &str)) -> Result<usize, usize> {
        self.iq.binary_search_by(|(known, _)| {
            let (entity, method, ns, name) = *known;
            (entity, method, ns, name).cmp(&key)
        })
    }

    pub(crate) fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.info.name == name)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("features", &self.features).finish_non_exhaustive()
    }
}
