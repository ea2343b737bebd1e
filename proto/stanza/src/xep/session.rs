//! Session establishment (RFC 3921 §3): a no-operation that old clients still ask for.

use longwire_xml::Element;

use super::empty;
use crate::ns;

empty!(
    /// Begin a session. The answer is an empty result.
    Session, ns::SESSION, "session"
);

/// The stream feature, marked as something that a client may leave out.
pub fn feature() -> Element {
    Element::new(ns::SESSION, "session").child(Element::new(ns::SESSION, "optional"))
}
