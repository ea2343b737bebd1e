//! The simulated network itself, proven with bare quinn before any server relies on it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::future::poll_fn;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longwire_tests::limits;
use longwire_tests::sim::{Identity, Net, Path, Verdict, each_seed, run};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Connection, Endpoint, TransportConfig};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn server_address() -> SocketAddr {
    "10.0.0.1:443".parse().unwrap()
}

fn client_address() -> SocketAddr {
    "10.0.0.2:5000".parse().unwrap()
}

/// Two endpoints and an echo server behind the first.
struct Pair {
    net: Net,
    client: Endpoint,
    connection: Connection,
}

async fn pair(seed: u64, path: Path) -> Pair {
    let net = Net::new(seed);
    net.paths(server_address(), client_address(), path);
    let identity = Identity::new(&["a.example"]);
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(120).try_into().unwrap()));
    transport.keep_alive_interval(Some(Duration::from_secs(20)));
    let transport = Arc::new(transport);
    let mut server = identity.quic_server(&["echo"]);
    server.transport_config(transport.clone());
    let mut client = identity.quic_client(&["echo"]);
    client.transport_config(transport);

    let server = net.endpoint(server_address(), Some(server)).unwrap();
    tokio::spawn(echo(server));
    let endpoint = net.endpoint(client_address(), None).unwrap();
    let connecting = endpoint.connect_with(client, server_address(), "a.example").unwrap();
    let connection = connecting.await.unwrap();
    Pair { net, client: endpoint, connection }
}

async fn echo(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.unwrap();
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let request = receive.read_to_end(4 << 20).await.unwrap();
                    send.write_all(&request).await.unwrap();
                    send.finish().unwrap();
                });
            }
        });
    }
}

async fn request(connection: &Connection, bytes: usize) -> Vec<u8> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&vec![7; bytes]).await.unwrap();
    send.finish().unwrap();
    receive.read_to_end(4 << 20).await.unwrap()
}

/// Fifty requests with pauses drawn from the seed: the trace hash and the time it took.
fn fifty_requests(seed: u64, loss: f64) -> (u64, Duration) {
    run(10 * HOUR, async {
        let path = Path::new(150 * MS).jitter(20 * MS).loss(loss);
        let pair = pair(seed, path).await;
        let mut pauses = Pcg64::seed_from_u64(seed);
        for i in 0..50 {
            let bytes = 500 + 31 * i;
            assert_eq!(request(&pair.connection, bytes).await.len(), bytes, "request {i}");
            tokio::time::sleep(pauses.random_range(0..60_000) * MS).await;
        }
        (pair.net.trace_hash(), pair.net.now())
    })
}

#[test]
fn equal_seeds_give_equal_traces_and_others_do_not() {
    let mut traces = std::collections::BTreeSet::new();
    each_seed(1..6, |seed| {
        let first = fifty_requests(seed, 0.1);
        assert_eq!(fifty_requests(seed, 0.1), first);
        assert_eq!(fifty_requests(seed, 0.1), first);
        assert!(first.1 > Duration::from_secs(600), "only {:?} passed", first.1);
        assert!(traces.insert(first.0), "another seed gave the same trace");
    });
}

#[test]
fn loss_shows_in_the_trace() {
    assert_ne!(fifty_requests(1, 0.0), fifty_requests(1, 0.02));
}

