//! Delayed delivery (XEP-0203).

use longwire_xml::{Child, Element};

use super::datetime::Stamp;
use super::{Payload, expect, required};
use crate::{Jid, StanzaError, ns};

/// The stanza was sent at another time than it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// When it was sent.
    pub stamp: Stamp,
    /// Who held it back.
    pub from: Option<Jid>,
    /// Why, for a human.
    pub reason: Option<String>,
}

impl Payload for Delay {
    const NS: &'static str = ns::DELAY;
    const NAME: &'static str = "delay";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let delay = Element::new(Self::NS, Self::NAME)
            .attr_opt("from", self.from.as_ref().map(Jid::as_str))
            .attr("stamp", self.stamp.to_string());
        match &self.reason {
            Some(reason) => delay.text(reason),
            None => delay,
        }
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let stamp = required(element, "stamp")?.parse();
        let reason = element.text_content().to_string();
        Ok(Self {
            stamp: stamp.map_err(|_| StanzaError::bad_request("the stamp is malformed"))?,
            from: element.attribute("from").and_then(|from| Jid::new(from).ok()),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
        })
    }
}
