"""An independent QUIC client in both multi-stream dialects."""

import contextlib

from common import Failure, expect, run
from scram import Plain, ScramSha256
from xmpp_quic import CLIENT, Mode, chat, connection

NO_APPLICATION_PROTOCOL = 0x100 + 120
STREAM_LIMIT_ERROR = 0x04
SENDERS = ("alice", "carol", "dave")


def both_modes(check):
    """The check once per dialect."""
    pairs = []
    for mode, label in ((Mode.MULTISTREAM, "multistream"), (Mode.UNTYPED, "pr1533")):

        async def bound(settings, mode=mode):
            await check(settings, mode)

        pairs.append((f"{label}: {check.__name__}", bound))
    return pairs


@contextlib.asynccontextmanager
async def people(settings, mode, *names):
    """A connection and a session for each name."""
    async with contextlib.AsyncExitStack() as stack:
        sessions = []
        for name in names:
            opened = await stack.enter_async_context(connection(settings, mode))
            sessions.append(await opened.login(settings, name))
        yield sessions


def expect_own_stream(received, mode):
    stream_id = received.stream_id
    expect(stream_id & 1 == 1, f"a conversation comes on a stream of the server: {received}")
    unidirectional = stream_id & 2 == 2
    expect(
        unidirectional == (mode is Mode.MULTISTREAM),
        f"typed peers get unidirectional streams, others bidirectional ones: {received}",
    )


# --- both dialects


async def every_mechanism_logs_in(settings, mode):
    for mechanism in (ScramSha256, Plain):
        async with connection(settings, mode) as opened:
            session = await opened.login(settings, "alice", mechanism)
            await session.ping()


async def sasl1_with_stream_restart_logs_in(settings, mode):
    for mechanism in (ScramSha256, Plain):
        async with connection(settings, mode) as opened:
            session = opened.session(settings.domain)
            await session.authenticate_classic("alice", settings.password("alice"), mechanism)
            await session.ping()


async def a_wrong_password_is_refused(settings, mode):
    async with connection(settings, mode) as opened:
        session = opened.session(settings.domain)
        try:
            await session.authenticate("carol", "certainly wrong", ScramSha256)
        except Failure as refusal:
            expect("not-authorized" in str(refusal), f"not-authorized, not {refusal}")
        else:
            raise Failure("the wrong password was accepted")


async def each_conversation_arrives_on_its_own_stream(settings, mode):
    async with people(settings, mode, "bob", *SENDERS) as (bob, *senders):
        lanes = {sender.jid: sender.lane() for sender in senders}
        for turn in range(5):
            for sender in senders:
                lanes[sender.jid].send(chat(bob.jid, f"{turn} from {sender.jid}"))
        streams = {}
        for turn in range(5):
            for sender in senders:
                received = await bob.message(f"{turn} from {sender.jid}")
                expect(received.element.get("from") == sender.jid, f"the true sender: {received}")
                expect_own_stream(received, mode)
                streams.setdefault(sender.jid, set()).add(received.stream_id)
        expect(all(len(used) == 1 for used in streams.values()), f"one stream each: {streams}")
        distinct = set().union(*streams.values())
        expect(len(distinct) == len(senders), f"a stream of its own for each: {streams}")


async def answers_travel_back_on_a_stream_per_conversation(settings, mode):
    async with people(settings, mode, "alice", "bob", "carol") as (alice, bob, carol):
        for peer in (bob, carol):
            alice.lane().send(chat(peer.jid, f"question to {peer.jid}"))
            await peer.message(f"question to {peer.jid}")
            peer.lane().send(chat(alice.jid, f"answer from {peer.jid}"))
        used = []
        for peer in (bob, carol):
            received = await alice.message(f"answer from {peer.jid}")
            expect_own_stream(received, mode)
            used.append(received.stream_id)
        expect(used[0] != used[1], f"two conversations, two streams: {used}")


