//! Preparation and enforcement of the three parts of an address (RFC 7622 §3).
//!
//! Nearly every address on the wire is ASCII and already in its canonical form. For those,
//! one pass over the bytes decides, and nothing is allocated. Everything else goes through
//! PRECIS (RFC 8265) and IDNA.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use precis_profiles::precis_core::profile::{PrecisFastInvocation, Rules};
use precis_profiles::precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::JidError;
use crate::limits::{DOMAIN_LABEL_BYTES, JID_CONTEXTUAL_CHARS, JID_PART_BYTES};

/// The most octets of a part before preparation: composed, a Hangul syllable needs a third.
const UNPREPARED_BYTES: usize = 3 * JID_PART_BYTES;

/// Brings a localpart into its canonical form.
///
/// `//= RFC 7622 §3.3`
pub(super) fn local(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::LocalEmpty);
    }
    if text.is_ascii() {
        return local_ascii(text);
    }
    if text.len() > UNPREPARED_BYTES {
        return Err(JidError::LocalTooLong);
    }
    if !is_cheap(text) {
        return Err(JidError::LocalInvalid);
    }
    let prepared = settle(text, |t| UsernameCaseMapped::enforce(t).ok().map(Cow::into_owned))
        .ok_or(JidError::LocalInvalid)?;
    if prepared.chars().any(forbidden_in_local) {
        return Err(JidError::LocalInvalid);
    }
    if prepared.len() > JID_PART_BYTES {
        return Err(JidError::LocalTooLong);
    }
    Ok(Cow::Owned(prepared))
}

fn local_ascii(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.len() > JID_PART_BYTES {
        return Err(JidError::LocalTooLong);
    }
    let mut upper = false;
    for byte in text.bytes() {
        if !byte.is_ascii_graphic() || forbidden_in_local(char::from(byte)) {
            return Err(JidError::LocalInvalid);
        }
        upper |= byte.is_ascii_uppercase();
    }
    Ok(if upper { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) })
}

/// The printable ASCII characters that a localpart may not have.
///
/// `//= RFC 7622 §3.3.1`
fn forbidden_in_local(c: char) -> bool {
    matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
}

/// Brings a domainpart into its canonical form: lower case U-labels, no final dot, or an
/// address literal.
///
/// `//= RFC 7622 §3.2`
pub(super) fn domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.starts_with('[') {
        return ipv6_literal(text);
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(JidError::DomainEmpty);
    }
    if text.len() > JID_PART_BYTES {
        return Err(JidError::DomainTooLong);
    }
    match ascii_domain(text)? {
        AsciiDomain::Canonical => Ok(Cow::Borrowed(text)),
        AsciiDomain::UpperCase => Ok(Cow::Owned(text.to_ascii_lowercase())),
        AsciiDomain::NeedsIdna => international_domain(text).map(Cow::Owned),
    }
}

enum AsciiDomain {
    Canonical,
    UpperCase,
    NeedsIdna,
}

fn ascii_domain(text: &str) -> Result<AsciiDomain, JidError> {
    if !text.is_ascii() {
        return Ok(AsciiDomain::NeedsIdna);
    }
    let mut upper = false;
    for label in text.split('.') {
        let bytes = label.as_bytes();
        if bytes.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--")) {
            return Ok(AsciiDomain::NeedsIdna);
        }
        if bytes.len() > DOMAIN_LABEL_BYTES {
            return Err(JidError::DomainTooLong);
        }
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(JidError::DomainEmpty);
        };
        if *first == b'-' || *last == b'-' {
            return Err(JidError::DomainInvalid);
        }
        for byte in bytes {
            if !byte.is_ascii_alphanumeric() && *byte != b'-' {
                return Err(JidError::DomainInvalid);
            }
            upper |= byte.is_ascii_uppercase();
        }
    }
    Ok(if upper { AsciiDomain::UpperCase } else { AsciiDomain::Canonical })
}

