//! STARTTLS (RFC 6120 §5).

use longwire_xml::{Child, Element};

use super::{Payload, empty, expect};
use crate::{StanzaError, ns};

/// The stream feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Whether nothing else is possible before.
    pub required: bool,
}

impl Payload for Feature {
    const NS: &'static str = ns::TLS;
    const NAME: &'static str = "starttls";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let feature = Element::new(Self::NS, Self::NAME);
        if self.required { feature.child(Element::new(Self::NS, "required")) } else { feature }
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { required: element.find(Self::NS, "required").is_some() })
    }
}

empty!(
    /// The client begins.
    StartTls, ns::TLS, "starttls"
);
empty!(
    /// The server agrees: TLS begins behind this element.
    Proceed, ns::TLS, "proceed"
);
empty!(
    /// The server cannot: it closes the stream.
    Failure, ns::TLS, "failure"
);
