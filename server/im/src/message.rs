//! Messages: which sessions get them (RFC 6121 §8.5).
//!
//! The specification leaves a choice for chats to a bare address: here all sessions that share
//! the highest priority get them. Nothing is kept for accounts without sessions yet, so whoever
//! writes to one is told.

use longwire_core::{Feature, NoConfig, Registrar, SessionId, Turn};
use longwire_stanza::{Condition, Jid, Kind, MessageType};
use std::sync::Arc;

/// The feature: owns what happens to messages in both directions.
pub struct Message;

impl Feature for Message {
    const NAME: &'static str = "message";
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(6121);
        r.deliver(Kind::Message, &self, Self::send, Self::receive);
    }
}

impl Message {
    //= RFC 6120 §10.3.1: a message to nobody is one to the account itself
    fn send(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let stanza = if stanza.to().is_some() { stanza } else { stanza.with_to(turn.home()) };
        turn.route(stanza);
    }

    fn receive(&self, turn: &mut Turn<'_>) {
        let stanza = turn.stanza().clone();
        let kind = stanza.message_type();
        let resource = stanza.to().and_then(Jid::resource);
        //= RFC 6121 §8.5.3.1
        if let Some(session) = resource.and_then(|resource| turn.session_of(resource)) {
            return turn.deliver(session.id(), stanza);
        }
        let sessions = match (kind, resource) {
            //= RFC 6121 §8.5.2.1.1, and §8.5.3.2.1 for a chat whose session has gone
            (MessageType::Chat, _) | (MessageType::Normal, None) => foremost(turn),
            (MessageType::Headline, None) => welcoming(turn),
            (MessageType::Normal | MessageType::Headline, Some(_))
            | (MessageType::Groupchat | MessageType::Error, _) => Vec::new(),
        };
        if sessions.is_empty() {
            //= RFC 6121 §8.5.2.2.1
            return match kind {
                MessageType::Headline | MessageType::Error => {}
                MessageType::Normal | MessageType::Chat | MessageType::Groupchat => {
                    turn.refuse(Condition::ServiceUnavailable.into());
                }
            };
        }
        for session in sessions {
            turn.deliver(session, stanza.clone());
        }
    }
}

/// The available sessions that take messages to the bare address: those whose priority is not
/// negative (RFC 6121 §8.5.2.1.1).
fn welcoming(turn: &Turn<'_>) -> Vec<SessionId> {
    candidates(turn).map(|(_, id)| id).collect()
}

/// The welcoming sessions that share the highest priority.
fn foremost(turn: &Turn<'_>) -> Vec<SessionId> {
    let highest = candidates(turn).map(|(priority, _)| priority).max();
    candidates(turn).filter(|(priority, _)| Some(*priority) == highest).map(|(_, id)| id).collect()
}

