"""A stock TCP client (slixmpp) over STARTTLS and direct TLS, alone and with longwire's own client."""

import asyncio
import contextlib
import itertools
import os
import ssl

import slixmpp

from common import Failure, expect, run

WAIT_SECONDS = 15
STARTTLS = "starttls"
DIRECT = "tls"
_numbers = itertools.count(1)


class Person(slixmpp.ClientXMPP):
    """slixmpp as it comes, plus a list of what arrived and a way to wait for it."""

    def __init__(self, settings, name, transport):
        jid = f"{settings.jid(name)}/slixmpp{next(_numbers)}"
        super().__init__(jid, settings.password(name))
        self.transport_name = transport
        self.ca_certs = settings.certificates
        self.ssl_context = ssl.create_default_context(cafile=settings.certificates)
        self.enable_plaintext = False
        self.enable_starttls = transport == STARTTLS
        self.enable_direct_tls = transport == DIRECT
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        self.seen = []
        self._changed = asyncio.Event()
        for plugin in ("xep_0030", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        for event in (
            "message",
            "message_error",
            "presence",
            "roster_update",
            "session_start",
            "failed_all_auth",
        ):
            self.add_event_handler(event, lambda stanza, event=event: self._saw(event, stanza))

    def _saw(self, event, stanza):
        self.seen.append((event, stanza))
        self._changed.set()

    async def until(self, condition, what):
        """The first event (kind, stanza) for which the condition holds; it is used up."""

        async def wait():
            while True:
                for number, (kind, stanza) in enumerate(self.seen):
                    if condition(kind, stanza):
                        del self.seen[number]
                        return stanza
                self._changed.clear()
                await self._changed.wait()

        try:
            return await asyncio.wait_for(wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            seen = [f"{kind}: {stanza}" for kind, stanza in self.seen]
            raise Failure(f"{self.boundjid} waited in vain for {what}; saw {seen}") from None

    async def presence(self, sender, kind):
        return await self.until(
            lambda event, stanza: event == "presence"
            and stanza["type"] == kind
            and stanza["from"].bare == sender,
            f"presence {kind!r} from {sender}",
        )

    async def chat(self, sender, body):
        return await self.until(
            lambda event, stanza: event == "message"
            and stanza["from"].bare == sender
            and stanza["body"] == body,
            f"{body!r} from {sender}",
        )

    async def contacts(self):
        """The roster as the server has it; slixmpp's own request may be answered "unchanged"."""
        iq = self.Iq(stype="get")
        iq.enable("roster")
        return (await iq.send())["roster"]["items"]

    async def roster_state(self, jid, subscription, ask=None):
        """Waits until the roster, as the server pushed it, says this about a contact."""

        async def wait():
            while True:
                item = (await self.contacts()).get(slixmpp.JID(jid))
                if item and item["subscription"] == subscription and (
                    ask is None or item["ask"] == ask
                ):
                    return item
                await self.until(lambda event, _: event == "roster_update", "a roster push")

        return await asyncio.wait_for(wait(), WAIT_SECONDS)


@contextlib.asynccontextmanager
async def online(settings, *who):
    """Logs (name, transport) pairs in, with their rosters and initial presence."""
    people = [Person(settings, name, transport) for name, transport in who]
    try:
        for person in people:
            person.connect(settings.host, settings.ports[person.transport_name])
            await person.until(lambda event, _: event == "session_start", "the session")
            await person.get_roster()
            person.send_presence()
            await person.presence(person.boundjid.bare, "available")
        yield people
    finally:
        for person in people:
            await person.disconnect(wait=2.0)


async def clear(people):
    for person in people:
        items = await person.contacts()
        for jid in items:
            iq = person.Iq()
            iq["type"] = "set"
            iq["roster"]["items"] = {jid: {"subscription": "remove"}}
            await iq.send()


def on_each_transport(check):
    pairs = []
    for transport in (STARTTLS, DIRECT):

        async def bound(settings, transport=transport):
            await check(settings, transport)

        pairs.append((f"{transport}: {check.__name__}", bound))
    return pairs


# --- one client


async def login_is_encrypted_and_bound(settings, transport):
    async with online(settings, ("alice", transport)) as (alice,):
        expect(alice.boundjid.bare == settings.jid("alice"), f"bound as {alice.boundjid}")
        version = alice.transport.get_extra_info("ssl_object").version()
        expect(version in ("TLSv1.2", "TLSv1.3"), f"TLS, not {version}")


async def every_mechanism_logs_in(settings, transport):
    for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        person = Person(settings, "alice", transport)
        person.plugin["feature_mechanisms"].use_mech = mechanism
        person.plugin["feature_mechanisms"].config["unencrypted_plain"] = False
        person.connect(settings.host, settings.ports[transport])
        await person.until(lambda event, _: event == "session_start", f"login with {mechanism}")
        used = person.plugin["feature_mechanisms"].mech.name
        expect(used == mechanism, f"{mechanism} was used, not {used}")
        await person.disconnect(wait=2.0)


async def a_wrong_password_is_refused(settings, transport):
    person = Person(settings, "alice", transport)
    person.credentials["password"] = "certainly wrong"
    person.plugin["feature_mechanisms"].use_mech = "SCRAM-SHA-256"
    person.connect(settings.host, settings.ports[transport])
    await person.until(lambda event, _: event == "failed_all_auth", "the refusal")
    await person.disconnect(wait=2.0)


async def roster_entries_are_kept_pushed_and_removed(settings, transport):
    contact = slixmpp.JID(f"friend@{settings.domain}")
    async with online(settings, ("alice", transport), ("alice", transport)) as (first, second):
        await clear([first])
        await first.update_roster(contact, name="Friend & co. <1>", groups=["Work", "Über"])
        await second.until(
            lambda event, stanza: event == "roster_update"
            and contact in stanza["roster"]["items"],
            "the push on the other resource",
        )
        item = (await second.contacts())[contact]
        expect(item["name"] == "Friend & co. <1>", f"the name {item['name']!r}")
        expect(set(item["groups"]) == {"Work", "Über"}, f"the groups {item['groups']}")
        expect(item["subscription"] == "none", f"subscription {item['subscription']}")
        await clear([first])
        items = await second.contacts()
        expect(contact not in items, f"removed, not {items}")


async def ping_disco_and_version_are_answered(settings, transport):
    async with online(settings, ("alice", transport)) as (alice,):
        rtt = await alice.plugin["xep_0199"].ping(settings.domain, timeout=WAIT_SECONDS)
        expect(rtt >= 0, "a ping time")
        info = await alice.plugin["xep_0030"].get_info(settings.domain)
        features = info["disco_info"]["features"]
        for feature in ("http://jabber.org/protocol/disco#info", "urn:xmpp:ping"):
            expect(feature in features, f"{feature} among {sorted(features)}")
        identities = info["disco_info"]["identities"]
        expect(any(i[:2] == ("server", "im") for i in identities), f"server/im in {identities}")
        own = await alice.plugin["xep_0030"].get_info(alice.boundjid.bare)
        identities = own["disco_info"]["identities"]
        expect(any(i[0] == "account" for i in identities), f"account in {identities}")
        version = await alice.plugin["xep_0092"].get_version(settings.domain)
        expect(version["software_version"]["name"], "the server has a name")


async def unknown_requests_get_an_error(settings, transport):
    async with online(settings, ("alice", transport)) as (alice,):
        iq = alice.Iq(stype="get", sto=settings.domain)
        iq.append(slixmpp.xmlstream.ET.Element("{urn:example:nobody-knows}query"))
        try:
            await iq.send()
        except slixmpp.exceptions.IqError as refusal:
            expect(
                refusal.condition == "service-unavailable",
                f"service-unavailable, not {refusal.condition}",
            )
        else:
            raise Failure("an unknown request was answered with a result")


# --- two clients


async def subscription_in_both_directions(settings, transport):
    other = DIRECT if transport == STARTTLS else STARTTLS
    async with online(settings, ("alice", transport), ("bob", other)) as (alice, bob):
        await clear([alice, bob])
        for asking, answering in ((alice, bob), (bob, alice)):
            me, peer = asking.boundjid.bare, answering.boundjid.bare
            asking.send_presence(pto=peer, ptype="subscribe")
            await answering.presence(me, "subscribe")
            answering.send_presence(pto=me, ptype="subscribed")
            await asking.presence(peer, "subscribed")
            await asking.presence(peer, "available")
        await alice.roster_state(bob.boundjid.bare, "both")
        await bob.roster_state(alice.boundjid.bare, "both")

        alice.send_presence(pshow="away", pstatus="tea & cake")
        seen = await bob.until(
            lambda event, stanza: event == "presence" and stanza["status"] == "tea & cake",
            "the new status",
        )
        expect(seen["show"] == "away", f"away, not {seen}")
        expect(seen["from"] == alice.boundjid, f"from the full address: {seen}")

        alice.send_presence(pto=bob.boundjid.bare, ptype="unsubscribe")
        await bob.presence(alice.boundjid.bare, "unsubscribe")
        await alice.roster_state(bob.boundjid.bare, "from")
        bob.send_presence(pto=alice.boundjid.bare, ptype="unsubscribe")
        await bob.roster_state(alice.boundjid.bare, "none")
        await clear([alice, bob])


async def presence_follows_logout(settings, transport):
    async with online(settings, ("bob", transport)) as (bob,):
        await clear([bob])
        async with online(settings, ("alice", transport)) as (alice,):
            await clear([alice])
            bob.send_presence(pto=alice.boundjid.bare, ptype="subscribe")
            await alice.presence(bob.boundjid.bare, "subscribe")
            alice.send_presence(pto=bob.boundjid.bare, ptype="subscribed")
            await bob.presence(alice.boundjid.bare, "available")
            gone = alice.boundjid.full
        await bob.until(
            lambda event, stanza: event == "presence"
            and stanza["type"] == "unavailable"
            and stanza["from"].full == gone,
            f"the departure of {gone}",
        )


async def messages_in_both_directions(settings, transport):
    other = DIRECT if transport == STARTTLS else STARTTLS
    async with online(settings, ("alice", transport), ("bob", other)) as (alice, bob):
        for text in ("hello", "größer als <nichts> & \U0001f44b", "line 1\nline 2"):
            for sender, receiver in ((alice, bob), (bob, alice)):
                sender.send_message(mto=receiver.boundjid.bare, mbody=text, mtype="chat")
                arrived = await receiver.chat(sender.boundjid.bare, text)
                expect(arrived["from"] == sender.boundjid, f"the true sender: {arrived}")
                expect(arrived["type"] == "chat", f"a chat message: {arrived}")


async def a_message_to_nobody_bounces(settings, transport):
    async with online(settings, ("alice", transport)) as (alice,):
        alice.send_message(mto=f"nobody-here@{settings.domain}", mbody="hello?", mtype="chat")
        bounce = await alice.until(lambda event, _: event == "message_error", "the bounce")
        condition = bounce["error"]["condition"]
        expect(condition == "service-unavailable", f"service-unavailable, not {bounce}")


# --- with longwire's own clients


async def longwire_send_reaches_a_stock_client(settings, transport):
    async with online(settings, ("bob", transport)) as (bob,):
        await send(settings, "alice", settings.jid("bob"), "from the command line")
        await bob.chat(settings.jid("alice"), "from the command line")


async def longwire_send_fails_with_a_wrong_password(settings, transport):
    async with online(settings, ("bob", transport)):
        # The same command with the right password works: the failure below is the password's.
        await send(settings, "alice", settings.jid("bob"), "x")
        process = await spawn(settings, settings.send_command, "alice", wrong_password=True)
        out, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        expect(process.returncode == 3, f"exit status 3, not {process.returncode}: {out.decode()}")


async def longwire_chat_talks_with_a_stock_client(settings, transport):
    async with online(settings, ("bob", transport)) as (bob,):
        process = await spawn(settings, settings.chat_command, "alice", to=settings.jid("bob"))
        process.stdin.write("good evening, größe\n".encode())
        await process.stdin.drain()
        await bob.chat(settings.jid("alice"), "good evening, größe")
        bob.send_message(mto=settings.jid("alice"), mbody="good evening to you", mtype="chat")
        await asyncio.wait_for(read_until(process, "good evening to you"), WAIT_SECONDS)
        process.stdin.close()
        code = await asyncio.wait_for(process.wait(), WAIT_SECONDS)
        expect(code == 0, f"end of input ends the chat well, not with {code}")


async def send(settings, name, to, body):
    process = await spawn(settings, settings.send_command, name, to=to, body=body)
    out, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    expect(process.returncode == 0, f"longwire send: {process.returncode}, {out.decode()}")


async def spawn(settings, template, name, to="", body="x", wrong_password=False):
    """Starts one of longwire's clients; the driver says what its command line looks like."""
    password = "certainly wrong" if wrong_password else settings.password(name)
    values = {
        "jid": settings.jid(name),
        "to": to or settings.jid("bob"),
        "body": body,
    }
    command = [part.format(**values) for part in template]
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "LONGWIRE_PASSWORD": password},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def read_until(process, text):
    lines = []
    while not any(text in line for line in lines):
        line = await process.stdout.readline()
        expect(line, f"{text!r} before the end of the output; there was {lines}")
        lines.append(line.decode())


CHECKS = [
    pair
    for check in (
        login_is_encrypted_and_bound,
        every_mechanism_logs_in,
        a_wrong_password_is_refused,
        roster_entries_are_kept_pushed_and_removed,
        ping_disco_and_version_are_answered,
        unknown_requests_get_an_error,
        subscription_in_both_directions,
        presence_follows_logout,
        messages_in_both_directions,
        a_message_to_nobody_bounces,
        longwire_send_reaches_a_stock_client,
        longwire_send_fails_with_a_wrong_password,
        longwire_chat_talks_with_a_stock_client,
    )
    for pair in on_each_transport(check)
]

if __name__ == "__main__":
    run(CHECKS)
