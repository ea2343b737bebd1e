//! Resource binding (RFC 6120 §7).

use longwire_xml::{Child, Element};

use super::{Payload, child_text, expect, text_child};
use crate::{Condition, FullJid, StanzaError, ns};

/// Give this stream a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The resource that the client would like to have.
    pub resource: Option<String>,
}

impl Payload for Request {
    const NS: &'static str = ns::BIND;
    const NAME: &'static str = "bind";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        text_child(Element::new(Self::NS, Self::NAME), "resource", self.resource.as_deref())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let resource = child_text(element, "resource").filter(|resource| !resource.is_empty());
        Ok(Self { resource })
    }
}

/// The stream has this address now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The address.
    pub jid: FullJid,
}

impl Payload for Bound {
    const NS: &'static str = ns::BIND;
    const NAME: &'static str = "bind";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        text_child(Element::new(Self::NS, Self::NAME), "jid", Some(self.jid.as_str()))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let jid = child_text(element, "jid").and_then(|jid| FullJid::new(jid.trim()).ok());
        Ok(Self { jid: jid.ok_or_else(|| StanzaError::new(Condition::JidMalformed))? })
    }
}

/// The stream feature.
pub fn feature() -> Element {
    Element::new(ns::BIND, "bind")
}
