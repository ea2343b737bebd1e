//! What a typed line means.

use longwire_stanza::{BareJid, Jid, JidError};
use thiserror::Error;

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing.
    Empty,
    /// A message for the current peer.
    Text(String),
    /// Another peer from now on.
    To(Jid),
    /// Show the contacts.
    Roster,
    /// Become somebody's contact.
    Add(BareJid),
    /// Let somebody see one's presence.
    Accept(BareJid),
    /// Do not.
    Deny(BareJid),
    /// Change one's own presence.
    Presence(Show, Option<String>),
    /// Show who is there.
    Who,
    /// Measure the time to somebody; the peer, or the server, when nobody is named.
    Ping(Option<Jid>),
    /// Show the commands.
    Help,
    /// End.
    Quit,
}

/// How available one is (RFC 6121 §4.7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Online,
    Away,
    ExtendedAway,
    DoNotDisturb,
}

impl Show {
    /// The text of `<show/>`; being online has none.
    pub(super) const fn text(self) -> Option<&'static str> {
        match self {
            Self::Online => None,
            Self::Away => Some("away"),
            Self::ExtendedAway => Some("xa"),
            Self::DoNotDisturb => Some("dnd"),
        }
    }
}

/// Why a line means nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LineError {
    #[error("there is no command /{0}; /help lists them, and // begins a message with a slash")]
    Unknown(String),
    #[error("/{0} needs an address")]
    NoAddress(&'static str),
    #[error("{0:?} is no address: {1}")]
    BadAddress(String, JidError),
    #[error("{0:?} is too much")]
    TooMuch(String),
    #[error("presence is online, away, xa or dnd, then a text")]
    Presence,
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Line, LineError> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.is_empty() { Line::Empty } else { Line::Text(line.to_owned()) });
    };
    if command.starts_with('/') {
        return Ok(Line::Text(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "to" => Ok(Line::To(address("to", rest)?)),
        "roster" => alone(Line::Roster, rest),
        "add" => Ok(Line::Add(address::<BareJid>("add", rest)?)),
        "accept" => Ok(Line::Accept(address::<BareJid>("accept", rest)?)),
        "deny" => Ok(Line::Deny(address::<BareJid>("deny", rest)?)),
        "presence" => presence(rest),
        "who" => alone(Line::Who, rest),
        "ping" if rest.is_empty() => Ok(Line::Ping(None)),
        "ping" => Ok(Line::Ping(Some(address("ping", rest)?))),
        "help" => alone(Line::Help, rest),
        "quit" => alone(Line::Quit, rest),
        _ => Err(LineError::Unknown(name.to_owned())),
    }
}

fn alone(line: Line, rest: &str) -> Result<Line, LineError> {
    if rest.is_empty() { Ok(line) } else { Err(LineError::TooMuch(rest.to_owned())) }
}

fn address<T>(command: &'static str, rest: &str) -> Result<T, LineError>
where
    T: std::str::FromStr<Err = JidError>,
{
    if rest.is_empty() {
        return Err(LineError::NoAddress(command));
    }
    rest.parse().map_err(|error| LineError::BadAddress(rest.to_owned(), error))
}

fn presence(rest: &str) -> Result<Line, LineError> {
    let (show, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let show = match show {
        "" | "online" => Show::Online,
        "away" => Show::Away,
        "xa" => Show::ExtendedAway,
        "dnd" => Show::DoNotDisturb,
        _ => return Err(LineError::Presence),
    };
    let text = text.trim();
    Ok(Line::Presence(show, (!text.is_empty()).then(|| text.to_owned())))
}

/// What `/help` shows.
pub(super) const HELP: &[&str] = &[
    "text                          send it to the current peer; // begins it with a slash",
    "/to JID                       talk to somebody else",
    "/who                          who is there",
    "/roster                       your contacts",
    "/add JID                      add a contact and ask to see their presence",
    "/accept JID                   let somebody see your presence",
    "/deny JID                     do not, or not any longer",
    "/presence [online|away|xa|dnd] [TEXT]",
    "/ping [JID]                   measure the round trip to the peer or to somebody else",
    "/quit                         end (as does the end of the input)",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    #[test]
    fn text_is_text_and_spaces_around_it_are_nothing() {
        assert_eq!(parse("  hello  world "), Ok(Line::Text("hello  world".to_owned())));
        assert_eq!(parse(" \t"), Ok(Line::Empty));
        assert_eq!(parse("//shrug"), Ok(Line::Text("/shrug".to_owned())));
        assert_eq!(parse("1/2"), Ok(Line::Text("1/2".to_owned())));
    }

    #[test]
    fn every_command_is_understood() {
        for (line, meaning) in [
            ("/to bob@b.example/x", Line::To(jid("bob@b.example/x"))),
            ("/to   bob@b.example  ", Line::To(jid("bob@b.example"))),
            ("/roster", Line::Roster),
            ("/add bob@b.example", Line::Add(bare("bob@b.example"))),
            ("/accept BOB@b.example", Line::Accept(bare("bob@b.example"))),
            ("/deny bob@b.example", Line::Deny(bare("bob@b.example"))),
            ("/presence", Line::Presence(Show::Online, None)),
            ("/presence away", Line::Presence(Show::Away, None)),
            ("/presence xa", Line::Presence(Show::ExtendedAway, None)),
            ("/presence dnd at  work", {
                Line::Presence(Show::DoNotDisturb, Some("at  work".to_owned()))
            }),
            ("/presence online back", Line::Presence(Show::Online, Some("back".to_owned()))),
            ("/who", Line::Who),
            ("/ping", Line::Ping(None)),
            ("/ping b.example", Line::Ping(Some(jid("b.example")))),
            ("/help", Line::Help),
            ("/quit ", Line::Quit),
        ] {
            assert_eq!(parse(line), Ok(meaning), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, words) in [
            ("/frob", "no command /frob"),
            ("/", "no command /;"),
            ("/to", "/to needs an address"),
            ("/add  ", "/add needs an address"),
            ("/to @", "\"@\" is no address"),
            ("/add bob@b.example/x", "is no address"),
            ("/who is there", "\"is there\" is too much"),
            ("/presence asleep", "online, away, xa or dnd"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_command() {
        let help = HELP.join("\n");
        for name in ["to", "roster", "add", "accept", "deny", "presence", "who", "ping", "quit"] {
            assert!(help.contains(&format!("/{name} ")), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_strange(line in "/?[a-z]{0,8}[ \t]?\\PC*") {
            let _ = parse(&line);
        }
    }
}
