//! How messages and errors are shown.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use longwire_client::StreamId;
use longwire_stanza::xep::delay::Delay;
use longwire_stanza::{MessageType, Payload, Stanza, StanzaError, ns};

use crate::cli::printable::{printable, printable_lines};

/// When and where a message is shown.
pub(super) struct View {
    /// Microseconds since 1970.
    pub(super) now: u64,
    /// The zone of the times.
    pub(super) zone: TimeZone,
    /// With streams and resources.
    pub(super) verbose: bool,
}

/// The lines of a message; none when it has no text.
///
/// Lines behind the first are indented, so that nobody can make up a line of somebody else.
pub(super) fn message(message: &Stanza, stream: StreamId, view: &View) -> Vec<String> {
    let body = message.child_text("body").unwrap_or_default();
    let subject = message.child_text("subject").unwrap_or_default();
    if body.trim().is_empty() && subject.trim().is_empty() {
        return Vec::new();
    }
    let from = match message.from() {
        Some(from) if view.verbose => from.as_str().to_owned(),
        Some(from) => from.bare().as_str().to_owned(),
        None => "the server".to_owned(),
    };
    let mut start = format!("[{}] ", time(message, view));
    if view.verbose {
        start += &format!("(stream {}) ", stream.0);
    }
    start += &format!("{}: ", printable(&from));
    if message.message_type() == MessageType::Headline {
        start += "(headline) ";
    }
    if !subject.trim().is_empty() {
        start += &format!("({}) ", printable(subject.trim()));
    }
    let mut lines = Vec::new();
    for line in printable_lines(&body) {
        lines.push(if lines.is_empty() { format!("{start}{line}") } else { format!("    {line}") });
    }
    if lines.is_empty() {
        lines.push(start.trim_end().to_owned());
    }
    lines
}

/// `12:34`, or the day as well when the message is of another day.
fn time(message: &Stanza, view: &View) -> String {
    let zoned = |micros| {
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        time.to_zoned(view.zone.clone())
    };
    let now = zoned(i64::try_from(view.now).unwrap_or(i64::MAX));
    let delay = message.child(ns::DELAY, "delay").and_then(|child| Delay::parse(&child).ok());
    match delay.map(|delay| zoned(delay.stamp.micros())) {
        Some(sent) if sent.date() != now.date() => sent.strftime("%Y-%m-%d %H:%M").to_string(),
        Some(sent) => sent.strftime("%H:%M").to_string(),
        None => now.strftime("%H:%M").to_string(),
    }
}

/// `service-unavailable (nobody is there)`
pub(crate) fn error(error: &StanzaError) -> String {
    match &error.text {
        Some(text) => format!("{} ({})", error.condition, printable(text)),
        None => error.condition.to_string(),
    }
}

/// The beginning of a message, to remind of it.
pub(super) fn excerpt(text: &str) -> String {
    const CHARS: usize = 40;
    let text = printable(text.lines().next().unwrap_or_default());
    if text.chars().count() <= CHARS {
        return text.into_owned();
    }
    text.chars().take(CHARS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use longwire_client::Element;
    use longwire_stanza::{Condition, Jid};

    use super::*;

    fn view(verbose: bool) -> View {
        // 2026-11-20T12:34:56Z
        View { now: 1_795_178_096_000_000, zone: TimeZone::UTC, verbose }
    }

    fn from_bob(body: &str) -> Stanza {
        let from = Jid::new("bob@localhost/phone").unwrap();
        Stanza::message(MessageType::Chat).from(from).body(body).build()
    }

    fn shown(stanza: &Stanza, verbose: bool) -> Vec<String> {
        message(stanza, StreamId(7), &view(verbose))
    }

    #[test]
    fn a_message_has_time_sender_and_text() {
        assert_eq!(shown(&from_bob("hello"), false), ["[12:34] bob@localhost: hello"]);
        let verbose = shown(&from_bob("hello"), true);
        assert_eq!(verbose, ["[12:34] (stream 7) bob@localhost/phone: hello"]);
    }

    #[test]
    fn nobody_can_make_up_a_line_of_somebody_else() {
        let lines = shown(&from_bob("hi\n[12:34] carol@localhost: trust me\r\n\u{9b}Aup"), false);
        let expected =
            ["[12:34] bob@localhost: hi", "    [12:34] carol@localhost: trust me", "    Aup"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_message_without_text_is_not_shown() {
        assert!(shown(&from_bob(""), false).is_empty());
        assert!(shown(&Stanza::message(MessageType::Chat).build(), false).is_empty());
    }

    #[test]
    fn a_subject_is_shown_with_or_without_text() {
        let subject = Element::new(ns::CLIENT, "subject").text("news");
        let with = from_bob("hello").with_child(subject.clone());
        assert_eq!(shown(&with, false), ["[12:34] bob@localhost: (news) hello"]);
        let without = Stanza::message(MessageType::Headline).child(subject).build();
        assert_eq!(shown(&without, false), ["[12:34] the server: (headline) (news)"]);
    }

    #[test]
    fn a_delayed_message_has_the_time_when_it_was_sent() {
        let delayed = |stamp: &str| {
            let delay = Element::new(ns::DELAY, "delay").attr("stamp", stamp);
            shown(&from_bob("hello").with_child(delay), false)
        };
        assert_eq!(delayed("2026-11-20T08:00:00Z"), ["[08:00] bob@localhost: hello"]);
        assert_eq!(delayed("2026-11-19T23:59:00Z"), ["[2026-11-19 23:59] bob@localhost: hello"]);
        assert_eq!(delayed("yesterday"), ["[12:34] bob@localhost: hello"]);
    }

    #[test]
    fn errors_and_excerpts_are_clean_and_short() {
        let refused = StanzaError::new(Condition::ServiceUnavailable).with_text("no\u{1b}[2J");
        assert_eq!(error(&refused), "service-unavailable (no[2J)");
        assert_eq!(excerpt("short\nmore"), "short");
        assert_eq!(excerpt(&"x".repeat(40)).len(), 40);
        assert_eq!(excerpt(&"x".repeat(41)), format!("{}...", "x".repeat(40)));
    }
}
