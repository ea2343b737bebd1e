//! Stanzas of an exact size, for each limit of the XML layer.
//!
//! All of them are well-formed messages that are only too much; `n` is the quantity that the
//! limit counts, so that N - 1, N and N + 1 can be tested.

use std::fmt::Write;

const OPEN: &str = "<message to='nobody@localhost'>";
const CLOSE: &str = "</message>";

/// A message of exactly `n` bytes, or the shortest possible when `n` is smaller.
#[must_use]
pub fn stanza_bytes(n: usize) -> String {
    let frame = "<body></body>".len() + OPEN.len() + CLOSE.len();
    format!("{OPEN}<body>{}</body>{CLOSE}", "x".repeat(n.saturating_sub(frame)))
}

/// A message with elements nested `n` deep, itself included.
#[must_use]
pub fn depth(n: usize) -> String {
    let inside = n.saturating_sub(1);
    format!("{OPEN}{}{}{CLOSE}", "<a>".repeat(inside), "</a>".repeat(inside))
}

/// A message with a child of `n` attributes, a namespace declaration included.
#[must_use]
pub fn attributes(n: usize) -> String {
    let mut list = String::new();
    for i in 1..n {
        let _ = write!(list, " a{i}='1'");
    }
    format!("{OPEN}<a xmlns='urn:example:a'{list}/>{CLOSE}")
}

/// A message with `n` namespace declarations in scope at one place.
#[must_use]
pub fn namespaces(n: usize) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for i in 0..n {
        let _ = write!(open, "<p{i}:a xmlns:p{i}='urn:example:{i}'>");
        close.insert_str(0, &format!("</p{i}:a>"));
    }
    format!("{OPEN}{open}{close}{CLOSE}")
}

/// A message with an element whose name has `n` bytes.
#[must_use]
pub fn name(n: usize) -> String {
    format!("{OPEN}<{0} xmlns='urn:example:a'/>{CLOSE}", "n".repeat(n))
}

/// A message with an attribute value of `n` bytes.
#[must_use]
pub fn attribute_value(n: usize) -> String {
    format!("{OPEN}<a xmlns='urn:example:a' b='{}'/>{CLOSE}", "v".repeat(n))
}

/// A message of `n` elements, itself included.
#[must_use]
pub fn children(n: usize) -> String {
    format!("{OPEN}{}{CLOSE}", "<a/>".repeat(n.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_has_exactly_its_quantity() {
        assert_eq!(stanza_bytes(16_384).len(), 16_384);
        assert_eq!(depth(64).matches("<a>").count(), 63);
        assert_eq!(attributes(64).matches('=').count() - 1, 64);
        assert_eq!(namespaces(64).matches("xmlns:").count(), 64);
        assert!(name(256).contains(&format!("<{} ", "n".repeat(256))));
        assert!(attribute_value(65_536).contains(&format!("'{}'", "v".repeat(65_536))));
        assert_eq!(children(8_192).matches("<a/>").count(), 8_191);
    }

    #[test]
    fn elements_close_in_the_order_that_they_opened() {
        assert!(namespaces(3).contains("</p2:a></p1:a></p0:a></message>"));
    }
}
