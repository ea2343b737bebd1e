//! Strict XML for XMPP: framing, validation, namespaces, one escaping writer.
//!
//! Bytes from a peer pass through two stations. The [`Framer`] cuts them into a stream header and
//! top-level elements as they arrive; [`scan`] then validates one element in one pass and leaves a
//! [`Scanned`]: the received bytes with an index of the start tag and the direct children. Routing
//! needs no more than that, and [`Scanned::write_with`] forwards the bytes under a new start tag.
//! Only who consumes a payload looks inside, with [`Child`] where it lies or as an [`Element`].
//!
//! What is accepted is a subset of what XML 1.0, Namespaces in XML 1.0 and RFC 6120 §11.1 allow,
//! within [`Limits`]. The crate knows no clock, no sockets and no stanzas.

mod chars;
mod context;
mod element;
mod error;
mod framer;
mod header;
mod limits;
mod scan;
mod scanned;
mod tag;
mod unescape;
mod writer;

pub use context::{CLIENT_NS, Context, SERVER_NS, STREAM_NS, XML_NS, XMLNS_NS};
pub use element::Element;
pub use error::{Condition, XmlError};
pub use framer::{Frame, Framer};
pub use header::StreamHeader;
pub use limits::{Limit, Limits};
pub use scan::scan;
pub use scanned::{Child, Children, Edit, Scanned};
pub use writer::{Writer, escape_attribute, escape_text};
