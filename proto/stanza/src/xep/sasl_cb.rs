//! Channel-binding type capability (XEP-0440).

use longwire_xml::{Child, Element};

use super::{Payload, expect, owned};
use crate::{StanzaError, ns};

/// The channel bindings that a server can check on this connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// Their registered names, such as `tls-exporter`.
    pub types: Vec<String>,
}

impl Payload for ChannelBindings {
    const NS: &'static str = ns::SASL_CHANNEL_BINDING;
    const NAME: &'static str = "sasl-channel-binding";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let binding =
            |kind: &String| Element::new(Self::NS, "channel-binding").attr("type", &**kind);
        Element::new(Self::NS, Self::NAME).children(self.types.iter().map(binding))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let types = element
            .child_elements()
            .filter(|child| child.ns() == Self::NS && child.name() == "channel-binding")
            .filter_map(|child| owned(child, "type"));
        Ok(Self { types: types.collect() })
    }
}
