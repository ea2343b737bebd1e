//! Instant authentication by pipelining (XEP-0509): a client that knows what the server will
//! offer does not wait for it.

use longwire_xml::{Child, Element};

use super::{Payload, expect, owned, required};
use crate::{StanzaError, ns};

/// The version of what a server offers: a stream feature, and what a client assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    /// How the value was made; absent means `opaque`.
    pub scheme: Option<String>,
    /// The version.
    pub value: String,
}

impl ConfigVersion {
    /// A version that means nothing to a client.
    pub fn opaque(value: impl Into<String>) -> Self {
        Self { scheme: None, value: value.into() }
    }

    /// Whether both name the same offer: the same value in the same scheme.
    pub fn matches(&self, other: &Self) -> bool {
        let scheme = |version: &Self| version.scheme.as_deref().unwrap_or("opaque").to_owned();
        self.value == other.value && scheme(self) == scheme(other)
    }
}

impl Payload for ConfigVersion {
    const NS: &'static str = ns::PIPELINING;
    const NAME: &'static str = "config-version";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME)
            .attr_opt("scheme", self.scheme.as_deref())
            .attr("value", &*self.value)
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { scheme: owned(element, "scheme"), value: required(element, "value")?.to_owned() })
    }
}

/// The application-specific condition of the failure that answers a wrong assumption.
pub fn mismatch() -> Element {
    Element::new(ns::PIPELINING, "config-version-mismatch")
}
