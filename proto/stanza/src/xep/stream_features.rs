//! Stream features (RFC 6120 §4.3.2).

use longwire_xml::{Child, Element};

use super::{Payload, expect};
use crate::{StanzaError, ns};

/// What a server offers on a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// One element for each feature, in the server's order.
    pub elements: Vec<Element>,
}

impl Features {
    /// The same features and one more.
    #[must_use]
    pub fn with(mut self, element: Element) -> Self {
        self.elements.push(element);
        self
    }

    /// The feature with this element.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.elements.iter().find(|e| e.ns() == namespace && e.name() == name)
    }

    /// The feature that this payload reads, if it is offered and sound.
    pub fn get<P: Payload>(&self) -> Option<P> {
        self.find(P::NS, P::NAME).and_then(|element| P::from_element(element).ok())
    }
}

impl Payload for Features {
    const NS: &'static str = ns::STREAMS;
    const NAME: &'static str = "features";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).children(self.elements.iter().cloned())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { elements: element.child_elements().cloned().collect() })
    }
}

/// The server keeps versions of rosters (RFC 6121 §2.6.1).
pub fn roster_versioning() -> Element {
    Element::new(ns::ROSTER_VERSIONING, "ver")
}

/// Subscriptions can be approved before they are asked for (RFC 6121 §3.4).
pub fn pre_approval() -> Element {
    Element::new(ns::PRE_APPROVAL, "sub")
}
