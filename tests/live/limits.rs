//! The limits of the binary, met on real sockets: one below, exactly, one above.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, ensure};
use longwire_tests::hostile::table::{Entrance, Stage};
use longwire_tests::hostile::{RawClient, RawError, Target, stanza_bytes};
use longwire_tests::process::in_real_time;
use quinn::{Connection, VarInt};

const PING: &str = "<iq type='get' id='control'><ping xmlns='urn:xmpp:ping'/></iq>";
/// `Code::Excessive` of the link: more streams or bytes than are accepted at this point.
const EXCESSIVE: VarInt = VarInt::from_u32(2);
/// How long a place may stay taken by somebody who left.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request and waits for its answer.
async fn ping(client: &mut RawClient) -> Result<(), RawError> {
    client.send(PING).await?;
    client.until("id=\"control\"").await.map(drop)
}

/// A new connection with an open stream; an error when the server turns it away.
async fn open(target: &Target, entrance: Entrance) -> anyhow::Result<Guest> {
    let domain = target.site.domain();
    let (mut stream, connection) = match entrance {
        Entrance::Tcp => (target.tcp().await?, None),
        Entrance::Tls => (target.tls().await?, None),
        Entrance::QuicPrimary | Entrance::QuicAncillary => {
            let quic = target.quic().await?;
            (quic.primary, Some(quic.connection))
        }
    };
    stream.open(domain).await?;
    Ok(Guest { stream, connection })
}

/// A connection with an open stream.
pub(crate) struct Guest {
    stream: RawClient,
    connection: Option<Connection>,
}

impl Guest {
    fn leave(self) {
        if let Some(connection) = &self.connection {
            connection.close(VarInt::from_u32(0), b"");
        }
    }
}

