//! Two ends of a connection, joined by streams that lose nothing.

use std::time::Duration;

use longwire_stanza::{BareJid, Jid, MessageType};

use super::*;
use crate::negotiate::Ask;
use crate::sasl::{Hash, Mechanism, Secret, StoredCredential};

const ALICE: &str = "alice@a.example";

/// One end with what happened there.
struct Side {
    link: Link,
    events: Vec<Event>,
    seen: Vec<(u64, String)>,
    next_bidi: u64,
    next_uni: u64,
    uni_credit: usize,
    bidi_credit: usize,
    refused: Vec<StreamId>,
    closed: Option<Code>,
}

impl Side {
    fn new(link: Link, next_bidi: u64) -> Self {
        Self {
            link,
            events: Vec::new(),
            seen: Vec::new(),
            next_bidi,
            next_uni: next_bidi + 2,
            uni_credit: 64,
            bidi_credit: 64,
            refused: Vec::new(),
            closed: None,
        }
    }

    fn open(&mut self, direction: Direction) -> Option<StreamId> {
        let (credit, next) = match direction {
            Direction::Uni => (&mut self.uni_credit, &mut self.next_uni),
            Direction::Bidi => (&mut self.bidi_credit, &mut self.next_bidi),
        };
        *credit = credit.checked_sub(1)?;
        *next += 4;
        Some(StreamId(*next - 4))
    }

    fn stanzas(&self) -> Vec<(u64, String)> {
        let stanza = |event: &Event| match event {
            Event::Stanza { stanza, stream, .. } => Some((stream.0, stanza.to_xml())),
            _ => None,
        };
        self.events.iter().filter_map(stanza).collect()
    }

    fn bound(&self) -> Vec<SessionId> {
        let bound = |event: &Event| match event {
            Event::Bound { session, .. } => Some(*session),
            _ => None,
        };
        self.events.iter().filter_map(bound).collect()
    }

    fn sent(&self) -> String {
        self.seen.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// Both ends. The client may also be a test that writes bytes by hand.
struct Pair {
    server: Side,
    client: Option<Side>,
    credential: StoredCredential,
    now: Instant,
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "an instant to start from")]
    fn new(security: Security, mode: Option<Mode>) -> Self {
        let now = Instant::now();
        let counter = std::sync::atomic::AtomicU8::new(1);
        let entropy: Entropy = Arc::new(move |bytes: &mut [u8]| {
            bytes.fill(counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        });
        let hosts = vec![BareJid::new("a.example").unwrap()];
        let config = Arc::new(negotiate::ServerConfig::new(hosts, [7; 32]));
        let server = Link::server(config, security.clone(), Arc::clone(&entropy), now);
        let client = mode.map(|mode| {
            let password = Secret::new("secret");
            let account = BareJid::new(ALICE).unwrap();
            let mut config = negotiate::ClientConfig::new(account, password);
            config.mechanisms = vec![Mechanism::Plain];
            Side::new(Link::client(config, security, mode, entropy, now), 0)
        });
        let secret = Secret::new("secret");
        let credential = StoredCredential::derive(Hash::Sha256, &secret, b"salt", 4096).unwrap();
        let mut pair = Self { server: Side::new(server, 1), client, credential, now };
        pair.run();
        pair
    }

    fn quic(mode: Mode) -> Self {
        Self::new(Security::encrypted(Transport::Quic, TlsInfo::default()), Some(mode))
    }

    /// A server on QUIC whose client is the test.
    fn raw() -> Self {
        Self::new(Security::encrypted(Transport::Quic, TlsInfo::default()), None)
    }

    fn client(&mut self) -> &mut Side {
        self.client.as_mut().unwrap()
    }

    /// Moves everything until nothing moves.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            let client = self.client.as_mut();
            moved |= step(&mut self.server, client, &self.credential, self.now);
            if let Some(client) = self.client.as_mut() {
                moved |= step(client, Some(&mut self.server), &self.credential, self.now);
            }
            if !moved {
                return;
            }
        }
    }

    /// The test writes on a stream, as a client would.
    fn write(&mut self, stream: u64, text: impl AsRef<[u8]>) {
        let known = self.server.link.incoming.contains_key(&StreamId(stream));
        if !known && self.client.is_none() {
            let direction = if stream & 2 == 0 { Direction::Bidi } else { Direction::Uni };
            self.server.link.handle_stream(StreamId(stream), direction, self.now);
        }
        let chunk = Bytes::copy_from_slice(text.as_ref());
        self.server.link.handle_bytes(StreamId(stream), chunk, self.now);
        self.run();
    }

    /// Logs a hand-made client in on a stream.
    fn log_in(&mut self, stream: u64, header: &[u8]) {
        self.write(stream, header);
        self.write(stream, HEADER);
        self.write(stream, LOGIN);
        assert!(self.server.sent().contains("<success"), "{}", self.server.sent());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.link.handle_timeout(self.now);
        self.run();
    }
}

