//! Entity capabilities (XEP-0115): what an entity can do, as a hash in its presence.

use longwire_xml::{Child, Element};

use super::{Payload, expect, owned, required};
use crate::{StanzaError, ns};

/// The hash and where to ask for what it stands for: the disco node `node#ver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The hash function; absent in the legacy form, which is of no use.
    pub hash: Option<String>,
    /// A URI of the software.
    pub node: String,
    /// The verification string, in Base64.
    pub ver: String,
}

impl Caps {
    /// The disco node that describes these capabilities.
    pub fn disco_node(&self) -> String {
        format!("{}#{}", self.node, self.ver)
    }
}

impl Payload for Caps {
    const NS: &'static str = ns::CAPS;
    const NAME: &'static str = "c";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME)
            .attr_opt("hash", self.hash.as_deref())
            .attr("node", &*self.node)
            .attr("ver", &*self.ver)
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self {
            hash: owned(element, "hash"),
            node: required(element, "node")?.to_owned(),
            ver: required(element, "ver")?.to_owned(),
        })
    }
}