/// A connection, as soon as the server has noticed that there is a place again.
pub(crate) async fn open_again(target: &Target, entrance: Entrance) -> anyhow::Result<Guest> {
    let again = async {
        loop {
            if let Ok(guest) = open(target, entrance).await {
                return guest;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.context("the place of somebody who left")
}

async fn assert_full(target: &Target) -> anyhow::Result<()> {
    for entrance in Entrance::STREAMS {
        ensure!(open(target, entrance).await.is_err(), "one too many through {entrance:?}");
    }
    Ok(())
}

#[test]
fn sixteen_strangers_of_an_address_may_be_there_and_not_one_more() -> anyhow::Result<()> {
    const STRANGERS: usize = 16;
    let target = Target::start("limits-strangers", "")?;
    in_real_time(async {
        let mut guests = Vec::new();
        // One bound for all entrances.
        for entrance in Entrance::STREAMS.into_iter().cycle().take(STRANGERS) {
            guests.push(open(&target, entrance).await.context("within the bound")?);
        }
        assert_full(&target).await?;
        // Whoever left makes place, however they came.
        for entrance in Entrance::STREAMS.into_iter().rev() {
            guests.remove(0).leave();
            guests.push(open_again(&target, entrance).await?);
            assert_full(&target).await?;
        }
        // Whoever has logged in is no stranger.
        let mut known = target.tcp().await?;
        ensure!(known.open(target.site.domain()).await.is_err(), "all places are taken");
        guests.remove(0).leave();
        let mut known = open_again(&target, Entrance::Tcp).await?;
        assert_full(&target).await?;
        target.authenticate(&mut known.stream).await?;
        guests.push(open_again(&target, Entrance::QuicPrimary).await?);
        assert_full(&target).await?;
        ping(&mut known.stream).await?;
        Ok(())
    })
}

#[test]
fn connections_of_an_address_have_a_bound_in_all() -> anyhow::Result<()> {
    const CONNECTIONS: usize = 9;
    let limits = format!(
        "[limits]\nconnections_per_address = {CONNECTIONS}\nunauthenticated_per_address = 64\n"
    );
    let target = Target::start("limits-connections", &limits)?;
    in_real_time(async {
        let mut doors = Vec::new();
        for entrance in Entrance::STREAMS.into_iter().cycle().take(CONNECTIONS) {
            doors.push(target.enter(entrance, Some(Stage::Bound)).await.context("in the bound")?);
        }
        assert_full(&target).await?;
        doors.pop();
        let _place = open_again(&target, Entrance::Tls).await?;
        assert_full(&target).await?;
        for door in &mut doors {
            ping(&mut door.input).await?;
        }
        Ok(())
    })
}

#[test]
fn who_does_not_log_in_in_time_is_sent_away_and_others_stay() -> anyhow::Result<()> {
    let target = Target::start("limits-login", "[limits]\nauthentication_time = \"2s\"\n")?;
    in_real_time(async {
        let mut known = target.enter(Entrance::Tcp, Some(Stage::Bound)).await?;
        let dawdle = async |entrance, stage| {
            let mut door = target.enter(entrance, stage).await?;
            let output = door.output();
            let condition = output.stream_error().await?;
            ensure!(condition == "connection-timeout", "{entrance:?} {stage:?}: {condition}");
            output.until_closed().await?;
            Ok(())
        };
        let opened = Some(Stage::Opened);
        // Not a single byte of XML: there is no stream to say anything on.
        let silent = async {
            let mut silent = target.enter(Entrance::Tcp, None).await?;
            silent.input.until_closed().await.context("silent on TCP")
        };
        let silent_quic = async { anyhow::Ok(target.connect().await?.closed().await) };
        tokio::try_join!(
            dawdle(Entrance::Tcp, opened),
            dawdle(Entrance::Tls, opened),
            dawdle(Entrance::QuicPrimary, opened),
            silent,
            silent_quic,
        )?;
        ping(&mut known.input).await?;
        Ok(())
    })
}

#[test]
fn a_tls_handshake_that_does_not_end_is_cut_off() -> anyhow::Result<()> {
    let target = Target::start("limits-handshake", "[limits]\nhandshake_time = \"1s\"\n")?;
    in_real_time(async {
        let mut known = target.enter(Entrance::Tls, Some(Stage::Bound)).await?;
        let address = target.site.address(longwire_client::Transport::Tls);
        // A record header of a ClientHello, and some of it.
        for start in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
            let mut slow = longwire_tests::hostile::tcp(address).await?;
            slow.send(start).await?;
            let said = slow.until_closed().await?;
            ensure!(said.len() < 16, "at most an alert: {said:?}");
        }
        ping(&mut known.input).await?;
        Ok(())
    })
}

const UNMETERED: &str = "[limits]\naccount_rate_enforced = false\n";

#[test]
fn a_stanza_before_login_has_16_kib_and_not_a_byte_more() -> anyhow::Result<()> {
    const BOUND: usize = 16 * 1024;
    let target = Target::start("limits-early-size", UNMETERED)?;
    in_real_time(async {
        for entrance in Entrance::STREAMS {
            for (bytes, expected) in [
                // It was read to its end, and only then refused.
                (BOUND - 1, "not-authorized"),
                (BOUND, "not-authorized"),
                (BOUND + 1, "policy-violation"),
            ] {
                let mut door = target.enter(entrance, Some(Stage::Opened)).await?;
                // The server may close before it has taken everything.
                let _ = door.input.send(stanza_bytes(bytes)).await;
                let condition = door.output().stream_error().await?;
                ensure!(condition == expected, "{entrance:?}, {bytes}: {condition}");
                door.output().until_closed().await?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_stanza_after_login_has_256_kib_and_not_a_byte_more() -> anyhow::Result<()> {
    const BOUND: usize = 256 * 1024;
    let target = Target::start("limits-size", UNMETERED)?;
    in_real_time(async {
        for entrance in Entrance::ALL {
            let mut door = target.enter(entrance, Some(Stage::Bound)).await?;
            for bytes in [BOUND - 1, BOUND] {
                door.input.send(stanza_bytes(bytes)).await?;
                ping_through(&mut door).await.with_context(|| format!("{entrance:?}, {bytes}"))?;
            }
            // The server may close before it has taken everything.
            let _ = door.input.send(stanza_bytes(BOUND + 1)).await;
            let condition = door.output().stream_error().await?;
            ensure!(condition == "policy-violation", "{entrance:?}: {condition}");
        }
        Ok(())
    })
}

async fn ping_through(door: &mut longwire_tests::hostile::Door) -> Result<(), RawError> {
    door.input.send(PING).await?;
    door.output().until("id=\"control\"").await.map(drop)
}

/// Whether a future has to wait, asked once.
async fn waits<T>(future: impl Future<Output = T>) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Opens as many streams of both kinds as the server grants; panics when it grants more.
async fn assert_granted(connection: &Connection, bidi: usize, uni: usize) -> Streams {
    let mut streams = Streams::default();
    for _ in 0..bidi {
        streams.bidi.push(connection.open_bi().await.unwrap());
    }
    for _ in 0..uni {
        streams.uni.push(connection.open_uni().await.unwrap());
    }
    assert!(waits(connection.open_bi()).await, "more than {bidi} bidirectional streams");
    assert!(waits(connection.open_uni()).await, "more than {uni} unidirectional streams");
    streams
}

#[derive(Default)]
struct Streams {
    bidi: Vec<(quinn::SendStream, quinn::RecvStream)>,
    uni: Vec<quinn::SendStream>,
}

#[test]
fn four_streams_before_login_and_64_after_it() -> anyhow::Result<()> {
    const EARLY: usize = 4;
    const LATER: usize = 64;
    let target = Target::start("limits-streams", "")?;
    in_real_time(async {
        let mut quic = target.quic().await?;
        let _early = assert_granted(&quic.connection, EARLY - 1, EARLY).await;
        quic.primary.open(target.site.domain()).await?;
        // The answer came after everything that the server granted with it.
        let _none = assert_granted(&quic.connection, 0, 0).await;
        target.authenticate(&mut quic.primary).await?;
        ping(&mut quic.primary).await?;
        let more = assert_granted(&quic.connection, LATER - EARLY, LATER - EARLY).await;
        ping(&mut quic.primary).await?;
        let _none = assert_granted(&quic.connection, 0, 0).await;
        // What is ended is granted again; quinn tells it once an eighth of the credit is back.
        drop(more.uni);
        for _ in 0..LATER / 2 {
            quic.connection.open_uni().await.context("a stream in the place of another")?;
        }
        drop(more.bidi);
        Ok(())
    })
}

/// Takes out the first lane that the server refuses; its reason.
async fn refused(lanes: &mut Vec<quinn::SendStream>) -> Option<VarInt> {
    let mut verdicts: Vec<_> = lanes.iter_mut().map(|lane| Box::pin(lane.stopped())).collect();
    let (index, reason) = std::future::poll_fn(|context| {
        for (index, verdict) in verdicts.iter_mut().enumerate() {
            if let Poll::Ready(reason) = verdict.as_mut().poll(context) {
                return Poll::Ready((index, reason.unwrap()));
            }
        }
        Poll::Pending
    })
    .await;
    drop(verdicts);
    lanes.remove(index);
    reason
}

#[test]
fn lanes_before_login_are_few_and_small() -> anyhow::Result<()> {
    const LANES: usize = 4;
    const BYTES: usize = 16 * 1024;
    let target = Target::start("limits-early-lanes", "")?;
    in_real_time(async {
        let mut quic = target.quic().await?;
        quic.primary.open(target.site.domain()).await?;
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            lanes.push(quic.connection.open_uni().await?);
        }
        // Of unidirectional ones the transport grants no more; the bound is one for both kinds.
        lanes.push(quic.connection.open_bi().await?.0);
        for lane in &mut lanes {
            lane.write_all(&[1, 0]).await?;
        }
        ensure!(refused(&mut lanes).await == Some(EXCESSIVE), "a fifth lane");
        let request = |id: usize, bytes: usize| {
            let request = format!("<iq type='get' id='e{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
            " ".repeat(bytes - request.len()) + &request
        };
        // Too much on one is the end of that one; exactly the bound waits for the login.
        lanes[0].write_all(request(0, BYTES + 1).as_bytes()).await?;
        ensure!(refused(&mut lanes).await == Some(EXCESSIVE), "more than {BYTES} bytes");
        ensure!(lanes.len() == LANES - 1, "of five lanes three are left");
        for (id, (lane, bytes)) in lanes.iter_mut().zip([100, BYTES - 1, BYTES]).enumerate() {
            lane.write_all(request(id + 1, bytes).as_bytes()).await?;
        }
        target.authenticate(&mut quic.primary).await?;
        let mut answered = Vec::new();
        for _ in &lanes {
            quic.primary.until("id=\"e").await?;
            answered.push(quic.primary.until("\"").await?);
        }
        answered.sort();
        ensure!(answered == ["1\"", "2\"", "3\""], "{answered:?}");
        Ok(ping(&mut quic.primary).await?)
    })
}

#[test]
fn who_writes_a_byte_at_a_time_disturbs_nobody() -> anyhow::Result<()> {
    let target = Target::start("limits-slow", "")?;
    in_real_time(async {
        let mut quick = target.enter(Entrance::Tcp, Some(Stage::Bound)).await?;
        for entrance in Entrance::ALL {
            let mut slow = target.enter(entrance, Some(Stage::Bound)).await?;
            for byte in PING.as_bytes() {
                slow.input.send([*byte]).await?;
                // Answered while the other one is in the middle of its stanza.
                ping(&mut quick.input).await?;
            }
            slow.output().until("id=\"control\"").await.with_context(|| format!("{entrance:?}"))?;
        }
        Ok(())
    })
}
