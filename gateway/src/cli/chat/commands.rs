//! What the commands do.

use longwire_client::Element;
use longwire_stanza::{BareJid, IqType, Jid, PresenceType, Stanza, ns};

use super::line::{self, Line, Show};
use super::show;
use super::talk::{ASKED, Answer, Asked, Talk, WAITING, ping};
use crate::cli::output::say;
use crate::cli::printable::printable;

impl Talk {
    /// Does what a typed line says.
    pub(super) fn obey(&mut self, line: &str) {
        let line = match line::parse(line) {
            Ok(line) => line,
            Err(error) => return say(format_args!("! {}", printable(&error.to_string()))),
        };
        match line {
            Line::Empty => {}
            Line::Text(text) => self.say_to_peer(&text),
            Line::To(peer) => {
                say(format_args!("* talking to {}", printable(peer.as_str())));
                self.peer = Some(peer);
            }
            Line::Help => list(line::HELP.iter(), ""),
            Line::Quit => self.end(),
            Line::Who => list(self.roll.present().iter(), "nobody shows their presence"),
            Line::Roster => list(self.roll.contacts().iter(), "no contacts; /add JID"),
            Line::Presence(show, text) => {
                self.presence = (show, text);
                if self.is_online() {
                    let presence = self.own_presence();
                    self.queue(presence);
                } else {
                    say("* will be shown once there is a connection");
                }
            }
            Line::Add(_) | Line::Accept(_) | Line::Deny(_) | Line::Ping(_) if !self.is_online() => {
                say("! there is no connection at the moment");
            }
            Line::Add(jid) => self.add(&jid),
            Line::Accept(jid) => self.subscription(PresenceType::Subscribed, &jid),
            Line::Deny(jid) => self.subscription(PresenceType::Unsubscribed, &jid),
            Line::Ping(jid) => self.ping(jid),
        }
    }

    fn say_to_peer(&mut self, text: &str) {
        let Some(peer) = self.peer.clone() else {
            return say("! nobody to talk to: choose somebody with /to JID");
        };
        if !self.write(&peer, text) {
            say(format_args!("! not kept: {WAITING} messages wait for the connection already"));
        } else if !self.is_online() {
            say("* kept until there is a connection");
        }
    }

    fn queue(&mut self, stanza: Stanza) {
        if self.outgoing.len() >= WAITING {
            return say("! too much waits for the connection already");
        }
        self.outgoing.push_back(stanza);
    }

    fn add(&mut self, jid: &BareJid) {
        if self.asked >= ASKED {
            return say("! too many requests wait for an answer");
        }
        // A client does not decide about subscriptions: the item has nothing but its address.
        let item = Element::new(ns::ROSTER, "item").attr("jid", jid.as_str());
        let query = Element::new(ns::ROSTER, "query").child(item);
        let request = Stanza::iq(IqType::Set).child(query).build();
        self.ask(Asked::Add(Jid::from(jid)), request);
    }

    fn subscription(&mut self, kind: PresenceType, jid: &BareJid) {
        self.queue(Stanza::presence(kind).to(jid).build());
        let jid = printable(jid.as_str());
        match kind {
            PresenceType::Subscribed => say(format_args!("* {jid} may see your presence")),
            _ => say(format_args!("* {jid} may not see your presence")),
        }
    }

    fn ping(&mut self, jid: Option<Jid>) {
        if self.asked >= ASKED {
            return say("! too many requests wait for an answer");
        }
        let server = || Jid::from(self.account().to_domain());
        let jid = jid.or_else(|| self.peer.clone()).unwrap_or_else(server);
        // The server answers for an account; a session answers for itself.
        let jid = match jid.resource() {
            None => self.roll.session_of(&jid.bare()).unwrap_or(jid),
            Some(_) => jid,
        };
        let request = ping(&jid);
        self.ask(Asked::Ping(jid), request);
    }

    /// The presence that one has chosen.
    pub(super) fn own_presence(&self) -> Stanza {
        let text = |name, text| Element::new(ns::CLIENT, name).text(text);
        let (show, status): (Show, _) = (self.presence.0, self.presence.1.as_deref());
        Stanza::presence(PresenceType::Available)
            .child_opt(show.text().map(|show| text("show", show)))
            .child_opt(status.map(|status| text("status", status)))
            .build()
    }

    /// Tells what came of a request.
    pub(super) fn tell(&mut self, answer: &Answer) {
        let error = answer.answer.as_ref().and_then(Stanza::stanza_error);
        let error = error.map(|error| show::error(&error));
        match (&answer.asked, &answer.answer, error) {
            (Asked::Alive | Asked::Arrived(_), _, _) => {}
            (Asked::Ping(jid), None, _) | (Asked::Add(jid), None, _) => {
                say(format_args!("! no answer from {}", printable(jid.as_str())));
            }
            (Asked::Ping(jid), Some(_), error) => {
                let how = error.map(|error| format!(" with {error}")).unwrap_or_default();
                let took = answer.took.as_secs_f64() * 1e3;
                let jid = printable(jid.as_str());
                say(format_args!("* {jid} answered{how} in {took:.1} ms"));
            }
            (Asked::Add(jid), Some(_), Some(error)) => {
                say(format_args!("! {} was not added: {error}", printable(jid.as_str())));
            }
            (Asked::Add(jid), Some(_), None) => {
                self.queue(Stanza::presence(PresenceType::Subscribe).to(jid).build());
                let jid = printable(jid.as_str());
                say(format_args!("* {jid} is asked to let you see their presence"));
            }
        }
    }
}

fn list<T: std::fmt::Display>(lines: impl Iterator<Item = T>, nothing: &str) {
    let mut is_empty = true;
    for line in lines {
        is_empty = false;
        say(format_args!("  {line}"));
    }
    if is_empty {
        say(format_args!("  {nothing}"));
    }
}
