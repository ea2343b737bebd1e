//! What can be wrong with a set of features; all of it is found at start and reported together.

use crate::feature::{Entity, Phase};

/// One contradiction between features, or between a feature and its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Clash {
    /// Two features of the same name.
    #[error("feature {0} was added twice")]
    Feature(&'static str),
    /// Two handlers for one request.
    #[error("{method} {{{ns}}}{name} of the {entity} is handled by {first} and by {second}")]
    Iq {
        /// Whose request.
        entity: Entity,
        /// `get` or `set`.
        method: &'static str,
        /// The payload's namespace.
        ns: &'static str,
        /// The payload's name.
        name: &'static str,
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// Two features announce the same disco feature.
    #[error("{ns} of the {entity} is announced by {first} and by {second}")]
    Disco {
        /// Who has the feature.
        entity: Entity,
        /// The feature.
        ns: &'static str,
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// Two tables of the same name.
    #[error("table {table} is declared by {first} and by {second}")]
    Table {
        /// The name.
        table: &'static str,
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// Two features say which accounts exist.
    #[error("the table that marks accounts is declared by {first} and by {second}")]
    Marker {
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// Two features choose the sessions for one kind of stanza.
    #[error("{kind} is delivered by {first} and by {second}")]
    Deliver {
        /// The kind of stanza.
        kind: &'static str,
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// A stage in a phase that has an owner or stages of its own kind.
    #[error(
        "{feature} has a plain stage in phase {phase:?}: use screen_send, screen_receive or deliver"
    )]
    Stage {
        /// Whose stage.
        feature: &'static str,
        /// The phase.
        phase: Phase,
    },
    /// Two providers of one port.
    #[error("port {port} is provided by {first} and by {second}")]
    Provider {
        /// The trait.
        port: &'static str,
        /// Who came first.
        first: &'static str,
        /// Who came second.
        second: &'static str,
    },
    /// A port that a feature needs has no provider.
    #[error("{feature} needs port {port}, which nobody provides")]
    NoProvider {
        /// Who needs it.
        feature: &'static str,
        /// The trait.
        port: &'static str,
    },
    /// The table `[feature.NAME]` is wrong.
    #[error("[feature.{feature}]: {message}")]
    Config {
        /// Whose table.
        feature: &'static str,
        /// What is wrong, with the key.
        message: String,
    },
    /// A feature would not notice misspelt keys.
    #[error("the configuration of {0} must deny unknown fields")]
    LaxConfig(&'static str),
    /// A table `[feature.NAME]` for a feature that does not exist.
    #[error("[feature.{name}]: there is no such feature{}", hint(.nearest))]
    UnknownFeature {
        /// The name in the configuration.
        name: String,
        /// The feature that was perhaps meant.
        nearest: Option<&'static str>,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
