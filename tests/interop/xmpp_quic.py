"""A small XMPP client over aioquic that knows both multi-stream dialects.

Nothing here comes from longwire: XML is read by expat, QUIC is aioquic's, SASL is in scram.py.
"""

import asyncio
import base64
import contextlib
import enum
import itertools
import re
import ssl
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration

from common import Failure, expect
from scram import ScramSha256

WAIT_SECONDS = 15
PRIMARY = 0
ANCILLARY = 1

CLIENT = "{jabber:client}"
STREAM = "{http://etherx.jabber.org/streams}"
STREAM_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"
SASL1 = "{urn:ietf:params:xml:ns:xmpp-sasl}"
SASL2 = "{urn:xmpp:sasl:2}"
BIND = "{urn:ietf:params:xml:ns:xmpp-bind}"
BIND2 = "{urn:xmpp:bind:0}"
STARTTLS = "{urn:ietf:params:xml:ns:xmpp-tls}"
SM = "{urn:xmpp:sm:3}"

_numbers = itertools.count(1)


def fresh_id():
    return f"i{next(_numbers)}"


class Mode(enum.Enum):
    """How streams are told apart on a connection."""

    MULTISTREAM = "typed streams"
    UNTYPED = "PR-1533: untyped bidirectional streams"


class Stream:
    """All that came on one QUIC stream."""

    def __init__(self, stream_id):
        self.id = stream_id
        self.data = bytearray()
        self.finished = False
        self.reset_code = None
        self.stopped_code = None

    @property
    def server_opened(self):
        return self.id & 1 == 1

    @property
    def unidirectional(self):
        return self.id & 2 == 2


class Received:
    """A complete top-level element and the stream that it came on."""

    def __init__(self, stream_id, element):
        self.stream_id = stream_id
        self.element = element

    def __repr__(self):
        return f"[{self.stream_id}] {ElementTree.tostring(self.element).decode()}"


class Reader:
    """Yields the complete children of the stream element; primed with a header for a lane."""

    def __init__(self, header=b""):
        self._parser = ElementTree.XMLPullParser(("start", "end"))
        self._depth = 0
        self.root = None
        self.closed = False
        self.feed(header)

    def feed(self, data):
        self._parser.feed(data)
        complete = []
        for kind, element in self._parser.read_events():
            if kind == "start":
                self._depth += 1
                if self._depth == 1:
                    self.root = element
            else:
                self._depth -= 1
                if self._depth == 1:
                    complete.append(element)
                elif self._depth == 0:
                    self.closed = True
        return complete


