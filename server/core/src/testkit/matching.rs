//! Comparing XML by meaning.

use bytes::Bytes;
use longwire_xml::{Context, Element, Limits, scan};

/// Reads an element as if it stood in a client's stream.
///
/// # Panics
/// The text is not XML that a stream may carry.
#[track_caller]
pub fn parse(xml: &str) -> Element {
    let raw = Bytes::copy_from_slice(xml.trim().as_bytes());
    match scan(raw, &Context::client(), &Limits::SERVER) {
        Ok(scanned) => scanned.element(),
        Err(error) => panic!("{xml}\nis not XML: {error}"),
    }
}

/// The first difference, if any; the order of attributes, prefixes and white space between
/// elements mean nothing, and an expected `*` matches every attribute value and every text.
pub fn difference(expected: &Element, actual: &Element) -> Option<String> {
    let name = expected.name();
    if expected.ns() != actual.ns() || name != actual.name() {
        let (expected, actual) = (expected.ns(), (actual.ns(), actual.name()));
        return Some(format!("{{{expected}}}{name} is {{{}}}{}", actual.0, actual.1));
    }
    let attributes = |element: &Element| -> Vec<(String, String)> {
        let mut all: Vec<_> =
            element.attributes().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        all.sort();
        all
    };
    let (wanted, found) = (attributes(expected), attributes(actual));
    let same = wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|((name, value), (other, other_value))| {
            name == other && (value == "*" || value == other_value)
        });
    if !same {
        return Some(format!("the attributes of {name} are {found:?}, not {wanted:?}"));
    }
    let (wanted, found) = (text(expected), text(actual));
    if wanted != "*" && wanted != found {
        return Some(format!("the text of {name} is {found:?}, not {wanted:?}"));
    }
    let mut actual = actual.child_elements();
    for child in expected.child_elements() {
        let Some(other) = actual.next() else {
            return Some(format!("{name} has no {}", child.name()));
        };
        if let Some(difference) = difference(child, other) {
            return Some(difference);
        }
    }
    actual.next().map(|extra| format!("{name} has a {} too much", extra.name()))
}

/// The text of an element; white space around child elements means nothing.
fn text(element: &Element) -> String {
    let text = element.text_content();
    let layout = element.child_elements().next().is_some();
    if layout { text.trim().to_owned() } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(expected: &str, actual: &str) -> bool {
        difference(&parse(expected), &parse(actual)).is_none()
    }

    #[test]
    fn meaning_is_compared_and_not_spelling() {
        assert!(same("<a x='1' y='2'><b/></a>", "<a y=\"2\" x='1'>\n <b></b>\n</a>"));
        assert!(same("<a id='*'><b>*</b></a>", "<a id='7'><b>anything</b></a>"));
        assert!(!same("<a id='*'/>", "<a/>"));
        assert!(!same("<a/>", "<a id='7'/>"));
        assert!(!same("<a><b/></a>", "<a/>"));
        assert!(!same("<a/>", "<a><b/></a>"));
        assert!(!same("<a><b/><c/></a>", "<a><c/><b/></a>"));
        assert!(!same("<a>x</a>", "<a>y</a>"));
        assert!(!same("<a/>", "<a xmlns='urn:other'/>"));
    }
}
