//! What the tests of all features share.

use longwire_core::testkit::{Device, Scene, difference, parse};
use longwire_core::xml::Element;

/// Asks for the roster without a version.
pub(crate) const ROSTER: &str = "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>";

/// A scene with all features of this crate.
pub(crate) fn scene() -> Scene {
    Scene::with(crate::features)
}

/// A session that is interested in its roster and available.
pub(crate) fn online(scene: &Scene, jid: &str) -> Device {
    let device = scene.session(jid);
    device.ask(ROSTER);
    device.send("<presence/>");
    device.receive_all();
    device
}

/// Makes two accounts see each other.
pub(crate) fn befriend(one: &Device, other: &Device) {
    for (asking, granting) in [(one, other), (other, one)] {
        let (from, to) = (asking.jid().bare(), granting.jid().bare());
        asking.send(&format!("<presence to='{to}' type='subscribe'/>"));
        granting.send(&format!("<presence to='{from}' type='subscribed'/>"));
    }
    one.receive_all();
    other.receive_all();
}

/// The first must mean the same as the second, where `*` matches anything.
#[track_caller]
pub(crate) fn assert_like(actual: &Element, expected: &str) {
    if let Some(difference) = difference(&parse(expected), actual) {
        panic!("{difference}\nexpected: {expected}\n    came: {actual}");
    }
}

/// The answer must be an error with this condition and type.
#[track_caller]
pub(crate) fn assert_error(answer: &Element, condition: &str, kind: &str) {
    const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let error = answer.find("jabber:client", "error").unwrap_or_else(|| panic!("came: {answer}"));
    assert_eq!(error.attribute("type"), Some(kind), "came: {answer}");
    assert!(error.find(STANZAS, condition).is_some(), "came: {answer}");
}

/// The roster's entries as text, `jid subscription[ ask][ approved]`, sorted.
pub(crate) fn roster(device: &Device) -> Vec<String> {
    let answer = device.ask(ROSTER);
    let query = answer.find("jabber:iq:roster", "query").unwrap_or_else(|| panic!("{answer}"));
    let mut items: Vec<String> = query
        .child_elements()
        .map(|item| {
            let attribute = |name| item.attribute(name).unwrap_or_default();
            let mut line = format!("{} {}", attribute("jid"), attribute("subscription"));
            if attribute("ask") == "subscribe" {
                line.push_str(" ask");
            }
            if attribute("approved") == "true" {
                line.push_str(" approved");
            }
            line
        })
        .collect();
    items.sort();
    items
}
