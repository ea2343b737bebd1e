//! Stream limits advertisement (XEP-0478).

use longwire_xml::{Child, Element};

use super::{Payload, child_text, expect, text_child};
use crate::{StanzaError, ns};

/// What the peer will bear on this stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// The most octets of one top-level element.
    pub max_bytes: Option<u64>,
    /// The most seconds without traffic before the stream is ended.
    pub idle_seconds: Option<u64>,
}

impl Payload for StreamLimits {
    const NS: &'static str = ns::STREAM_LIMITS;
    const NAME: &'static str = "limits";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let text = |number: Option<u64>| number.map(|number| number.to_string());
        let limits = Element::new(Self::NS, Self::NAME);
        let limits = text_child(limits, "max-bytes", text(self.max_bytes).as_deref());
        text_child(limits, "idle-seconds", text(self.idle_seconds).as_deref())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let number = |name: &str| match child_text(element, name) {
            None => Ok(None),
            Some(text) => {
                let parsed = text.trim().parse();
                parsed.map(Some).map_err(|_| StanzaError::bad_request("a limit is not a number"))
            }
        };
        Ok(Self { max_bytes: number("max-bytes")?, idle_seconds: number("idle-seconds")? })
    }
}
