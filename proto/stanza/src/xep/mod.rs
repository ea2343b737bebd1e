//! Vocabularies: one file per specification, no behaviour.
//!
//! Each says how its elements look as Rust values, and nothing about what to do with them.
//! Names that a specification defines are kept; what a reader does not know, it ignores.

pub mod bind;
pub mod bind2;
pub mod caps;
pub mod datetime;
pub mod delay;
pub mod disco;
pub mod iap;
pub mod last;
pub mod ping;
pub mod roster;
pub mod sasl;
pub mod sasl2;
pub mod sasl_cb;
pub mod session;
pub mod stanza_id;
pub mod starttls;
pub mod stream_features;
pub mod stream_limits;
pub mod time;
pub mod version;

#[cfg(test)]
mod sasl_tests;
#[cfg(test)]
mod tests;

use longwire_xml::{Child, Context, Element};

use crate::{Condition, StanzaError, limits};

/// An element that a feature understands.
pub trait Payload: Sized {
    /// The namespace of the element.
    const NS: &'static str;
    /// The name of the element.
    const NAME: &'static str;

    /// Reads the element.
    ///
    /// # Errors
    ///
    /// What to answer to whoever sent it, mostly `bad-request`.
    fn parse(child: &Child<'_>) -> Result<Self, StanzaError>;

    /// Makes the element.
    fn element(&self) -> Element;

    /// As [`Payload::parse`], from an element that is already in memory.
    ///
    /// # Errors
    ///
    /// As [`Payload::parse`].
    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        let mut raw = bytes::BytesMut::new();
        Element::new("", "payload").child(element.clone()).write(&mut raw, "");
        longwire_xml::scan(raw.freeze(), &Context::empty(), &limits::OWN)
            .ok()
            .and_then(|wrapper| wrapper.children().next().map(|child| Self::parse(&child)))
            .unwrap_or_else(|| Err(Condition::BadRequest.into()))
    }
}

/// An element without content: only its name matters.
macro_rules! empty {
    ($(#[$doc:meta])* $type:ident, $ns:expr, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $type;

        impl $crate::Payload for $type {
            const NS: &'static str = $ns;
            const NAME: &'static str = $name;

            fn parse(_: &longwire_xml::Child<'_>) -> Result<Self, $crate::StanzaError> {
                Ok(Self)
            }

            fn element(&self) -> longwire_xml::Element {
                longwire_xml::Element::new(Self::NS, Self::NAME)
            }

            fn from_element(
                element: &longwire_xml::Element,
            ) -> Result<Self, $crate::StanzaError> {
                $crate::xep::expect::<Self>(element)?;
                Ok(Self)
            }
        }
    };
}
use empty;

/// Checks that the element is the one that the payload reads.
fn expect<P: Payload>(element: &Element) -> Result<(), StanzaError> {
    if element.ns() == P::NS && element.name() == P::NAME {
        Ok(())
    } else {
        Err(StanzaError::bad_request("another element was expected"))
    }
}

/// An attribute that must be there.
fn required<'a>(element: &'a Element, name: &str) -> Result<&'a str, StanzaError> {
    element.attribute(name).ok_or_else(|| StanzaError::bad_request("an attribute is missing"))
}

/// An attribute as an owned text.
fn owned(element: &Element, name: &str) -> Option<String> {
    element.attribute(name).map(str::to_owned)
}

/// The text of the child with this name in the namespace of its parent.
fn child_text(element: &Element, name: &str) -> Option<String> {
    element.find(element.ns(), name).map(|child| child.text_content().to_string())
}

/// Adds a child that has nothing but text.
fn text_child(parent: Element, name: &str, text: Option<&str>) -> Element {
    let Some(text) = text else { return parent };
    let child = Element::new(parent.ns(), name).text(text);
    parent.child(child)
}