const HEADER: &str = "<stream:stream to='a.example' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x'>";
/// PLAIN with alice's password, and Bind 2.
const LOGIN: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
    <initial-response>AGFsaWNlAHNlY3JldA==</initial-response>\
    <bind xmlns='urn:xmpp:bind:0'/></authenticate>";

fn step(
    side: &mut Side,
    mut peer: Option<&mut Side>,
    credential: &StoredCredential,
    now: Instant,
) -> bool {
    let mut moved = false;
    while let Some(event) = side.link.poll_event() {
        moved = true;
        if let Event::Ask { session, ask } = &event {
            let session = *session;
            let reply = match ask {
                Ask::Credential { .. } => Reply::Credential(Some(credential.clone())),
                Ask::Verify { password, .. } => {
                    Reply::Verified(credential.verify(Hash::Sha256, password))
                }
                Ask::Bind { account, .. } => {
                    Reply::Bound(Ok(account.with_resource(&format!("r{}", session.0)).unwrap()))
                }
            };
            side.link.handle_reply(session, reply, now);
        }
        side.events.push(event);
    }
    while let Some(action) = side.link.poll_action() {
        moved = true;
        match action {
            Action::Write { stream, bytes } => {
                side.seen.push((stream.0, String::from_utf8_lossy(&bytes).into_owned()));
                if let Some(peer) = peer.as_deref_mut() {
                    peer.link.handle_bytes(stream, bytes, now);
                }
            }
            Action::Open { ticket, direction } => {
                let answer = side.open(direction).ok_or(Refused);
                if let (Ok(stream), Some(peer)) = (answer, peer.as_deref_mut()) {
                    peer.link.handle_stream(stream, direction, now);
                }
                side.link.handle_opened(ticket, answer, now);
            }
            Action::Finish { stream } => {
                if let Some(peer) = peer.as_deref_mut() {
                    peer.link.handle_finished(stream, now);
                }
                side.link.handle_drained(stream, now);
            }
            Action::StopSending { stream, .. } => side.refused.push(stream),
            Action::Close { code } => side.closed = Some(code),
            _ => {}
        }
    }
    moved
}

fn message(from: &str, to: &str, body: &str) -> Stanza {
    let builder = Stanza::message(MessageType::Chat).body(body);
    builder.from(Jid::new(from).unwrap()).to(Jid::new(to).unwrap()).build()
}

#[test]
fn each_conversation_arrives_on_its_own_stream() {
    for mode in [Mode::Multistream, Mode::Untyped] {
        let mut pair = Pair::quic(mode);
        let session = pair.server.bound()[0];
        for peer in ["bob@b.example/x", "carol@c.example/x", "bob@b.example/y"] {
            let stanza = message(peer, ALICE, "hi");
            pair.server.link.send(session, &stanza, Class::Chat, pair.now);
            pair.run();
        }
        let received = pair.client().stanzas();
        let streams: Vec<_> = received.iter().map(|(stream, _)| *stream).collect();
        assert_eq!(streams[0], streams[2], "{mode:?}");
        assert_ne!(streams[0], streams[1], "{mode:?}");
        assert!(!streams.contains(&0), "{mode:?}: none is the Primary");
    }
}

