//! Bind 2 (XEP-0386): resource binding inside SASL2.

use longwire_xml::{Child, Element};

use super::{Payload, child_text, expect, owned, text_child};
use crate::{StanzaError, ns};

/// What a server offers: Bind 2, and what can be enabled with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// The names of the features that can be enabled while binding.
    pub inline: Vec<String>,
}

impl Payload for Feature {
    const NS: &'static str = ns::BIND2;
    const NAME: &'static str = "bind";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let bind = Element::new(Self::NS, Self::NAME);
        if self.inline.is_empty() {
            return bind;
        }
        let feature = |var: &String| Element::new(Self::NS, "feature").attr("var", &**var);
        bind.child(Element::new(Self::NS, "inline").children(self.inline.iter().map(feature)))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let features = element.find(Self::NS, "inline").into_iter().flat_map(|inline| {
            inline
                .child_elements()
                .filter(|child| child.ns() == Self::NS && child.name() == "feature")
                .filter_map(|child| owned(child, "var"))
        });
        Ok(Self { inline: features.collect() })
    }
}

/// A client's request, inside `<authenticate/>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bind {
    /// A short name of the software, for the resource.
    pub tag: Option<String>,
    /// What the client asks to be enabled, one element for each.
    pub features: Vec<Element>,
}

impl Payload for Bind {
    const NS: &'static str = ns::BIND2;
    const NAME: &'static str = "bind";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        text_child(Element::new(Self::NS, Self::NAME), "tag", self.tag.as_deref())
            .children(self.features.iter().cloned())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self {
            tag: child_text(element, "tag").filter(|tag| !tag.is_empty()),
            features: foreign(element),
        })
    }
}

/// The server's answer, inside `<success/>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// The answers to what the client asked to be enabled, and the state of the archive.
    pub results: Vec<Element>,
}

impl Payload for Bound {
    const NS: &'static str = ns::BIND2;
    const NAME: &'static str = "bound";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).children(self.results.iter().cloned())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { results: foreign(element) })
    }
}

/// The children of other namespaces.
fn foreign(element: &Element) -> Vec<Element> {
    element.child_elements().filter(|child| child.ns() != ns::BIND2).cloned().collect()
}