fn candidates(turn: &Turn<'_>) -> impl Iterator<Item = (i8, SessionId)> {
    turn.sessions().into_iter().filter_map(|session| {
        let priority = session.priority().filter(|priority| *priority >= 0)?;
        Some((priority, session.id()))
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{assert_error, online, scene};
    use longwire_core::testkit::{Device, Scene};

    /// Alice's sessions with a priority each; `None` has no presence.
    fn alice(scene: &Scene, priorities: &[Option<i8>]) -> Vec<Device> {
        let devices: Vec<Device> = (0..priorities.len())
            .map(|at| scene.session(&format!("alice@a.example/{at}")))
            .collect();
        for (device, priority) in devices.iter().zip(priorities) {
            if let Some(priority) = priority {
                device.send(&format!("<presence><priority>{priority}</priority></presence>"));
            }
        }
        devices.iter().for_each(|device| drop(device.receive_all()));
        devices
    }

    fn message(kind: &str, to: &str) -> String {
        format!("<message type='{kind}' to='{to}' id='m'><body>hi</body></message>")
    }

    /// Sends one message from bob: which sessions get it, and which error comes back.
    fn reached(priorities: &[Option<i8>], kind: &str, to: &str) -> (Vec<usize>, Option<String>) {
        let scene = scene();
        let devices = alice(&scene, priorities);
        let bob = online(&scene, "bob@b.example/desk");
        bob.send(&message(kind, to));
        let mut got = Vec::new();
        for (at, device) in devices.iter().enumerate() {
            for stanza in device.receive_all() {
                assert_eq!(stanza.to().map(ToString::to_string).as_deref(), Some(to));
                got.push(at);
            }
        }
        let error = bob.receive_all().pop().map(|stanza| {
            let error = stanza.stanza_error().map(|error| error.condition.to_string());
            error.unwrap_or_else(|| stanza.to_xml())
        });
        (got, error)
    }

    const UNAVAILABLE: Option<&str> = Some("service-unavailable");

    /// The table of RFC 6121 §8.5.4, for the choices that are made here.
    //= test RFC 6121 §8.5
    #[test]
    fn every_type_reaches_the_sessions_that_the_rules_choose() {
        let (bare, here, gone) = ("alice@a.example", "alice@a.example/0", "alice@a.example/gone");
        let mixed: &[Option<i8>] = &[Some(-1), Some(5), Some(1), Some(5), None];
        let negative: &[Option<i8>] = &[Some(-1), None];
        let nobody: &[Option<i8>] = &[];
        type Case<'a> = (&'a [Option<i8>], &'a str, &'a str, &'a [usize], Option<&'a str>);
        let cases: &[Case<'_>] = &[
            (mixed, "chat", bare, &[1, 3], None),
            (mixed, "normal", bare, &[1, 3], None),
            (mixed, "headline", bare, &[1, 2, 3], None),
            (mixed, "groupchat", bare, &[], UNAVAILABLE),
            (mixed, "error", bare, &[], None),
            (negative, "chat", bare, &[], UNAVAILABLE),
            (negative, "normal", bare, &[], UNAVAILABLE),
            (negative, "headline", bare, &[], None),
            (negative, "groupchat", bare, &[], UNAVAILABLE),
            (negative, "error", bare, &[], None),
            (mixed, "chat", here, &[0], None),
            (mixed, "normal", here, &[0], None),
            (mixed, "headline", here, &[0], None),
            (mixed, "groupchat", here, &[0], None),
            (mixed, "error", here, &[0], None),
            (mixed, "chat", "alice@a.example/4", &[4], None),
            (mixed, "chat", gone, &[1, 3], None),
            (mixed, "normal", gone, &[], UNAVAILABLE),
            (mixed, "headline", gone, &[], None),
            (mixed, "groupchat", gone, &[], UNAVAILABLE),
            (mixed, "error", gone, &[], None),
            (negative, "chat", gone, &[], UNAVAILABLE),
            (nobody, "chat", "nobody@a.example", &[], UNAVAILABLE),
            (nobody, "normal", "nobody@a.example", &[], UNAVAILABLE),
            (nobody, "groupchat", "nobody@a.example", &[], UNAVAILABLE),
            (nobody, "error", "nobody@a.example", &[], None),
        ];
        for (sessions, kind, to, got, error) in cases {
            let expected = (got.to_vec(), error.map(str::to_owned));
            assert_eq!(reached(sessions, kind, to), expected, "{kind} to {to}: {sessions:?}");
        }
    }

    //= test RFC 6121 §8.5.2.2.1
    #[test]
    fn whoever_writes_to_a_home_without_sessions_is_told() {
        let scene = scene();
        scene.account("alice@a.example");
        let bob = online(&scene, "bob@b.example/desk");
        for kind in ["chat", "normal", "groupchat"] {
            bob.send(&message(kind, "alice@a.example"));
            let answer = bob.receive().unwrap().to_element();
            assert_error(&answer, "service-unavailable", "cancel");
            assert_eq!(answer.attribute("id"), Some("m"));
            assert_eq!(answer.attribute("from"), Some("alice@a.example"));
        }
        bob.send(&message("headline", "alice@a.example"));
        bob.expect_nothing();
    }

    #[test]
    fn a_message_passes_untouched_under_its_sender_s_address() {
        let scene = scene();
        let devices = alice(&scene, &[Some(0)]);
        let bob = online(&scene, "bob@b.example/desk");
        bob.send(
            "<message to='alice@a.example/0' type='chat' id='m' xml:lang='de'><body>hallo</body>\
             <x xmlns='urn:unknown' a='1'><y/></x></message>",
        );
        devices[0].expect(
            "<message from='bob@b.example/desk' to='alice@a.example/0' type='chat' id='m' \
             xml:lang='de'><body>hallo</body><x xmlns='urn:unknown' a='1'><y/></x></message>",
        );
    }

    #[test]
    fn a_message_to_oneself_reaches_the_own_sessions() {
        let scene = scene();
        let devices = alice(&scene, &[Some(0), Some(0), Some(-1)]);
        let note = "<message from='alice@a.example/2' to='alice@a.example' id='m' type='chat'>\
                    <body>hi</body></message>";
        devices[2].send(&message("chat", "alice@a.example"));
        devices[0].expect(note);
        devices[1].expect(note);
        devices[2].expect_nothing();
        //= test RFC 6120 §10.3.1
        devices[2].send("<message id='m' type='chat'><body>hi</body></message>");
        devices[0].expect(note);
        devices[1].expect(note);
        devices[2].expect_nothing();
    }

    #[test]
    fn a_message_to_a_server_that_is_not_here_comes_back() {
        let scene = scene();
        let bob = online(&scene, "bob@b.example/desk");
        bob.send(&message("chat", "carol@far.example"));
        let answer = bob.receive().unwrap().to_element();
        assert_error(&answer, "remote-server-not-found", "cancel");
    }
}