async def a_conversation_keeps_its_order(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        lane = alice.lane()
        bodies = [f"number {number}" for number in range(200)]
        for body in bodies:
            lane.send(chat(bob.jid, body))
        await bob.message(bodies[-1])
        arrived = [
            received.element.findtext(CLIENT + "body")
            for received in bob.received
            if received.element.tag == CLIENT + "message"
            and received.element.get("from") == alice.jid
        ]
        expect(arrived == bodies, f"all of them in order, not {arrived}")


async def everything_on_the_primary_works_too(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        alice.send(chat(bob.jid, "over one stream"))
        await bob.message("over one stream")
        bob.send(chat(alice.jid, "and back"))
        await alice.message("and back")


async def half_a_stanza_blocks_its_own_stream_only(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        slow, quick = alice.lane(), alice.lane()
        whole = chat(bob.jid, "slow \U0001f422")
        encoded = whole.encode()
        slow.send(encoded[:40])
        quick.send(chat(bob.jid, "quick"))
        await bob.message("quick")
        for octet in encoded[40:]:
            slow.send(bytes([octet]))
        await bob.message("slow \U0001f422")


async def a_large_stanza_comes_through_whole(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        body = "0123456789abcdef" * 12_000
        alice.lane().send(chat(bob.jid, body))
        await bob.message(body)


async def the_end_of_a_lane_ends_nothing_else(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        ended, cut, broken = alice.lane(), alice.lane(), alice.lane()
        ended.send(chat(bob.jid, "complete, then the end"), end=True)
        cut.send("<message to='bob@", end=True)
        broken.send("<message to='bob@")
        alice.connection.reset(broken.id)
        await bob.message("complete, then the end")
        await alice.ping()
        alice.lane().send(chat(bob.jid, "still here"))
        await bob.message("still here")


async def unknown_first_octets_reset_that_stream_alone(settings, mode):
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        opened = alice.connection
        for octet in (b"\x05", b"\x3d", b"\x40\x64"):
            for unidirectional in (False, True):
                stream_id = opened.open(unidirectional)
                opened.send(stream_id, octet + b"what is this?")
                stream = opened.stream(stream_id)
                await opened.until(
                    lambda: stream.stopped_code is not None, f"STOP_SENDING after {octet!r}"
                )
                if not unidirectional:
                    await opened.until(
                        lambda: stream.reset_code is not None, f"RESET_STREAM after {octet!r}"
                    )
        await alice.ping()
        alice.lane().send(chat(bob.jid, "the connection lives"))
        await bob.message("the connection lives")


async def a_lane_carries_nothing_but_stanzas(settings, mode):
    async with people(settings, mode, "alice") as (alice,):
        alice.lane().send("<active xmlns='urn:xmpp:csi:0'/>")
        condition = await alice.stream_error()
        expect(condition == "unsupported-stanza-type", f"unsupported-stanza-type, not {condition}")


async def bad_xml_on_a_lane_is_answered_on_the_primary(settings, mode):
    async with people(settings, mode, "alice") as (alice,):
        alice.lane().send("<message><body></message>")
        condition = await alice.stream_error()
        expect(condition == "not-well-formed", f"not-well-formed, not {condition}")


async def few_streams_before_login_and_many_after(settings, mode):
    async with connection(settings, mode) as opened:
        for unidirectional in (False, True):
            granted = opened.granted(unidirectional)
            expect(granted <= 4, f"{granted} streams before authentication")
        await opened.login(settings, "alice")
        for unidirectional in (False, True):
            await opened.until(
                lambda: opened.granted(unidirectional) >= 64, "64 streams after binding"
            )


async def more_streams_than_granted_end_the_connection(settings, mode):
    async with people(settings, mode, "bob") as (bob,):
        async with connection(settings, mode) as opened:
            alice = await opened.login(settings, "alice")
            await opened.until(lambda: opened.granted(False) >= 64, "64 streams after binding")
            opened.ignore_stream_limits()
            # Only the highest number has to be too high: lower ones count as opened with it.
            opened.send(4 * 5_000, chat(bob.jid, "one too many"))
            with contextlib.suppress(Failure):
                await opened.until(lambda: False, "the end of the connection")
            expect(opened.terminated is not None, "the connection ends")
            code = opened.terminated.error_code
            expect(code == STREAM_LIMIT_ERROR, f"STREAM_LIMIT_ERROR, not {opened.terminated}")
        await bob.ping()
        async with people(settings, mode, "alice") as (alice,):
            await alice.ping()


async def more_lanes_than_are_open_at_once(settings, mode):
    """Lanes that are ended give their credit back: many more than 64 in a row."""
    async with people(settings, mode, "alice", "bob") as (alice, bob):
        for number in range(200):
            alice.lane().send(chat(bob.jid, f"lane {number}"), end=True)
        for number in range(200):
            await bob.message(f"lane {number}")


# --- typed streams only


async def stanzas_sent_before_binding_wait_for_it(settings):
    async with people(settings, Mode.MULTISTREAM, "bob") as (bob,):
        async with connection(settings, Mode.MULTISTREAM) as opened:
            session = opened.session(settings.domain)
            session.lane().send(chat(bob.jid, "early"))
            await session.authenticate("carol", settings.password("carol"), ScramSha256)
            received = await bob.message("early")
            expect(received.element.get("from") == session.jid, f"the true sender: {received}")


async def two_accounts_share_one_connection(settings):
    mode = Mode.MULTISTREAM
    async with connection(settings, mode) as opened:
        alice = await opened.login(settings, "alice")
        bob = await opened.login(settings, "bob")
        expect((alice.primary, bob.primary) == (0, 4), "two Primary streams")
        alice.lane().send(chat(bob.jid, "next door"))
        bob.lane().send(chat(alice.jid, "hello neighbour"))
        expect_own_stream(await bob.message("next door"), mode)
        expect_own_stream(await alice.message("hello neighbour"), mode)
        alice.connection.send(alice.primary, "</stream:stream>", end=True)
        await bob.ping()


async def lanes_have_the_namespaces_of_their_primary(settings):
    async with people(settings, Mode.MULTISTREAM, "bob") as (bob,):
        async with connection(settings, Mode.MULTISTREAM) as opened:
            declared = "xmlns:note='urn:example:note'"
            alice = await opened.login(settings, "alice", extra_namespaces=declared)
            alice.lane().send(chat(bob.jid, "with context", "<note:mark note:of='x'/>"))
            received = await bob.message("with context")
            mark = received.element.find("{urn:example:note}mark")
            expect(mark is not None, f"the element in its namespace: {received}")
            expect(mark.get("{urn:example:note}of") == "x", f"and its attribute: {received}")


async def either_kind_of_lane_is_accepted(settings):
    async with people(settings, Mode.MULTISTREAM, "alice", "bob") as (alice, bob):
        for unidirectional in (False, True):
            body = f"unidirectional: {unidirectional}"
            alice.lane(unidirectional).send(chat(bob.jid, body))
            await bob.message(body)


async def a_lane_of_an_unknown_session_harms_nobody(settings):
    async with people(settings, Mode.MULTISTREAM, "alice", "bob") as (alice, bob):
        opened = alice.connection
        stream_id = opened.open(unidirectional=True)
        opened.send(stream_id, b"\x01\x3c" + chat(bob.jid, "from nobody").encode())
        alice.lane().send(chat(bob.jid, "from alice"))
        await bob.message("from alice")
        bodies = [r.element.findtext(CLIENT + "body") for r in bob.received]
        expect("from nobody" not in bodies, "a lane without a session delivers nothing")


async def a_long_form_type_is_the_same_type(settings):
    async with connection(settings, Mode.MULTISTREAM) as opened:
        # The two-octet form of 0 and of 1; the Session ID in four octets.
        session = opened.session(settings.domain, kind=b"\x40\x00")
        await session.authenticate("alice", settings.password("alice"), ScramSha256)
        lane = opened.open(unidirectional=True)
        opened.send(lane, b"\x40\x01\x80\x00\x00\x00" + chat(session.jid, "to myself").encode())
        await session.message("to myself")


async def another_protocol_label_is_refused(settings):
    for alpn in ("http/0.9", "xmpp"):
        try:
            async with connection(settings, Mode.MULTISTREAM, alpn):
                raise Failure(f"ALPN {alpn} was accepted")
        except ConnectionError as refusal:
            print(f"        {alpn}: {refusal}")


CHECKS = [
    *both_modes(every_mechanism_logs_in),
    *both_modes(sasl1_with_stream_restart_logs_in),
    *both_modes(a_wrong_password_is_refused),
    *both_modes(everything_on_the_primary_works_too),
    *both_modes(each_conversation_arrives_on_its_own_stream),
    *both_modes(answers_travel_back_on_a_stream_per_conversation),
    *both_modes(a_conversation_keeps_its_order),
    *both_modes(half_a_stanza_blocks_its_own_stream_only),
    *both_modes(a_large_stanza_comes_through_whole),
    *both_modes(the_end_of_a_lane_ends_nothing_else),
    *both_modes(unknown_first_octets_reset_that_stream_alone),
    *both_modes(a_lane_carries_nothing_but_stanzas),
    *both_modes(bad_xml_on_a_lane_is_answered_on_the_primary),
    *both_modes(few_streams_before_login_and_many_after),
    *both_modes(more_streams_than_granted_end_the_connection),
    *both_modes(more_lanes_than_are_open_at_once),
    *[
        (f"multistream: {check.__name__}", check)
        for check in (
            stanzas_sent_before_binding_wait_for_it,
            two_accounts_share_one_connection,
            lanes_have_the_namespaces_of_their_primary,
            either_kind_of_lane_is_accepted,
            a_lane_of_an_unknown_session_harms_nobody,
            a_long_form_type_is_the_same_type,
            another_protocol_label_is_refused,
        )
    ],
]

if __name__ == "__main__":
    run(CHECKS)
