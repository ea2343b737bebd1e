//! Entity time (XEP-0202).

use longwire_xml::{Child, Element};

use super::datetime::Stamp;
use super::{Payload, child_text, empty, expect, text_child};
use crate::{StanzaError, ns};

empty!(
    /// What time is it there?
    Request, ns::TIME, "time"
);

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The offset of the local time from UTC, such as `+02:00`, or `Z`.
    pub offset: String,
    /// The time.
    pub utc: Stamp,
}

impl Payload for Time {
    const NS: &'static str = ns::TIME;
    const NAME: &'static str = "time";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let time = text_child(Element::new(Self::NS, Self::NAME), "tzo", Some(&self.offset));
        text_child(time, "utc", Some(&self.utc.to_string()))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let utc = child_text(element, "utc").and_then(|utc| utc.trim().parse().ok());
        Ok(Self {
            offset: child_text(element, "tzo").unwrap_or_else(|| "Z".to_owned()),
            utc: utc.ok_or_else(|| StanzaError::bad_request("the time is malformed"))?,
        })
    }
}
