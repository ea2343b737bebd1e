use std::time::Duration;

use super::*;

/// A transport that grants a number of streams and remembers what was written.
struct Bench {
    scheduler: Scheduler,
    out: Outputs,
    now: Instant,
    uni: usize,
    bidi: usize,
    next: u64,
    writes: Vec<(u64, String)>,
    finished: Vec<StreamId>,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "an instant to start from")]
    fn new(mode: Mode, uni: usize, bidi: usize) -> Self {
        let own = BareJid::new("alice@a.example").unwrap();
        let now = Instant::now();
        Self {
            scheduler: Scheduler::new(mode, own, StreamId(0), 0, now),
            out: Outputs::default(),
            now,
            uni,
            bidi,
            next: 3,
            writes: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn queue(&mut self, peer: &str, class: Class, text: &str) {
        let peer = BareJid::new(peer).unwrap();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.scheduler.send(Some(&peer), class, bytes, self.now, &mut self.out);
    }

    fn send(&mut self, peer: &str, class: Class, text: &str) {
        self.queue(peer, class, text);
        self.drive();
    }

    fn chat(&mut self, peer: &str, text: &str) -> u64 {
        self.send(peer, Class::Chat, text);
        self.writes.last().map_or(u64::MAX, |write| write.0)
    }

    fn drive(&mut self) {
        while let Some(action) = self.out.actions.pop_front() {
            match action {
                Action::Open { ticket, direction } => {
                    let credit = match direction {
                        Direction::Uni => &mut self.uni,
                        Direction::Bidi => &mut self.bidi,
                    };
                    let answer = match credit.checked_sub(1) {
                        Some(rest) => {
                            *credit = rest;
                            self.next += 4;
                            Ok(StreamId(self.next))
                        }
                        None => Err(Refused),
                    };
                    assert!(self.scheduler.handle_opened(ticket, answer, self.now, &mut self.out));
                }
                Action::Write { stream, bytes } => {
                    self.writes.push((stream.0, String::from_utf8_lossy(&bytes).into_owned()));
                }
                Action::Finish { stream } => self.finished.push(stream),
                _ => {}
            }
        }
    }

    fn drain(&mut self) {
        for stream in std::mem::take(&mut self.finished) {
            self.scheduler.handle_drained(stream, self.now, &mut self.out);
        }
        self.drive();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.scheduler.handle_timeout(self.now, &mut self.out);
        self.drive();
    }
}

#[test]
fn every_conversation_has_a_stream_of_its_own_and_keeps_it() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    let bob = bench.chat("bob@b.example", "1");
    let carol = bench.chat("carol@c.example", "2");
    assert_ne!(bob, carol);
    assert_eq!(bench.writes[0].1, "\u{1}\u{0}1", "the header names the session");
    assert_eq!(bench.chat("bob@b.example", "3"), bob);
    assert_eq!(bench.chat("carol@c.example", "4"), carol);
}

#[test]
fn own_account_and_server_traffic_goes_on_the_primary() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    assert_eq!(bench.chat("alice@a.example", "1"), 0);
    assert_eq!(bench.chat("a.example", "2"), 0);
    assert_ne!(bench.chat("b.example", "3"), 0);
}

#[test]
fn bulk_never_shares_the_primary() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    bench.send("alice@a.example", Class::Bulk, "page");
    assert_ne!(bench.writes[0].0, 0);
}

#[test]
fn untyped_peers_get_bidirectional_streams_without_a_header() {
    let mut bench = Bench::new(Mode::Untyped, 64, 1);
    bench.chat("bob@b.example", "1");
    assert_eq!(bench.writes[0].1, "1");
    assert_eq!(bench.bidi, 0);
}

#[test]
fn without_credit_the_free_half_of_a_peers_stream_is_used_then_a_shared_one() {
    let mut bench = Bench::new(Mode::Multistream, 1, 1);
    bench.scheduler.add_spare(StreamId(40));
    let first = bench.chat("one@b.example", "1");
    let second = bench.chat("two@b.example", "2");
    let third = bench.chat("three@b.example", "3");
    assert_eq!(third, 40);
    assert_eq!(bench.writes[2].1, "3", "the opener wrote the header");
    let fourth = bench.chat("four@b.example", "4");
    assert!([first, second, third].contains(&fourth), "{fourth} is shared");
}

#[test]
fn without_any_stream_the_primary_carries_all() {
    let mut bench = Bench::new(Mode::Multistream, 0, 0);
    assert_eq!(bench.chat("one@b.example", "1"), 0);
    assert_eq!(bench.chat("two@b.example", "2"), 0);
}

#[test]
fn a_refused_open_moves_its_own_queue_in_order_and_nothing_else() {
    let mut bench = Bench::new(Mode::Multistream, 1, 0);
    let bob = bench.chat("bob@b.example", "b1");
    for (peer, text) in [("carol", "c1"), ("dave", "d1"), ("carol", "c2"), ("dave", "d2")] {
        bench.queue(&format!("{peer}@c.example"), Class::Chat, text);
    }
    bench.chat("bob@b.example", "b2");
    let texts = |wanted: char| -> Vec<_> {
        let all = bench.writes.iter().map(|(_, text)| text.clone());
        all.filter(|text| text.contains(wanted)).collect()
    };
    assert_eq!(texts('c'), ["c1", "c2"]);
    assert_eq!(texts('d'), ["d1", "d2"]);
    assert!(bench.writes.iter().all(|(stream, _)| *stream == bob));
}

