//! Text of others, made safe for a terminal.

use std::borrow::Cow;

/// `text` without what could command the terminal or deceive its reader: control characters
/// (escape sequences begin with one), characters that reorder what is shown, and line breaks.
///
/// Tabs become spaces.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c != '\t' && !is_dangerous(c)) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| if c == '\t' { ' ' } else { c });
    Cow::Owned(shown.filter(|&c| !is_dangerous(c)).collect())
}

/// The lines of `text`, each of them [`printable`].
pub(super) fn printable_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.lines().map(printable)
}

/// Control characters (Unicode Cc: C0, delete and C1), line and paragraph separators, and the
/// controls of the bidirectional algorithm (UAX #9 §2).
fn is_dangerous(c: char) -> bool {
    let reorders = matches!(c,
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || reorders || breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_what_makes_them_work() {
        for (text, shown) in [
            ("\u{1b}[2J\u{1b}[1;31mred", "[2J[1;31mred"),
            ("\u{9b}31mred", "31mred"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("\u{90}1;2q\u{9c}", "1;2q"),
            ("back\u{8}space \u{7f}delete", "backspace delete"),
            ("over\rwritten", "overwritten"),
            ("two\nlines\u{85}three\u{2028}four", "twolinesthreefour"),
            ("\u{202e}drow\u{202c} \u{2066}x\u{2069}", "drow x"),
            ("a\tb", "a b"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn honest_text_stays_as_it_is() {
        for text in
            ["", "hello", "zażółć gęślą jaźń", "שלום", "日本語 👩\u{200d}👩\u{200d}👧", "e\u{301}"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(_)), "{text:?}");
        }
    }

    #[test]
    fn lines_are_split_before_they_are_cleaned() {
        let lines: Vec<_> = printable_lines("one\r\ntwo\u{1b}\n\nthree").collect();
        assert_eq!(lines, ["one", "two", "", "three"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in "\\PC*|(.|\n){0,40}") {
            proptest::prop_assert!(!printable(&text).chars().any(char::is_control));
        }
    }
}
