//! Messages: which sessions get them (RFC 6121 §8.5).
//!
//! The specification leaves a choice for chats to a bare address: here all sessions that share
//! the highest priority get them. Nothing is kept for accounts without sessions yet, so whoever
//! writes to one is told; and so is whoever wrote to a session that was lost before it took the
//! message, unless another one gets it.

use longwire_core::event::SessionDown;
use longwire_core::{Feature, NoConfig, Registrar, SessionId, Turn};
use longwire_stanza::{Condition, Jid, Kind, MessageType, Stanza};
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
        r.on(&self, Self::session_down);
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
        if !pass_on(turn, &stanza) {
            turn.refuse(Condition::ServiceUnavailable.into());
        }
    }

    /// What a session has not taken goes where it would go now.
    fn session_down(&self, turn: &mut Turn<'_>, down: &SessionDown) {
        let priority = down.session.priority();
        let peers = foremost(turn).into_iter().filter_map(|id| turn.session(id)?.priority());
        let has_peers = peers.max().is_some_and(|peers| Some(peers) >= priority);
        for stanza in down.unsent.iter().filter(|stanza| stanza.kind() == Kind::Message) {
            let is_bare = stanza.to().is_none_or(|to| to.resource().is_none());
            // The others had it together with this session.
            if is_bare && (has_peers || stanza.message_type() == MessageType::Headline) {
                continue;
            }
            if !pass_on(turn, stanza)
                && let Some(error) = stanza.error(&Condition::ServiceUnavailable.into())
            {
                turn.route(error);
            }
        }
    }
}

/// Delivers a message to the sessions that it is for; false when its sender must be told that
/// there is none.
fn pass_on(turn: &mut Turn<'_>, stanza: &Stanza) -> bool {
    let kind = stanza.message_type();
    let resource = stanza.to().and_then(Jid::resource);
    //= RFC 6121 §8.5.3.1
    if let Some(session) = resource.and_then(|resource| turn.session_of(resource)) {
        turn.deliver(session.id(), stanza.clone());
        return true;
    }
    let sessions = match (kind, resource) {
        //= RFC 6121 §8.5.2.1.1, and §8.5.3.2.1 for a chat whose session has gone
        (MessageType::Chat, _) | (MessageType::Normal, None) => foremost(turn),
        (MessageType::Headline, None) => welcoming(turn),
        (MessageType::Normal | MessageType::Headline, Some(_))
        | (MessageType::Groupchat | MessageType::Error, _) => Vec::new(),
    };
    //= RFC 6121 §8.5.2.2.1
    let is_missed = match kind {
        MessageType::Headline | MessageType::Error => false,
        MessageType::Normal | MessageType::Chat | MessageType::Groupchat => sessions.is_empty(),
    };
    for session in sessions {
        turn.deliver(session, stanza.clone());
    }
    !is_missed
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

    /// What becomes of a chat that alice's first session has not taken when it is lost: which of
    /// her other sessions get it then, and whether bob is told.
    fn after_a_loss(priorities: &[Option<i8>], kind: &str, to: &str) -> (Vec<usize>, bool) {
        let scene = scene();
        let mut devices = alice(&scene, priorities).into_iter();
        let lost = devices.next().unwrap();
        let bob = online(&scene, "bob@b.example/desk");
        bob.send(&message(kind, to));
        let before: Vec<_> = devices.map(|device| (device.receive_all().len(), device)).collect();
        lost.lose();
        let messages = |device: &Device| {
            let came = device.receive_all().into_iter();
            came.filter(|stanza| stanza.kind() == longwire_stanza::Kind::Message).count()
        };
        let mut got = Vec::new();
        for (at, (had, device)) in before.iter().enumerate() {
            let now = messages(device);
            assert!(had + now <= 1, "session {} has it twice", at + 1);
            got.extend((now > 0).then_some(at + 1));
        }
        let told = bob.receive_all().pop().and_then(|stanza| stanza.stanza_error());
        (got, told.is_some_and(|error| error.condition.to_string() == "service-unavailable"))
    }

    #[test]
    fn what_a_lost_session_has_not_taken_goes_to_another_one_or_back() {
        let (bare, here) = ("alice@a.example", "alice@a.example/0");
        type Case<'a> = (&'a [Option<i8>], &'a str, &'a str, &'a [usize], bool);
        let cases: &[Case<'_>] = &[
            (&[Some(0)], "chat", bare, &[], true),
            (&[Some(0)], "chat", here, &[], true),
            (&[Some(0)], "normal", bare, &[], true),
            (&[Some(0)], "headline", bare, &[], false),
            (&[Some(0)], "headline", here, &[], false),
            (&[Some(0), Some(0)], "headline", bare, &[], false),
            // The other one had it as well.
            (&[Some(0), Some(0)], "chat", bare, &[], false),
            (&[Some(5), Some(0)], "chat", bare, &[1], false),
            (&[Some(5), Some(0), Some(0)], "normal", bare, &[1, 2], false),
            (&[Some(5), Some(-1), None], "chat", bare, &[], true),
            (&[Some(0), Some(0)], "chat", here, &[1], false),
            (&[Some(0), Some(0)], "normal", here, &[], true),
            (&[Some(0), Some(0)], "groupchat", here, &[], true),
            (&[Some(0), Some(0)], "error", here, &[], false),
        ];
        for (sessions, kind, to, got, told) in cases {
            let expected = (got.to_vec(), *told);
            assert_eq!(after_a_loss(sessions, kind, to), expected, "{kind} to {to}: {sessions:?}");
        }
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
