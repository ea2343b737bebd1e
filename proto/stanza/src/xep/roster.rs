//! The roster (RFC 6121 §2): who an account knows.

use longwire_xml::{Child, Element};

use super::{Payload, expect, owned, required};
use crate::error::names;
use crate::limits::{ROSTER_GROUPS, ROSTER_ITEMS, ROSTER_NAME_BYTES};
use crate::{BareJid, Condition, Jid, StanzaError, ns};

names! {
    /// Who gets whose presence (RFC 6121 §2.1.2.5).
    Subscription {
        /// Neither gets the other's.
        None = "none",
        /// The account gets the contact's.
        To = "to",
        /// The contact gets the account's.
        From = "from",
        /// Both get each other's.
        Both = "both",
        /// Not a state: the item is to be removed, or was.
        Remove = "remove",
    }
}

impl Subscription {
    /// Whether the account gets the contact's presence.
    pub const fn is_to(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }

    /// Whether the contact gets the account's presence.
    pub const fn is_from(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }
}

/// One contact (RFC 6121 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The contact's address.
    pub jid: BareJid,
    /// The name that the user gave to the contact.
    pub name: Option<String>,
    /// Who gets whose presence.
    pub subscription: Subscription,
    /// Whether the user asked for the contact's presence and has no answer yet.
    pub ask: bool,
    /// Whether the contact's request will be granted when it comes (RFC 6121 §3.4).
    pub approved: bool,
    /// The groups that the user put the contact into.
    pub groups: Vec<String>,
}

impl Item {
    /// An item about whom nothing is known but the address.
    pub const fn new(jid: BareJid) -> Self {
        Self {
            jid,
            name: None,
            subscription: Subscription::None,
            ask: false,
            approved: false,
            groups: Vec::new(),
        }
    }

    /// The `<item/>` element.
    pub fn element(&self) -> Element {
        Element::new(ns::ROSTER, "item")
            .attr("jid", self.jid.as_str())
            .attr_opt("name", self.name.as_deref())
            .attr("subscription", self.subscription.as_str())
            .attr_opt("ask", self.ask.then_some("subscribe"))
            .attr_opt("approved", self.approved.then_some("true"))
            .children(self.groups.iter().map(|g| Element::new(ns::ROSTER, "group").text(g)))
    }

    /// Reads an `<item/>` element.
    ///
    /// # Errors
    ///
    /// The conditions of RFC 6121 §2.3.3.
    pub fn from_element(element: &Element) -> Result<Self, StanzaError> {
        let jid = Jid::new(required(element, "jid")?)
            .map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        // In an order to the server, all values but one are ignored (RFC 6121 §2.1.2.5).
        let subscription = element.attribute("subscription").and_then(Subscription::from_name);
        let name = owned(element, "name").filter(|name| !name.is_empty());
        if name.as_ref().is_some_and(|name| name.len() > ROSTER_NAME_BYTES) {
            return Err(too_long());
        }
        Ok(Self {
            jid: jid.bare(),
            name,
            subscription: subscription.unwrap_or(Subscription::None),
            ask: element.attribute("ask") == Some("subscribe"),
            approved: matches!(element.attribute("approved"), Some("true" | "1")),
            groups: groups(element)?,
        })
    }
}

fn groups(item: &Element) -> Result<Vec<String>, StanzaError> {
    let mut groups: Vec<String> = Vec::new();
    for child in item.child_elements() {
        if child.ns() != ns::ROSTER || child.name() != "group" {
            continue;
        }
        let group = child.text_content().to_string();
        if group.is_empty() || group.len() > ROSTER_NAME_BYTES {
            return Err(too_long());
        }
        if groups.contains(&group) {
            return Err(StanzaError::bad_request("a group is named twice"));
        }
        if groups.len() == ROSTER_GROUPS {
            return Err(StanzaError::new(Condition::NotAcceptable).with_text("too many groups"));
        }
        groups.push(group);
    }
    Ok(groups)
}

fn too_long() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text("a name is empty or too long")
}

/// Ask for the roster (RFC 6121 §2.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The version that the client has; empty when it has none but understands versions.
    pub ver: Option<String>,
}

impl Payload for Request {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        if child.child(ns::ROSTER, "item").is_some() {
            return Err(StanzaError::bad_request("a request for the roster has no items"));
        }
        Ok(Self { ver: child.attribute("ver").map(|ver| ver.to_string()) })
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).attr_opt("ver", self.ver.as_deref())
    }
}

/// The roster, or the change of one item that is pushed (RFC 6121 §2.1.4 and §2.1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The version of the roster after this.
    pub ver: Option<String>,
    /// The contacts.
    pub items: Vec<Item>,
}

impl Payload for Roster {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME)
            .attr_opt("ver", self.ver.as_deref())
            .children(self.items.iter().map(Item::element))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let mut items = Vec::new();
        for child in element.child_elements() {
            if child.ns() != Self::NS || child.name() != "item" {
                continue;
            }
            if items.len() == ROSTER_ITEMS {
                return Err(StanzaError::new(Condition::NotAcceptable).with_text("too many items"));
            }
            items.push(Item::from_element(child)?);
        }
        Ok(Self { ver: owned(element, "ver"), items })
    }
}

/// A client's order to add, change or remove one contact (RFC 6121 §2.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The contact. A client decides about its name and groups only, and about its removal.
    pub item: Item,
}

impl Payload for Change {
    const NS: &'static str = ns::ROSTER;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        Element::new(Self::NS, Self::NAME).child(self.item.element())
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let mut items = element
            .child_elements()
            .filter(|child| child.ns() == Self::NS && child.name() == "item");
        match (items.next(), items.next()) {
            (Some(item), None) => Ok(Self { item: Item::from_element(item)? }),
            _ => Err(StanzaError::bad_request("exactly one item is needed")),
        }
    }
}
