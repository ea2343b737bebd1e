//! From the text of a document to what it means: references and line ends.

use std::borrow::Cow;

use crate::chars::is_char;
use crate::error::XmlError;

/// The most digits of a character reference: more than U+10FFFF needs, and as many as rxml reads.
const REFERENCE_DIGITS_MAX: usize = 8;

/// The character a reference stands for; `name` is what is between `&` and `;`.
///
/// # Errors
/// [`XmlError::Entity`] for an entity that is not predefined, [`XmlError::Reference`] for a
/// malformed character reference.
pub(crate) fn reference(name: &str) -> Result<char, XmlError> {
    if let Some(number) = name.strip_prefix('#') {
        let (digits, radix) = match number.strip_prefix('x') {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        if !(1..=REFERENCE_DIGITS_MAX).contains(&digits.len())
            || !digits.bytes().all(|b| (b as char).is_digit(radix))
        {
            return Err(XmlError::Reference);
        }
        return u32::from_str_radix(digits, radix)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| is_char(*c))
            .ok_or(XmlError::Reference);
    }
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(XmlError::Entity),
    }
}

/// Checks every reference in an attribute value.
pub(crate) fn check_references(raw: &str) -> Result<(), XmlError> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (_, after) = rest.split_at(at + 1);
        let end = memchr::memchr(b';', after.as_bytes()).ok_or(XmlError::Reference)?;
        let (name, tail) = after.split_at(end);
        reference(name)?;
        rest = tail;
    }
    Ok(())
}

/// What character data means: line ends become `\n`, references are resolved (XML 1.0 §2.11).
pub(crate) fn text(raw: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(unescape(raw, "\n", false))
}

/// What the text of a CDATA section means: only line ends change.
pub(crate) fn cdata(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

/// What an attribute value means: white space becomes spaces (XML 1.0 §3.3.3).
pub(crate) fn attribute(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r')) {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(unescape(raw, " ", true))
}

fn unescape(raw: &str, line_end: &str, spaces: bool) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest
        .bytes()
        .position(|b| matches!(b, b'&' | b'\r') || (spaces && matches!(b, b'\t' | b'\n')))
    {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let (first, tail) = special.split_at(1);
        rest = tail;
        match first {
            "&" => {
                if let Some((name, after)) = tail.split_once(';') {
                    // The text was validated before: an unknown reference cannot come here.
                    out.extend(reference(name).ok());
                    rest = after;
                }
            }
            "\r" => {
                out.push_str(line_end);
                rest = tail.strip_prefix('\n').unwrap_or(tail);
            }
            _ => out.push(' '),
        }
    }
    out.push_str(rest);
    out
}