#[test]
fn the_client_sends_each_conversation_on_its_own_stream_too() {
    let mut pair = Pair::quic(Mode::Multistream);
    let session = pair.client().bound()[0];
    let now = pair.now;
    for peer in ["bob@b.example", "carol@c.example", "bob@b.example", "a.example"] {
        let stanza = message(ALICE, peer, "hi");
        pair.client().link.send(session, &stanza, Class::Chat, now);
    }
    pair.run();
    let mut streams: Vec<_> = pair.server.stanzas().iter().map(|(stream, _)| *stream).collect();
    streams.sort_unstable();
    assert_eq!(streams, [0, 2, 2, 6]);
}

#[test]
fn one_stream_mode_keeps_everything_on_the_primary() {
    let mut pair = Pair::quic(Mode::Single);
    let (client, now) = (pair.client().bound()[0], pair.now);
    pair.client().link.send(client, &message(ALICE, "bob@b.example", "1"), Class::Chat, now);
    pair.run();
    assert_eq!(pair.server.stanzas()[0].0, 0);
}

#[test]
fn an_unknown_stream_type_resets_that_stream_only() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.write(4, [5]);
    pair.write(2, [60]);
    assert_eq!(pair.server.refused, [StreamId(4), StreamId(2)]);
    pair.write(0, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(pair.server.stanzas().len(), 1, "the session goes on");
}

#[test]
fn an_ancillary_inherits_the_namespaces_of_its_primary() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.write(2, b"\x01\x00<message to='bob@b.example'><x:y/></message>");
    let (stream, xml) = pair.server.stanzas().remove(0);
    assert_eq!(stream, 2);
    assert!(xml.contains("xmlns:x='urn:x'") || xml.contains("xmlns:x=\"urn:x\""), "{xml}");
}

#[test]
fn anything_but_a_stanza_on_an_ancillary_is_reported_on_the_primary() {
    for content in ["<r xmlns='urn:xmpp:sm:3'/>", "</stream:stream>", "<active xmlns='urn:x'/>"] {
        let mut pair = Pair::raw();
        pair.log_in(0, &[0]);
        pair.write(2, [b"\x01\x00", content.as_bytes()].concat());
        let (stream, last) = pair.server.seen.last().unwrap();
        assert_eq!(*stream, 0);
        assert!(
            last.contains("unsupported-stanza-type") || last.contains("not-well-formed"),
            "{content}: {last}"
        );
        assert!(last.ends_with("</stream:stream>"));
        assert_eq!(pair.server.closed, Some(Code::Protocol));
    }
}

#[test]
fn stanzas_that_overtake_the_login_wait_for_it() {
    let mut pair = Pair::raw();
    pair.write(2, b"\x01\x00<message to='b@b.example'><body>early</body></message>");
    assert!(pair.server.stanzas().is_empty());
    pair.log_in(0, &[0]);
    assert_eq!(pair.server.stanzas().len(), 1);
}

#[test]
fn early_streams_are_bounded_in_number_size_and_time() {
    for (count, refused) in
        [(limits::EARLY_STREAMS - 1, 0), (limits::EARLY_STREAMS, 0), (limits::EARLY_STREAMS + 1, 1)]
    {
        let mut pair = Pair::raw();
        for stream in 0..count as u64 {
            pair.write(2 + 4 * stream, [1, 0]);
        }
        assert_eq!(pair.server.refused.len(), refused, "{count} streams");
    }
    for (size, refused) in [
        (limits::EARLY_STREAM_BYTES - 1, 0),
        (limits::EARLY_STREAM_BYTES, 0),
        (limits::EARLY_STREAM_BYTES + 1, 1),
    ] {
        let mut pair = Pair::raw();
        pair.write(2, [&[1, 0][..], &vec![b' '; size]].concat());
        assert_eq!(pair.server.refused.len(), refused, "{size} bytes");
    }
    let mut pair = Pair::raw();
    pair.write(2, [1, 0]);
    pair.pass(limits::EARLY_WAIT - Duration::from_millis(1));
    assert!(pair.server.refused.is_empty());
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.server.refused.len(), 1);
}

