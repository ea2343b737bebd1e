//! Messages of one's own: which one an error is about, and which may have been lost.

use std::collections::VecDeque;

use longwire_stanza::{BareJid, Kind, Stanza};

use super::show::excerpt;

/// Messages that are remembered.
const REMEMBERED: usize = 64;

/// The latest messages of one's own, oldest first.
#[derive(Debug, Default)]
pub(super) struct Sent {
    messages: VecDeque<Message>,
}

#[derive(Debug)]
struct Message {
    id: String,
    peer: BareJid,
    excerpt: String,
    is_confirmed: bool,
}

/// Up to which message to somebody the server has to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) peer: BareJid,
    id: String,
}

impl Sent {
    /// Remembers a stanza that went out, when it is a message.
    pub(super) fn note(&mut self, stanza: &Stanza) -> bool {
        let (Kind::Message, Some(id), Some(to)) = (stanza.kind(), stanza.id(), stanza.to()) else {
            return false;
        };
        if self.messages.len() >= REMEMBERED {
            self.messages.pop_front();
        }
        self.messages.push_back(Message {
            id: id.to_owned(),
            peer: to.bare(),
            excerpt: excerpt(&stanza.child_text("body").unwrap_or_default()),
            is_confirmed: false,
        });
        true
    }

    /// The server dealt with a message by an error: the message's beginning.
    pub(super) fn refused(&mut self, id: &str) -> Option<&str> {
        let message = self.messages.iter_mut().find(|message| message.id == id)?;
        message.is_confirmed = true;
        Some(&message.excerpt)
    }

    /// What to ask next; nothing when all is known.
    pub(super) fn question(&self) -> Option<Question> {
        let mut unconfirmed = self.messages.iter().filter(|message| !message.is_confirmed);
        let peer = unconfirmed.next()?.peer.clone();
        let last = self.messages.iter().rfind(|message| message.peer == peer)?;
        Some(Question { id: last.id.clone(), peer })
    }

    /// The question was answered: what went the same way before it has arrived.
    pub(super) fn confirm(&mut self, question: &Question) {
        let Some(last) = self.messages.iter().position(|message| message.id == question.id) else {
            return;
        };
        let earlier = self.messages.iter_mut().take(last + 1);
        for message in earlier.filter(|message| message.peer == question.peer) {
            message.is_confirmed = true;
        }
    }

    /// The connection is lost: the messages that may be lost with it.
    pub(super) fn take_unconfirmed(&mut self) -> Vec<(BareJid, String)> {
        let lost = self.messages.iter_mut().filter(|message| !message.is_confirmed);
        lost.map(|message| {
            message.is_confirmed = true;
            (message.peer.clone(), message.excerpt.clone())
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use longwire_stanza::{Jid, MessageType, PresenceType};

    use super::*;

    fn send(sent: &mut Sent, id: &str, to: &str) {
        let message = Stanza::message(MessageType::Chat).id(id).to(Jid::new(to).unwrap());
        assert!(sent.note(&message.body(id).build()));
    }

    fn unconfirmed(sent: &mut Sent) -> Vec<String> {
        sent.take_unconfirmed().into_iter().map(|(_, excerpt)| excerpt).collect()
    }

    #[test]
    fn an_answer_confirms_what_went_the_same_way_before_it() {
        let mut sent = Sent::default();
        send(&mut sent, "1", "bob@b.example/x");
        send(&mut sent, "2", "carol@c.example");
        send(&mut sent, "3", "bob@b.example");
        let question = sent.question().unwrap();
        assert_eq!(question.peer.as_str(), "bob@b.example");
        send(&mut sent, "4", "bob@b.example");
        sent.confirm(&question);
        assert_eq!(sent.question().unwrap().peer.as_str(), "carol@c.example");
        assert_eq!(unconfirmed(&mut sent), ["2", "4"]);
        assert_eq!(sent.question(), None, "told once");
    }

    #[test]
    fn a_refused_message_has_not_been_lost() {
        let mut sent = Sent::default();
        send(&mut sent, "1", "bob@b.example");
        assert_eq!(sent.refused("1"), Some("1"));
        assert_eq!(sent.refused("2"), None);
        assert_eq!(sent.question(), None);
    }

    #[test]
    fn only_messages_count_and_only_so_many() {
        let mut sent = Sent::default();
        assert!(!sent.note(&Stanza::presence(PresenceType::Available).build()));
        for i in 0..=REMEMBERED {
            send(&mut sent, &i.to_string(), "bob@b.example");
            assert_eq!(sent.messages.len(), (i + 1).min(REMEMBERED));
        }
        assert_eq!(unconfirmed(&mut sent)[0], "1");
    }
}