fn international_domain(text: &str) -> Result<String, JidError> {
    let canonical = settle(text, |t| {
        let (name, verdict) =
            Uts46::new().to_unicode(t.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        verdict.ok()?;
        // The mapping turns ideographic full stops into dots, so a final one may appear here.
        Some(name.strip_suffix('.').map_or_else(|| name.to_string(), str::to_owned))
    })
    .ok_or(JidError::DomainInvalid)?;
    if canonical.split('.').any(str::is_empty) {
        return Err(JidError::DomainEmpty);
    }
    if canonical.len() > JID_PART_BYTES {
        return Err(JidError::DomainTooLong);
    }
    if canonical.is_ascii() && !matches!(ascii_domain(&canonical)?, AsciiDomain::Canonical) {
        return Err(JidError::DomainInvalid);
    }
    let ascii = idna::domain_to_ascii(&canonical).map_err(|_| JidError::DomainInvalid)?;
    if ascii.split('.').any(|label| label.len() > DOMAIN_LABEL_BYTES) {
        return Err(JidError::DomainTooLong);
    }
    Ok(canonical)
}

fn ipv6_literal(text: &str) -> Result<Cow<'_, str>, JidError> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or(JidError::DomainInvalid)?;
    let address: Ipv6Addr = inner.parse().map_err(|_| JidError::DomainInvalid)?;
    let canonical = address.to_string();
    Ok(if canonical == inner { Cow::Borrowed(text) } else { Cow::Owned(format!("[{canonical}]")) })
}

/// Brings a resourcepart into its canonical form.
///
/// `//= RFC 7622 §3.4`
pub(super) fn resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::ResourceEmpty);
    }
    if text.len() > UNPREPARED_BYTES {
        return Err(JidError::ResourceTooLong);
    }
    let prepared = if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(JidError::ResourceInvalid);
        }
        Cow::Borrowed(text)
    } else if !is_cheap(text) {
        return Err(JidError::ResourceInvalid);
    } else {
        let enforced = settle(text, opaque);
        Cow::Owned(enforced.ok_or(JidError::ResourceInvalid)?)
    };
    // §3.5 lists it among what is no address, though the profile alone would let it pass.
    if prepared.starts_with(' ') {
        return Err(JidError::ResourceInvalid);
    }
    if prepared.len() > JID_PART_BYTES {
        return Err(JidError::ResourceTooLong);
    }
    Ok(prepared)
}

/// The OpaqueString profile, but for characters that are younger than its tables.
///
/// The registry of PRECIS stands at Unicode 6.3 and would refuse most emoji, which people use
/// for their nicknames in rooms. What was not assigned then is taken for an allowed symbol.
///
/// `//= RFC 8265 §4.2`
fn opaque(text: &str) -> Option<String> {
    let class = FreeformClass::default();
    let unassigned = |c| class.get_value_from_char(c) == DerivedPropertyValue::Unassigned;
    if text.contains(unassigned) {
        class.allows(text.replace(unassigned, "+")).ok()?;
    } else {
        class.allows(text).ok()?;
    }
    let profile = OpaqueString::new();
    let mapped = profile.additional_mapping_rule(text).ok()?;
    profile.normalization_rule(mapped).ok().map(Cow::into_owned)
}

/// Whether few characters need a look at the whole text.
fn is_cheap(text: &str) -> bool {
    let class = FreeformClass::default();
    let contextual = |c: &char| {
        use DerivedPropertyValue::{ContextJ, ContextO};
        matches!(class.get_value_from_char(*c), ContextJ | ContextO)
    };
    text.chars().filter(contextual).nth(JID_CONTEXTUAL_CHARS).is_none()
}

/// Applies `step` until nothing changes; `None` when it fails or never settles.
///
/// A canonical form that is not its own canonical form would give one entity two addresses.
/// `//= RFC 8264 §7`
fn settle(text: &str, step: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut current = step(text)?;
    for _ in 0..3 {
        let next = step(&current)?;
        if next == current {
            return Some(current);
        }
        current = next;
    }
    None
}