#[test]
fn a_silent_stream_has_a_deadline_only_before_the_login() {
    let mut pair = Pair::raw();
    pair.server.link.handle_stream(StreamId(2), Direction::Uni, pair.now);
    pair.pass(limits::SNIFF_WAIT - Duration::from_millis(1));
    assert!(pair.server.refused.is_empty());
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.server.refused, [StreamId(2)]);
    pair.log_in(0, &[0]);
    pair.server.link.handle_stream(StreamId(6), Direction::Uni, pair.now);
    pair.pass(limits::SNIFF_WAIT * 10);
    pair.write(6, b"\x01\x00<message to='b@b.example'/>");
    assert_eq!(pair.server.stanzas().len(), 1);
}

#[test]
fn who_does_not_log_in_in_time_is_told_so() {
    let mut pair = Pair::raw();
    pair.write(0, [0]);
    pair.write(0, HEADER);
    pair.pass(limits::AUTHENTICATE_WAIT - Duration::from_millis(1));
    assert_eq!(pair.server.closed, None);
    pair.pass(Duration::from_millis(1));
    assert!(pair.server.sent().contains("connection-timeout"));
    assert!(pair.server.closed.is_some());
}

#[test]
fn a_later_session_has_to_log_in_in_time_too() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.pass(limits::AUTHENTICATE_WAIT);
    pair.write(4, [0]);
    pair.write(4, HEADER);
    pair.pass(limits::AUTHENTICATE_WAIT - Duration::from_millis(1));
    assert!(!pair.server.sent().contains("connection-timeout"));
    pair.pass(Duration::from_millis(1));
    assert!(pair.server.sent().contains("connection-timeout"));
    assert_eq!(pair.server.closed, None, "the first session goes on");
}

#[test]
fn a_partial_stanza_of_an_ended_lane_is_dropped() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.write(2, b"\x01\x00<message to='b@b.example'/><message to='c@");
    pair.server.link.handle_finished(StreamId(2), pair.now);
    pair.run();
    assert_eq!(pair.server.stanzas().len(), 1);
    assert_eq!(pair.server.closed, None);
}

#[test]
fn several_primaries_are_several_sessions() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.log_in(4, &[0]);
    assert_eq!(pair.server.bound().len(), 2);
    pair.write(2, b"\x01\x04<message to='b@b.example'/>");
    let second = pair.server.bound()[1];
    let owner = pair.server.events.iter().find_map(|event| match event {
        Event::Stanza { session, .. } => Some(*session),
        _ => None,
    });
    assert_eq!(owner, Some(second));
    pair.write(0, "</stream:stream>");
    assert_eq!(pair.server.closed, None, "the other session goes on");
    pair.write(4, "</stream:stream>");
    assert_eq!(pair.server.closed, Some(Code::None));
}

#[test]
fn sessions_of_a_connection_are_bounded() {
    for (count, refused) in
        [(limits::SESSIONS - 1, 0), (limits::SESSIONS, 0), (limits::SESSIONS + 1, 1)]
    {
        let mut pair = Pair::raw();
        for session in 0..count as u64 {
            pair.write(4 * session, [0]);
        }
        assert_eq!(pair.server.refused.len(), refused, "{count} sessions");
    }
}