#[test]
fn a_request_takes_one_round_trip_on_a_perfect_line() {
    run(HOUR, async {
        let pair = pair(1, Path::new(150 * MS)).await;
        for _ in 0..20 {
            let sent = pair.net.now();
            request(&pair.connection, 500).await;
            let took = pair.net.now() - sent;
            assert!((300 * MS..303 * MS).contains(&took), "{took:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn a_blackout_delays_what_is_sent_in_it_and_the_connection_lives() {
    run(HOUR, async {
        let blackout = Duration::from_secs(10)..Duration::from_secs(25);
        let pair = pair(3, Path::new(150 * MS).outage(blackout.clone())).await;
        request(&pair.connection, 500).await;
        assert!(pair.net.now() < blackout.start);
        pair.net.until(Duration::from_secs(12)).await;
        request(&pair.connection, 500).await;
        assert!(pair.net.now() > blackout.end, "answered at {:?}", pair.net.now());
        let stats = pair.net.stats(client_address(), server_address());
        assert!(stats.outage > 0 && stats.lost == 0, "{stats:?}");
    });
}

#[test]
fn bulk_over_a_rated_line_fills_it_and_no_more() {
    run(HOUR, async {
        let rate = 1_000_000;
        let pair = pair(4, Path::new(50 * MS).rate(rate, 32_000)).await;
        let before = pair.net.stats(client_address(), server_address());
        let began = pair.net.now();
        request(&pair.connection, 500_000).await;
        let took = (pair.net.now() - began).as_secs_f64();
        let after = pair.net.stats(client_address(), server_address());
        let floor = 2.0 * 500_000.0 * 8.0 / rate as f64;
        assert!(took > floor && took < 1.6 * floor, "{took} s for a floor of {floor} s");
        let passed = (after.passed - before.passed) as f64;
        assert!(passed * 1_200.0 * 8.0 <= took * rate as f64 * 1.25, "{passed} datagrams");
    });
}

/// Sends datagrams without quinn, so that nothing but the network decides when they arrive.
struct Raw {
    from: Arc<dyn AsyncUdpSocket>,
    to: Arc<dyn AsyncUdpSocket>,
}

impl Raw {
    fn new(net: &Net, path: Path) -> Self {
        net.path(client_address(), server_address(), path);
        let from = net.socket(client_address()).unwrap();
        Self { from, to: net.socket(server_address()).unwrap() }
    }

    fn send(&self, contents: &[u8]) {
        let destination = server_address();
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        self.from.try_send(&transmit).unwrap();
    }

    /// The first two bytes of each datagram of one read, as a number, and the sender.
    async fn receive(&self) -> Vec<(u16, SocketAddr)> {
        let mut space = vec![0; 8 * 2_048];
        let mut metas = [RecvMeta::default(); 8];
        let filled = poll_fn(|context| {
            let mut buffers: Vec<IoSliceMut<'_>> =
                space.chunks_mut(2_048).map(IoSliceMut::new).collect();
            self.to.poll_recv(context, &mut buffers, &mut metas)
        });
        let filled = filled.await.unwrap();
        let numbers = space.chunks(2_048).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        numbers.zip(&metas).take(filled).map(|(number, meta)| (number, meta.addr)).collect()
    }

    async fn receive_count(&self, count: usize) -> Vec<u16> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.extend(self.receive().await.into_iter().map(|(number, _)| number));
        }
        numbers
    }
}

fn numbered(number: u16, bytes: usize) -> Vec<u8> {
    let mut datagram = vec![0; bytes];
    datagram[..2].copy_from_slice(&number.to_be_bytes());
    datagram
}

#[test]
fn a_rated_line_is_right_to_the_packet_time() {
    run(HOUR, async {
        let net = Net::new(1);
        // 972 + 28 bytes at 300 kbit/s: 26.666 ms each.
        let raw = Raw::new(&net, Path::new(100 * MS).rate(300_000, 1_000_000));
        for i in 0..200 {
            raw.send(&numbered(i, 972));
        }
        for i in 0..200u16 {
            let arrived: Vec<u16> = raw.receive().await.into_iter().map(|(n, _)| n).collect();
            assert_eq!(arrived, [i]);
            let exact = 100.0 + f64::from(i + 1) * 8_000.0 / 300.0;
            let at = net.now().as_secs_f64() * 1e3;
            assert!(at >= exact - 0.001 && at < exact + 1.001, "{i}: {at} ms, exactly {exact} ms");
        }
    });
}

#[test]
fn without_jitter_datagrams_keep_their_order_and_with_it_they_do_not() {
    for (jitter, in_order) in [(0, true), (40, false)] {
        run(HOUR, async {
            let net = Net::new(2);
            let raw = Raw::new(&net, Path::new(100 * MS).jitter(jitter * MS));
            for i in 0..500 {
                raw.send(&numbered(i, 100));
                if i % 3 == 0 {
                    tokio::time::sleep(MS).await;
                }
            }
            let mut numbers = raw.receive_count(500).await;
            assert_eq!(numbers.is_sorted(), in_order, "jitter {jitter} ms");
            numbers.sort_unstable();
            assert_eq!(numbers, (0..500).collect::<Vec<u16>>());
        });
    }
}

#[test]
fn a_drop_window_takes_its_milliseconds_in_its_direction_and_nothing_else() {
    run(HOUR, async {
        let net = Net::new(5);
        let raw = Raw::new(&net, Path::new(10 * MS));
        net.drop_window(client_address(), server_address(), 20 * MS..30 * MS);
        net.drop_window(server_address(), client_address(), 40 * MS..50 * MS);
        for i in 0..60 {
            net.until(u32::from(i) * MS).await;
            raw.send(&numbered(i, 100));
        }
        let expected: Vec<u16> = (0..20).chain(30..60).collect();
        assert_eq!(raw.receive_count(50).await, expected);
        assert_eq!(net.stats(client_address(), server_address()).taken, 10);
    });
}

#[test]
fn taking_datagrams_leaves_the_arrivals_of_all_others_alone() {
    let arrivals = |taken: bool| {
        run(HOUR, async {
            let net = Net::new(6);
            let path = Path::new(100 * MS).jitter(30 * MS).loss(0.2);
            let raw = Raw::new(&net, path);
            net.record();
            if taken {
                net.drop_window(client_address(), server_address(), 100 * MS..120 * MS);
            }
            for i in 0..300 {
                net.until(u32::from(i) * MS).await;
                raw.send(&numbered(i, 100));
            }
            net.records()
        })
    };
    let (whole, holed) = (arrivals(false), arrivals(true));
    assert_eq!(whole.len(), 300);
    for (whole, holed) in whole.iter().zip(&holed) {
        let in_window = (100 * MS..120 * MS).contains(&whole.at);
        assert_eq!(whole.fate == holed.fate, !in_window, "{whole:?} and {holed:?}");
    }
}

#[test]
fn an_inspector_drops_and_delays_by_number() {
    run(HOUR, async {
        let net = Net::new(7);
        let raw = Raw::new(&net, Path::new(10 * MS));
        net.inspect(|datagram| match datagram.index {
            3 => Verdict::Drop,
            5 => Verdict::Delay(Duration::from_secs(1)),
            _ => Verdict::Pass,
        });
        for i in 0..8 {
            raw.send(&numbered(i, 100));
        }
        assert_eq!(raw.receive_count(7).await, [0, 1, 2, 4, 6, 7, 5]);
        assert_eq!(net.now(), 1_010 * MS);
    });
}

#[test]
fn a_datagram_that_overtakes_another_is_not_held_up_by_it() {
    run(HOUR, async {
        let net = Net::new(15);
        let raw = Raw::new(&net, Path::new(10 * MS));
        net.inspect(|datagram| match datagram.index {
            0 => Verdict::Delay(Duration::from_secs(1)),
            _ => Verdict::Pass,
        });
        raw.send(&numbered(0, 100));
        tokio::time::sleep(MS).await;
        raw.send(&numbered(1, 100));
        assert_eq!(raw.receive_count(1).await, [1]);
        assert_eq!(net.now(), 11 * MS);
    });
}

#[test]
fn a_message_whose_first_packet_is_taken_arrives_after_one_recovery() {
    let answered = |taken: bool| {
        run(HOUR, async {
            let pair = pair(8, Path::new(150 * MS)).await;
            let at = Duration::from_secs(10);
            if taken {
                pair.net.drop_window(client_address(), server_address(), at..at + 2 * MS);
            }
            pair.net.until(at).await;
            request(&pair.connection, 300).await;
            pair.net.now() - at
        })
    };
    let (undisturbed, recovered) = (answered(false), answered(true));
    assert!(undisturbed < 303 * MS, "{undisturbed:?}");
    // A probe timeout of about 1.25 to 3 round trips comes first: RFC 9002 §6.2.
    assert!(recovered > 600 * MS && recovered < 1_500 * MS, "{recovered:?}");
}

#[test]
fn a_connection_survives_a_new_outside_address() {
    run(HOUR, async {
        let pair = pair(9, Path::new(50 * MS)).await;
        request(&pair.connection, 500).await;
        pair.net.translate(client_address(), "192.0.2.9:7777".parse().unwrap());
        let before = pair.net.now();
        assert_eq!(request(&pair.connection, 500).await.len(), 500);
        assert!(pair.net.now() - before < Duration::from_secs(2));
    });
}

#[test]
fn a_client_can_move_to_a_socket_of_its_own_choice() {
    run(HOUR, async {
        let pair = pair(10, Path::new(50 * MS)).await;
        let elsewhere: SocketAddr = "10.9.9.9:1".parse().unwrap();
        pair.net.paths(elsewhere, server_address(), Path::new(20 * MS));
        pair.client.rebind_abstract(pair.net.socket(elsewhere).unwrap()).unwrap();
        assert_eq!(request(&pair.connection, 500).await.len(), 500);
        assert!(pair.net.stats(elsewhere, server_address()).passed > 0);
    });
}

#[test]
fn the_address_of_a_dropped_socket_is_free_again() {
    run(HOUR, async {
        let net = Net::new(11);
        let socket = net.socket(client_address()).unwrap();
        assert!(net.socket(client_address()).is_err());
        drop(socket);
        assert!(net.socket(client_address()).is_ok());
    });
}

#[test]
fn a_translated_socket_is_seen_at_its_new_address_only() {
    run(HOUR, async {
        let net = Net::new(12);
        let raw = Raw::new(&net, Path::default());
        let outside: SocketAddr = "192.0.2.1:1".parse().unwrap();
        net.translate(client_address(), outside);
        raw.send(&numbered(1, 100));
        assert_eq!(raw.receive().await, [(1, outside)]);
        net.translate(server_address(), "192.0.2.2:2".parse().unwrap());
        raw.send(&numbered(2, 100));
        tokio::time::sleep(MS).await;
        let nobody: SocketAddr = "0.0.0.0:0".parse().unwrap();
        assert_eq!(net.stats(client_address(), nobody).other, 1);
    });
}

#[test]
fn an_unread_socket_holds_its_bound_and_not_one_more() {
    let bound = limits::INBOX_DATAGRAMS;
    for (sent, kept) in [(bound - 1, bound - 1), (bound, bound), (bound + 1, bound)] {
        run(HOUR, async {
            let net = Net::new(13);
            let raw = Raw::new(&net, Path::default());
            for i in 0..sent {
                raw.send(&numbered((i % 60_000) as u16, 10));
            }
            tokio::time::sleep(MS).await;
            // One more than is kept would wait for ever: the count is exact.
            assert_eq!(raw.receive_count(kept).await.len(), kept);
            let more = tokio::time::timeout(Duration::from_secs(1), raw.receive()).await;
            assert!(more.is_err(), "{sent} sent");
        });
    }
}

#[test]
fn the_network_carries_its_bound_and_not_one_datagram_more() {
    let bound = limits::FLIGHT_DATAGRAMS as u64;
    run(HOUR, async {
        let net = Net::new(14);
        let raw = Raw::new(&net, Path::new(HOUR));
        for sent in 1..=bound + 1 {
            raw.send(&numbered(0, 2));
            let stats = net.stats(client_address(), server_address());
            assert_eq!((stats.passed, stats.other), (sent.min(bound), sent.saturating_sub(bound)));
        }
    });
}