#[test]
fn a_quiet_lane_is_retired_under_pressure_and_its_pair_moves_only_when_it_is_drained() {
    let mut bench = Bench::new(Mode::Multistream, 1, 0);
    let bob = bench.chat("bob@b.example", "b1");
    bench.pass(limits::LANE_QUIET);
    bench.chat("carol@c.example", "c1");
    assert_eq!(bench.finished, [StreamId(bob)], "the refused open retires the quiet lane");
    bench.send("bob@b.example", Class::Chat, "b2");
    assert!(!bench.writes.iter().any(|(_, text)| text.contains("b2")), "held until drained");
    bench.uni = 1;
    bench.drain();
    let (stream, text) = bench.writes.last().unwrap();
    assert!(text.ends_with("b2"));
    assert_ne!(*stream, bob);
}

#[test]
fn presence_shares_lanes_that_are_retired_when_they_fall_quiet() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    for contact in 0..50 {
        bench.send(&format!("c{contact}@b.example"), Class::Presence, "p");
    }
    let streams: BTreeSet<_> = bench.writes.iter().map(|write| write.0).collect();
    assert_eq!(streams.len() as u64, limits::PRESENCE_LANES);
    let shared = bench.chat("c1@b.example", "early");
    assert!(streams.contains(&shared), "the pair stays where its presence went");
    assert!(bench.scheduler.poll_timeout().is_some());
    bench.pass(limits::LANE_QUIET);
    assert_eq!(bench.finished.len() as u64, limits::PRESENCE_LANES);
    assert_eq!(bench.scheduler.poll_timeout(), None, "idle: no timers");
    bench.drain();
    let own = bench.chat("c1@b.example", "later");
    assert!(!streams.contains(&own));
}

#[test]
fn a_stopped_lane_is_replaced_and_a_peer_that_stops_all_gets_the_primary() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    for round in 1..=limits::STOPPED_LANES {
        let lane = bench.chat("bob@b.example", "x");
        assert_ne!(lane, 0, "round {round}");
        bench.scheduler.handle_stopped(StreamId(lane), bench.now, &mut bench.out);
    }
    assert_eq!(bench.chat("bob@b.example", "x"), 0);
    bench.send("bob@b.example", Class::Bulk, "archive");
    assert_eq!(bench.writes.last().map(|write| write.0), Some(0));
}

#[test]
fn a_lane_that_is_read_keeps_its_conversation_whatever_else_is_stopped() {
    let mut bench = Bench::new(Mode::Multistream, 64, 64);
    let read = bench.chat("carol@c.example", "1");
    for _ in 1..=limits::STOPPED_LANES {
        let lane = bench.chat("bob@b.example", "x");
        bench.scheduler.handle_stopped(StreamId(lane), bench.now, &mut bench.out);
    }
    // The first one may still be on its way: on another stream the second would overtake it.
    assert_eq!(bench.chat("carol@c.example", "2"), read);
    assert_eq!(bench.chat("dave@d.example", "x"), 0);
}

#[test]
fn dedicated_lanes_are_bounded() {
    for (count, expected) in [
        (limits::DEDICATED_LANES - 1, limits::DEDICATED_LANES - 1),
        (limits::DEDICATED_LANES, limits::DEDICATED_LANES),
        (limits::DEDICATED_LANES + 1, limits::DEDICATED_LANES),
    ] {
        let mut bench = Bench::new(Mode::Multistream, 1000, 0);
        let lanes: BTreeSet<_> =
            (0..count).map(|peer| bench.chat(&format!("p{peer}@b.example"), "x")).collect();
        assert_eq!(lanes.len(), expected, "{count} conversations");
    }
}

#[test]
fn the_table_of_pairs_is_bounded_and_late_pairs_stay_on_the_primary() {
    let mut bench = Bench::new(Mode::Multistream, 0, 0);
    bench.uni = 1;
    for peer in 0..limits::PAIRS {
        bench.chat(&format!("p{peer}@b.example"), "x");
    }
    assert_eq!(bench.scheduler.pairs.len(), limits::PAIRS);
    assert_eq!(bench.chat("late@b.example", "x"), 0);
    assert_eq!(bench.scheduler.pairs.len(), limits::PAIRS);
}

#[test]
fn the_backlog_has_a_bound_that_callers_see() {
    let mut bench = Bench::new(Mode::Multistream, 64, 0);
    for count in 1..=limits::BACKLOG_STANZAS + 1 {
        bench.queue("bob@b.example", Class::Chat, "x");
        assert_eq!(bench.scheduler.is_congested(), count >= limits::BACKLOG_STANZAS, "{count}");
    }
    bench.drive();
    assert!(!bench.scheduler.is_congested());
    bench.queue("carol@b.example", Class::Chat, &"x".repeat(limits::BACKLOG_BYTES - 1));
    assert!(!bench.scheduler.is_congested());
    bench.queue("carol@b.example", Class::Chat, "x");
    assert!(bench.scheduler.is_congested());
}