class Connection(QuicConnectionProtocol):
    """One QUIC connection: streams by number, sessions by their Primary stream."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.mode = None
        self.streams = {}
        self.sessions = {}
        self.terminated = None
        self.failure = None
        self.alpn = None
        self._changed = asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, events.HandshakeCompleted):
            self.alpn = event.alpn_protocol
        elif isinstance(event, events.StreamDataReceived):
            stream = self.stream(event.stream_id)
            stream.data += event.data
            stream.finished |= event.end_stream
        elif isinstance(event, events.StreamReset):
            self.stream(event.stream_id).reset_code = event.error_code
        elif isinstance(event, events.StopSendingReceived):
            self.stream(event.stream_id).stopped_code = event.error_code
        elif isinstance(event, events.ConnectionTerminated):
            self.terminated = event
        try:
            for session in self.sessions.values():
                session.read()
        except Exception as failure:  # raised where somebody waits, not in the event loop
            self.failure = self.failure or failure
        self._changed.set()

    def stream(self, stream_id):
        return self.streams.setdefault(stream_id, Stream(stream_id))

    async def until(self, condition, what):
        """Waits until `condition()` is true (its value is returned)."""

        async def wait():
            while True:
                if self.failure is not None:
                    raise self.failure
                value = condition()
                if value:
                    return value
                if self.terminated is not None:
                    raise Failure(f"{what}: the connection ended: {self.terminated}")
                self._changed.clear()
                await self._changed.wait()

        try:
            return await asyncio.wait_for(wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            seen = {stream.id: bytes(stream.data[-400:]) for stream in self.streams.values()}
            raise Failure(f"waited in vain for {what}; streams end with {seen}") from None

    def open(self, unidirectional):
        return self._quic.get_next_available_stream_id(is_unidirectional=unidirectional)

    def send(self, stream_id, data, end=False):
        if isinstance(data, str):
            data = data.encode()
        self._quic.send_stream_data(stream_id, data, end_stream=end)
        self.transmit()

    def reset(self, stream_id, code=0):
        self._quic.reset_stream(stream_id, code)
        self.transmit()

    def granted(self, unidirectional):
        """The number of streams that the server lets us open, in all."""
        if unidirectional:
            return self._quic._remote_max_streams_uni
        return self._quic._remote_max_streams_bidi

    def ignore_stream_limits(self):
        """From here on this client opens more streams than it may."""
        self._quic._remote_max_streams_uni = 1 << 30
        self._quic._remote_max_streams_bidi = 1 << 30

    def session(self, domain, extra_namespaces="", kind=None):
        """Opens a Primary stream, with its stream type (or other octets) before the header."""
        if kind is None:
            kind = encode_uint_var(PRIMARY) if self.mode is Mode.MULTISTREAM else b""
        session = Session(self, self.open(unidirectional=False), domain, extra_namespaces)
        self.sessions[session.primary] = session
        session.open_stream(kind)
        return session

    async def login(self, settings, name, mechanism=ScramSha256, extra_namespaces=""):
        session = self.session(settings.domain, extra_namespaces)
        await session.authenticate(name, settings.password(name), mechanism)
        session.send("<presence/>")
        await session.receive(
            lambda element: element.tag == CLIENT + "presence"
            and element.get("from") == session.jid,
            "the own presence",
        )
        return session


class Session:
    """One XMLStream: a Primary stream and the lanes that belong to it."""

    def __init__(self, connection, primary, domain, extra_namespaces):
        self.connection = connection
        self.primary = primary
        self.domain = domain
        self.jid = None
        self.features = None
        self.received = []
        self._taken = set()
        self._extra = extra_namespaces
        self._readers = {}
        self._read = {}
        self._lanes = {primary}
        self._header = None

    # --- receiving

    def read(self):
        """Turns new bytes into elements, stream by stream."""
        for stream in list(self.connection.streams.values()):
            if stream.id == self.primary:
                self._read_primary(stream)
            elif self._header is not None and self._is_mine(stream):
                self._read_lane(stream)

    def _read_primary(self, stream):
        if stream.id not in self._readers:
            if not stream.data:
                return
            expect(stream.data[:1] == b"<", "the server's direction of a Primary begins with XML")
            self._readers[stream.id] = Reader()
        if self._header is None:
            start = self._read.get(stream.id, 0)
            header = re.search(rb"<stream:stream[^>]*>", stream.data[start:])
            if header is None:
                return
            self._header = header.group()
        self._feed(stream)

    def _read_lane(self, stream):
        if stream.id not in self._readers:
            self._readers[stream.id] = Reader(self._header)
        self._feed(stream)

    def _feed(self, stream):
        start = self._read.get(stream.id, 0)
        self._read[stream.id] = len(stream.data)
        for element in self._readers[stream.id].feed(bytes(stream.data[start:])):
            self.received.append(Received(stream.id, element))

    def _is_mine(self, stream):
        """Whether a stream other than the Primary carries stanzas of this session."""
        if stream.id in self._lanes:
            return True
        if not stream.server_opened or not stream.data:
            return False
        if self.connection.mode is Mode.UNTYPED:
            expect(not stream.unidirectional, "PR-1533 knows bidirectional streams only")
            expect(stream.data[:1] == b"<", f"an untyped stream begins with XML: {stream.data!r}")
            self._lanes.add(stream.id)
            return True
        header = Buffer(data=bytes(stream.data))
        try:
            kind, session = header.pull_uint_var(), header.pull_uint_var()
        except Exception:  # the header is not complete yet
            return False
        expect(kind == ANCILLARY, f"the server opened a stream of type {kind}")
        expect(session in self.connection.sessions, f"unknown Session ID {session}")
        if session != self.primary:
            return False
        self._lanes.add(stream.id)
        self._read[stream.id] = header.tell()
        return True

    async def receive(self, condition, what):
        """The first element, not yet taken, for which the condition holds."""

        def find():
            for number, received in enumerate(self.received):
                if number not in self._taken and condition(received.element):
                    self._taken.add(number)
                    return received
            return None

        return await self.connection.until(find, what)

    async def message(self, body):
        return await self.receive(
            lambda element: element.tag == CLIENT + "message"
            and element.findtext(CLIENT + "body") == body,
            f"the message {body[:60]!r}",
        )

    async def stream_error(self):
        received = await self.receive(lambda e: e.tag == STREAM + "error", "a stream error")
        expect(received.stream_id == self.primary, "stream errors travel on the Primary")
        conditions = [
            child.tag for child in received.element if child.tag.startswith(STREAM_ERRORS)
        ]
        expect(len(conditions) >= 1, f"a defined condition: {received}")
        return conditions[0].removeprefix(STREAM_ERRORS)

    # --- sending

    def open_stream(self, kind=b""):
        """Sends a stream header; after SASL1 once more, without the stream type."""
        header = (
            f"<?xml version='1.0'?><stream:stream to='{self.domain}' version='1.0' xml:lang='en' "
            f"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {self._extra}>"
        )
        self._header = None
        self.connection.send(self.primary, kind + header.encode())

    def send(self, xml):
        self.connection.send(self.primary, xml)

    def lane(self, unidirectional=None):
        """Opens a stream for stanzas of this session; nothing but its header is sent."""
        typed = self.connection.mode is Mode.MULTISTREAM
        unidirectional = typed if unidirectional is None else unidirectional
        stream_id = self.connection.open(unidirectional)
        header = b""
        if typed:
            header = encode_uint_var(ANCILLARY) + encode_uint_var(self.primary)
        self.connection.send(stream_id, header)
        self._lanes.add(stream_id)
        return Lane(self.connection, stream_id)

    async def iq(self, kind, payload, to=None):
        stanza_id = fresh_id()
        address = f" to='{to}'" if to else ""
        self.send(f"<iq type='{kind}' id='{stanza_id}'{address}>{payload}</iq>")
        received = await self.receive(
            lambda e: e.tag == CLIENT + "iq" and e.get("id") == stanza_id, f"reply to {payload}"
        )
        expect(received.element.get("type") == "result", f"a result, not {received}")
        return received.element

    async def ping(self):
        await self.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=self.domain)

    # --- negotiation

    async def _features(self):
        received = await self.receive(lambda e: e.tag == STREAM + "features", "stream features")
        self.features = received.element
        expect(self.features.find(STARTTLS + "starttls") is None, "no STARTTLS on QUIC")
        expect(self.features.find(SM + "sm") is None, "no XEP-0198 on QUIC")
        return self.features

    async def authenticate(self, name, password, mechanism):
        """SASL2 with Bind 2 inline: XEP-0388, XEP-0386."""
        features = await self._features()
        offer = features.find(SASL2 + "authentication")
        expect(offer is not None, "SASL2 is offered")
        mechanisms = [element.text for element in offer.findall(SASL2 + "mechanism")]
        expect(mechanism.name in mechanisms, f"{mechanism.name} among {mechanisms}")
        bind = offer.find(f"{SASL2}inline/{BIND2}bind")
        expect(bind is not None, "Bind 2 is offered inline")
        sasl = mechanism(name, password)
        self.send(
            f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{sasl.name}'>"
            f"<initial-response>{_encode(sasl.first())}</initial-response>"
            "<user-agent id='0a9b5b8e-3d3b-4d4c-9a53-1f3c8f1a7d10'>"
            "<software>aioquic</software><device>test</device></user-agent>"
            "<bind xmlns='urn:xmpp:bind:0'><tag>aioquic</tag></bind></authenticate>"
        )
        success = await self._converse(sasl, SASL2, "urn:xmpp:sasl:2")
        additional = success.findtext(SASL2 + "additional-data")
        sasl.verify(None if additional is None else base64.b64decode(additional))
        self.jid = success.findtext(SASL2 + "authorization-identifier")
        expect(success.find(BIND2 + "bound") is not None, "the resource is bound")
        self._check_jid(name)
        await self._features()

    async def authenticate_classic(self, name, password, mechanism):
        """SASL1, a new stream, and resource binding: RFC 6120 §6 and §7."""
        features = await self._features()
        offer = features.find(SASL1 + "mechanisms")
        expect(offer is not None, "SASL1 is offered")
        sasl = mechanism(name, password)
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{sasl.name}'>"
            f"{_encode(sasl.first())}</auth>"
        )
        success = await self._converse(sasl, SASL1, "urn:ietf:params:xml:ns:xmpp-sasl")
        sasl.verify(base64.b64decode(success.text) if success.text else None)
        del self._readers[self.primary]
        self.open_stream()
        expect((await self._features()).find(BIND + "bind") is not None, "binding is offered")
        bound = await self.iq("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        self.jid = bound.findtext(f"{BIND}bind/{BIND}jid")
        self._check_jid(name)

    def _check_jid(self, name):
        expect(
            self.jid is not None and self.jid.startswith(f"{name}@{self.domain}/"),
            f"the bound address is {self.jid}",
        )

    async def _converse(self, sasl, space, namespace):
        while True:
            received = await self.receive(lambda e: e.tag.startswith(space), "a SASL answer")
            answer = received.element.tag.removeprefix(space)
            if answer == "success":
                return received.element
            expect(answer == "challenge", f"{sasl.name} answered with {received}")
            response = _encode(sasl.respond(base64.b64decode(received.element.text)))
            self.send(f"<response xmlns='{namespace}'>{response}</response>")


class Lane:
    """A stream that this client opened for stanzas."""

    def __init__(self, connection, stream_id):
        self.connection = connection
        self.id = stream_id

    def send(self, xml, end=False):
        self.connection.send(self.id, xml, end)


def chat(to, body, extra=""):
    return (
        f"<message type='chat' id='{fresh_id()}' to='{to}'>"
        f"<body>{escape(body)}</body>{extra}</message>"
    )


def _encode(data):
    return base64.b64encode(data).decode() or "="


@contextlib.asynccontextmanager
async def connection(settings, mode, alpn="xmpp-client"):
    """A QUIC connection with a verified certificate; closed at the end."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=[alpn],
        server_name=settings.domain,
        verify_mode=ssl.CERT_REQUIRED,
        cafile=settings.certificates,
    )
    async with connect(
        settings.host,
        settings.ports["quic"],
        configuration=configuration,
        create_protocol=Connection,
    ) as opened:
        opened.mode = mode
        expect(opened.alpn == alpn, f"ALPN {opened.alpn}")
        yield opened
