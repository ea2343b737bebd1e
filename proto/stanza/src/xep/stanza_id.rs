//! Unique and stable stanza ids (XEP-0359).

use longwire_xml::{Child, Element};

use super::{Payload, expect, required};
use crate::{Condition, Jid, StanzaError, ns};

/// The id that an entity on the way gave to a stanza, such as its id in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaId {
    /// The id.
    pub id: String,
    /// Who gave it. Only that entity may: others' are stripped.
    pub by: Jid,
}

impl Payload for StanzaId {
    const NS: &'static str = ns::STANZA_ID;
    const NAME: &'static str = "stanza-id";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).attr("by", self.by.as_str()).attr("id", &*self.id)
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let by = Jid::new(required(element, "by")?);
        Ok(Self {
            id: required(element, "id")?.to_owned(),
            by: by.map_err(|_| StanzaError::new(Condition::JidMalformed))?,
        })
    }
}

/// The id that the sender's client gave to a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginId {
    /// The id.
    pub id: String,
}

impl Payload for OriginId {
    const NS: &'static str = ns::STANZA_ID;
    const NAME: &'static str = "origin-id";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).attr("id", &*self.id)
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { id: required(element, "id")?.to_owned() })
    }
}