#[test]
fn a_later_text_stream_is_an_independent_session_or_a_lane_of_the_first() {
    let mut pair = Pair::raw();
    pair.log_in(0, b"");
    pair.write(4, "<message to='b@b.example'><body>lane</body></message>");
    assert_eq!(pair.server.stanzas()[0].0, 4);
    pair.log_in(8, b"<?xml version='1.0'?>");
    assert_eq!(pair.server.bound().len(), 2);
}

#[test]
fn the_free_half_of_a_peers_stream_is_finished_with_it() {
    let mut pair = Pair::raw();
    pair.log_in(0, b"");
    pair.write(4, "<message to='b@b.example'/>");
    pair.server.link.handle_finished(StreamId(4), pair.now);
    let finished = std::iter::from_fn(|| pair.server.link.poll_action())
        .any(|action| matches!(action, Action::Finish { stream } if stream == StreamId(4)));
    assert!(finished);
}

#[test]
fn a_stanza_above_the_limit_ends_the_session() {
    for (size, is_ok) in [(0, true), (1, false)] {
        let mut pair = Pair::raw();
        pair.log_in(0, &[0]);
        let empty = "<message to='b@b.example'><body></body></message>".len();
        let body = "x".repeat(Limits::CLIENT.stanza_bytes - empty + size);
        pair.write(0, format!("<message to='b@b.example'><body>{body}</body></message>"));
        assert_eq!(pair.server.stanzas().len(), usize::from(is_ok), "{size} over");
        assert_eq!(pair.server.sent().contains("policy-violation"), !is_ok, "{size} over");
    }
}

#[test]
fn a_bad_address_answers_the_stanza_and_keeps_the_session() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.write(0, "<message id='1' to='@@'><body>x</body></message>");
    assert!(pair.server.sent().contains("jid-malformed"), "{}", pair.server.sent());
    assert_eq!(pair.server.closed, None);
}

#[test]
fn errors_carry_the_prefix_that_the_header_declares() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    pair.write(0, "<message xmlns='jabber:server' to='b@b.example'/>");
    assert!(pair.server.sent().contains("<stream:error><invalid-namespace"));
    assert!(pair.server.stanzas().is_empty());
}

#[test]
fn halves_that_the_peer_leaves_open_are_bounded() {
    let mut pair = Pair::raw();
    pair.log_in(0, b"");
    pair.server.bidi_credit = limits::ANSWERED_STREAMS + 1;
    let session = pair.server.bound()[0];
    let answered = |pair: &Pair| {
        pair.server.link.incoming.values().filter(|incoming| incoming.is_answered()).count()
    };
    for number in 0..=limits::ANSWERED_STREAMS {
        let stanza = message(&format!("c{number}@b.example/x"), ALICE, "hi");
        pair.server.link.send(session, &stanza, Class::Chat, pair.now);
        pair.run();
        // Only quiet lanes are retired, and only retired lanes make room for new ones.
        pair.pass(Duration::from_secs(2));
        assert_eq!(answered(&pair), (number + 1).min(limits::ANSWERED_STREAMS));
    }
    assert_eq!(pair.server.refused.len(), 1);
    assert!(pair.server.sent().contains("c256@b.example"), "sent all the same");
}

#[test]
fn both_ends_agree_after_a_close() {
    let mut pair = Pair::quic(Mode::Multistream);
    let session = pair.server.bound()[0];
    pair.server.link.close(session, Some(StreamError::new(StreamCondition::SystemShutdown)));
    pair.run();
    let told = pair.client().events.iter().any(|event| {
        matches!(event, Event::Closed { reason: CloseReason::PeerError(error), .. }
            if error.condition == StreamCondition::SystemShutdown)
    });
    assert!(told);
    assert_eq!(pair.server.closed, Some(Code::Shutdown));
}

