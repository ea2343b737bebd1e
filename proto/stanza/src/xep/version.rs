//! Software version (XEP-0092).

use longwire_xml::{Child, Element};

use super::{Payload, child_text, empty, expect, text_child};
use crate::{StanzaError, ns};

empty!(
    /// What software are you?
    Request, ns::VERSION, "query"
);

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The name of the software.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The operating system, if the software wants to say so.
    pub os: Option<String>,
}

impl Payload for Version {
    const NS: &'static str = ns::VERSION;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let query = Element::new(Self::NS, Self::NAME);
        let query = text_child(query, "name", Some(&self.name));
        let query = text_child(query, "version", Some(&self.version));
        text_child(query, "os", self.os.as_deref())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self {
            name: child_text(element, "name").unwrap_or_default(),
            version: child_text(element, "version").unwrap_or_default(),
            os: child_text(element, "os"),
        })
    }
}
