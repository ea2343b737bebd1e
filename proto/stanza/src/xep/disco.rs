//! Service discovery (XEP-0030).

use longwire_xml::{Child, Element};

use super::{Payload, expect, owned, required};
use crate::{Condition, Jid, StanzaError, ns};

/// Who are you, and what can you do?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoRequest {
    /// The part of the entity that is meant.
    pub node: Option<String>,
}

impl Payload for InfoRequest {
    const NS: &'static str = ns::DISCO_INFO;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Ok(Self { node: child.attribute("node").map(|node| node.to_string()) })
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).attr_opt("node", self.node.as_deref())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { node: owned(element, "node") })
    }
}

/// What an entity is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The category, such as `server`.
    pub category: String,
    /// The type within the category, such as `im`.
    pub kind: String,
    /// The language of the name.
    pub lang: Option<String>,
    /// A name for humans.
    pub name: Option<String>,
}

impl Identity {
    /// An identity without a name.
    pub fn new(category: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { category: category.into(), kind: kind.into(), lang: None, name: None }
    }
}

/// What an entity is and can do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// The part of the entity that is meant.
    pub node: Option<String>,
    /// What it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<String>,
    /// What else there is to know, as data forms (XEP-0128).
    pub forms: Vec<Element>,
}

impl Info {
    /// Whether the feature is listed.
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|listed| listed == feature)
    }
}

impl Payload for Info {
    const NS: &'static str = ns::DISCO_INFO;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let identity = |identity: &Identity| {
            Element::new(Self::NS, "identity")
                .attr("category", &*identity.category)
                .attr("type", &*identity.kind)
                .attr_opt("xml:lang", identity.lang.as_deref())
                .attr_opt("name", identity.name.as_deref())
        };
        let feature = |var: &String| Element::new(Self::NS, "feature").attr("var", &**var);
        Element::new(Self::NS, Self::NAME)
            .attr_opt("node", self.node.as_deref())
            .children(self.identities.iter().map(identity))
            .children(self.features.iter().map(feature))
            .children(self.forms.iter().cloned())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let mut info = Self { node: owned(element, "node"), ..Self::default() };
        for child in element.child_elements() {
            match (child.ns(), child.name()) {
                (ns::DISCO_INFO, "identity") => info.identities.push(Identity {
                    category: required(child, "category")?.to_owned(),
                    kind: required(child, "type")?.to_owned(),
                    lang: owned(child, "xml:lang"),
                    name: owned(child, "name"),
                }),
                (ns::DISCO_INFO, "feature") => {
                    info.features.push(required(child, "var")?.to_owned());
                }
                (ns::DATA_FORMS, "x") => info.forms.push(child.clone()),
                _ => {}
            }
        }
        Ok(info)
    }
}

/// What belongs to you?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemsRequest {
    /// The part of the entity that is meant.
    pub node: Option<String>,
}

impl Payload for ItemsRequest {
    const NS: &'static str = ns::DISCO_ITEMS;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Ok(Self { node: child.attribute("node").map(|node| node.to_string()) })
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).attr_opt("node", self.node.as_deref())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { node: owned(element, "node") })
    }
}

/// Something that belongs to an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its address.
    pub jid: Jid,
    /// The part of that address that is meant.
    pub node: Option<String>,
    /// A name for humans.
    pub name: Option<String>,
}

/// What belongs to an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// The part of the entity that is meant.
    pub node: Option<String>,
    /// What belongs to it.
    pub items: Vec<Item>,
}

impl Payload for Items {
    const NS: &'static str = ns::DISCO_ITEMS;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let item = |item: &Item| {
            Element::new(Self::NS, "item")
                .attr("jid", item.jid.as_str())
                .attr_opt("node", item.node.as_deref())
                .attr_opt("name", item.name.as_deref())
        };
        Element::new(Self::NS, Self::NAME)
            .attr_opt("node", self.node.as_deref())
            .children(self.items.iter().map(item))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let item = |item: &Element| {
            let jid = Jid::new(required(item, "jid")?);
            Ok(Item {
                jid: jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?,
                node: owned(item, "node"),
                name: owned(item, "name"),
            })
        };
        let items = element
            .child_elements()
            .filter(|child| child.ns() == Self::NS && child.name() == "item")
            .map(item)
            .collect::<Result<_, StanzaError>>()?;
        Ok(Self { node: owned(element, "node"), items })
    }
}
