//! The character classes of XML 1.0 (fifth edition) and Namespaces in XML 1.0.

/// May this character occur in an XML document at all (XML 1.0 §2.2)?
#[must_use]
pub(crate) const fn is_char(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}'
        | '\u{10000}'..='\u{10FFFF}')
}

/// White space (XML 1.0 §2.3).
#[must_use]
pub(crate) const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// May this character begin a name without a colon (Namespaces in XML §3)?
///
/// U+FDF0 to U+FFFD, with the byte order mark among them, are left out on purpose: parsers that
/// XMPP peers use (rxml) refuse them in names, and a forwarded stanza must not end a peer's stream.
const fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}'
        | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}'
        | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
        | '\u{10000}'..='\u{EFFFF}')
}

/// May this character continue a name without a colon (Namespaces in XML §3)?
const fn is_name_continue(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}'
            | '\u{203F}'..='\u{2040}')
}

/// One bit per question for the ASCII range, so that names are read without decoding.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 128 {
        if is_name_start(b as u8 as char) {
            table[b] |= START;
        }
        if is_name_continue(b as u8 as char) {
            table[b] |= CONTINUE;
        }
        b += 1;
    }
    table
};
const START: u8 = 1;
const CONTINUE: u8 = 2;

/// Can a part of a name begin at the start of `text`, and how many bytes long is it?
///
/// The answer is 0 when no name begins there. Stops at a colon.
pub(crate) fn ncname_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let Some(&first) = bytes.first() else { return 0 };
    if first >= 0x80 || CLASS[usize::from(first)] & START == 0 {
        return if first >= 0x80 { ncname_len_unicode(text) } else { 0 };
    }
    let end = bytes.iter().position(|&b| CLASS[usize::from(b)] & CONTINUE == 0);
    match end {
        Some(at) if bytes[at] >= 0x80 => ncname_len_unicode(text),
        Some(at) => at,
        None => bytes.len(),
    }
}

#[cold]
fn ncname_len_unicode(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, c)) if is_name_start(c) => {}
        _ => return 0,
    }
    chars.find(|(_, c)| !is_name_continue(*c)).map_or(text.len(), |(at, _)| at)
}

/// Is this a whole name without a colon?
pub(crate) fn is_ncname(text: &str) -> bool {
    !text.is_empty() && ncname_len(text) == text.len()
}

/// Does `text` hold characters that XML allows, and no others?
pub(crate) fn all_chars(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Branch-free, so that the compiler can look at many bytes at a time.
    let control = bytes
        .iter()
        .fold(false, |bad, &b| bad | ((b < 0x20) & (b != b'\t') & (b != b'\n') & (b != b'\r')));
    if control {
        return false;
    }
    if text.is_ascii() {
        return true;
    }
    // U+FFFE and U+FFFF are the only others that UTF-8 can carry: EF BF BE and EF BF BF.
    !memchr::memchr_iter(0xEF, bytes)
        .any(|at| matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])))
}