#[test]
fn every_split_of_the_same_bytes_gives_the_same_stanzas() {
    let content = b"\x01\x00<message to='b@b.example'><body>one</body></message> \
        <message to='b@b.example'><body>two</body></message>";
    let mut whole = Pair::raw();
    whole.log_in(0, &[0]);
    whole.write(2, content);
    for cut in 1..content.len() {
        let mut split = Pair::raw();
        split.log_in(0, &[0]);
        split.write(2, &content[..cut]);
        split.write(2, &content[cut..]);
        assert_eq!(split.server.stanzas(), whole.server.stanzas(), "cut at {cut}");
    }
}

#[test]
fn finished_lanes_are_drained_before_the_primary_is_closed() {
    for mode in [Mode::Multistream, Mode::Untyped, Mode::Single] {
        let mut pair = Pair::quic(mode);
        let (session, now) = (pair.client().bound()[0], pair.now);
        let link = &mut pair.client().link;
        link.send(session, &message(ALICE, "bob@b.example", "last"), Class::Chat, now);
        assert_eq!(link.is_drained(session), mode == Mode::Single, "{mode:?}");
        for _ in 0..3 {
            pair.client().link.finish_lanes(session);
            pair.run();
        }
        assert!(pair.client().link.is_drained(session), "{mode:?}");
        assert_eq!(pair.server.stanzas().len(), 1, "{mode:?}");
        let link = &mut pair.client().link;
        link.send(session, &message(ALICE, "bob@b.example", "one more"), Class::Chat, now);
        pair.run();
        assert_eq!(pair.server.stanzas().len(), 2, "{mode:?}: the session goes on");
        pair.client().link.close(session, None);
        pair.run();
        let last = pair.server.events.last();
        assert!(matches!(last, Some(Event::Closed { reason: CloseReason::PeerClosed, .. })));
    }
}

//= test XEP-0388 §2.4
#[test]
fn white_space_during_sasl2_ends_the_stream() {
    let begin = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>";
    let respond = "<response xmlns='urn:xmpp:sasl:2'>AGFsaWNlAHNlY3JldA==</response>";
    for parts in [vec![begin, " "], vec![begin, "\n<response xmlns='urn:xmpp:sasl:2'/>"]] {
        let mut pair = Pair::raw();
        pair.write(0, [0]);
        pair.write(0, HEADER);
        for part in parts {
            pair.write(0, part);
        }
        let sent = pair.server.sent();
        assert!(sent.contains("<challenge") && sent.ends_with("</stream:stream>"), "{sent}");
        assert_eq!(pair.server.closed, Some(Code::Protocol));
    }
    // Before and after, it only shows that the client is there.
    let mut pair = Pair::raw();
    pair.write(0, [0]);
    for part in [HEADER, " \n", begin, respond, " ", "\n"] {
        pair.write(0, part);
    }
    assert!(pair.server.sent().contains("<success"));
    assert_eq!(pair.server.closed, None);
}

#[test]
fn a_client_that_reports_an_error_gets_the_closing_tag() {
    let error = "<stream:error><not-well-formed \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for is_bound in [true, false] {
        let mut pair = Pair::raw();
        pair.write(0, [0]);
        pair.write(0, HEADER);
        if is_bound {
            pair.write(0, LOGIN);
        }
        pair.write(0, error);
        let sent = pair.server.sent();
        assert!(!sent.contains("<stream:error") && sent.ends_with("</stream:stream>"), "{sent}");
        let Some(Event::Closed { reason, .. }) = pair.server.events.last() else { panic!() };
        assert!(matches!(reason, CloseReason::PeerError(_)), "{reason:?}");
    }
}

//= test RFC 6120 §8.3.1
#[test]
fn the_answer_to_a_malformed_stanza_names_its_sender() {
    let mut pair = Pair::raw();
    pair.log_in(0, &[0]);
    for stanza in ["<iq type='odd' id='1'/>", "<message to='@@' id='1'/>"] {
        pair.write(0, stanza);
        let (_, answer) = pair.server.seen.last().unwrap();
        assert!(answer.contains(r#"type="error" to="alice@a.example/r0" id="1""#), "{answer}");
    }
}
