//! A client and a server connected by memory, through the real framer.

use bytes::Bytes;
use longwire_xml::{Context, Element, Frame, Framer, Limits, StreamHeader, scan};

use super::*;
use crate::sasl::decode_base64;

/// How a run ended.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) client: Option<String>,
    pub(super) server: Option<String>,
    pub(super) client_error: Option<ClientError>,
    pub(super) server_error: Option<String>,
}

/// One direction of the wire.
struct Wire {
    framer: Framer,
    context: Context,
    websocket: bool,
}

enum Received {
    Header(Box<StreamHeader>),
    Element(Box<longwire_xml::Scanned>),
}

impl Wire {
    fn new(transport: Transport) -> Self {
        Self {
            framer: Framer::stream(Limits::CLIENT),
            context: Context::empty(),
            websocket: transport == Transport::WebSocket,
        }
    }

    fn carry(&mut self, bytes: Bytes) -> Vec<Received> {
        if self.websocket {
            let element = scan(bytes, &Context::empty(), &Limits::CLIENT).unwrap();
            return vec![Received::Element(Box::new(element))];
        }
        self.framer.push(bytes);
        let mut received = Vec::new();
        while let Some(frame) = self.framer.next().unwrap() {
            match frame {
                Frame::Header(raw) => {
                    let header = StreamHeader::parse(&raw, &Limits::CLIENT).unwrap();
                    self.context = header.context().clone();
                    received.push(Received::Header(Box::new(header)));
                }
                Frame::Element(raw) => {
                    let element = scan(raw, &self.context, &Limits::CLIENT).unwrap();
                    received.push(Received::Element(Box::new(element)));
                }
                Frame::Footer => panic!("nobody closes"),
            }
        }
        received
    }
}

pub(super) struct Pair {
    pub(super) server: Server,
    pub(super) client: Client,
    to_server: Wire,
    to_client: Wire,
    transport: Transport,
    pub(super) transcript: String,
    pub(super) outcome: Outcome,
    /// The features that the client saw, in order.
    pub(super) features: Vec<Features>,
    /// What the server hears and says may be changed on the way to the client.
    pub(super) tamper: Box<dyn Fn(String) -> String>,
    /// What the server sees of the channel after STARTTLS.
    pub(super) server_tls: TlsInfo,
    pub(super) client_tls: TlsInfo,
}

impl Pair {
    pub(super) fn new(
        config: ServerConfig,
        server: Security,
        client_config: ClientConfig,
        client: Security,
    ) -> Self {
        let transport = server.transport;
        Self {
            server: Server::new(Arc::new(config), server, counting(1)),
            client: Client::new(client_config, client, counting(2)),
            to_server: Wire::new(transport),
            to_client: Wire::new(transport),
            transport,
            transcript: String::new(),
            outcome: Outcome::default(),
            features: Vec::new(),
            tamper: Box::new(|text| text),
            server_tls: tls(),
            client_tls: tls(),
        }
    }

    /// Runs until nobody has anything to say.
    pub(super) fn run(&mut self) -> &Outcome {
        for _ in 0..100 {
            let said = self.client_turn() | self.server_turn();
            if !said {
                return &self.outcome;
            }
        }
        panic!("no end:\n{}", self.transcript);
    }

    fn client_turn(&mut self) -> bool {
        let mut said = false;
        while let Some(output) = self.client.poll() {
            said = true;
            match output {
                ClientOutput::Write(bytes) => {
                    self.note("C", &bytes);
                    for received in self.to_server.carry(bytes) {
                        match received {
                            Received::Header(header) => self.server.handle_header(&header),
                            Received::Element(element) => self.server.handle_element(*element),
                        }
                        self.server_turn();
                    }
                }
                ClientOutput::Restart => self.to_client.framer.restart(),
                // The server has begun its side already; now the handshake is over.
                ClientOutput::StartTls => {
                    self.to_server = Wire::new(self.transport);
                    self.to_client = Wire::new(self.transport);
                    self.transcript.push_str("-- TLS\n");
                    self.server.handle_tls(self.server_tls.clone());
                    self.client.handle_tls(self.client_tls.clone());
                }
                ClientOutput::Features(features) => self.features.push(features),
                ClientOutput::Bound(jid) => self.outcome.client = Some(jid.to_string()),
                ClientOutput::Failed(error) => self.outcome.client_error = Some(error),
            }
        }
        said
    }

    fn server_turn(&mut self) -> bool {
        let mut said = false;
        while let Some(output) = self.server.poll() {
            said = true;
            match output {
                Output::Write(bytes) => {
                    self.note("S", &bytes);
                    let text = (self.tamper)(String::from_utf8(bytes.to_vec()).unwrap());
                    for received in self.to_client.carry(Bytes::from(text)) {
                        match received {
                            Received::Header(header) => self.client.handle_header(&header),
                            Received::Element(element) => self.client.handle_element(&element),
                        }
                    }
                }
                Output::Restart => self.to_server.framer.restart(),
                Output::StartTls => assert_eq!(self.to_server.framer.buffered(), 0),
                Output::Ask(ask) => self.server.handle_reply(answer(ask)),
                Output::Refused { .. } | Output::Authenticated(_) => {}
                Output::Bound(jid) => self.outcome.server = Some(jid.to_string()),
                Output::Fail(error) => {
                    self.outcome.server_error = Some(error.condition.to_string());
                }
            }
        }
        said
    }

    fn note(&mut self, who: &str, bytes: &Bytes) {
        let line = readable(std::str::from_utf8(bytes).unwrap());
        self.transcript.push_str(&format!("{who}: {line}\n"));
    }
}

/// A host that knows alice with one password and says yes to every resource.
pub(super) fn answer(ask: Ask) -> Reply {
    match ask {
        Ask::Credential { account, hash } => {
            let known = account.as_str() == "alice@a.example";
            Reply::Credential(known.then(|| stored(hash)))
        }
        Ask::Verify { account, password } => Reply::Verified(
            account.as_str() == "alice@a.example"
                && stored(Hash::Sha256).verify(Hash::Sha256, &password),
        ),
        Ask::Bind { account, resource, tag, requests, .. } => {
            let resource = match (resource, tag) {
                (Some(resource), _) => resource,
                (None, Some(tag)) => format!("{tag}/4711"),
                (None, None) => "4711".to_owned(),
            };
            let jid = account.with_resource(&resource).unwrap();
            if requests.is_empty() {
                return Reply::Bound(Ok(jid));
            }
            let results = requests.iter().map(|r| Element::new(r.ns(), "enabled")).collect();
            Reply::BoundWith { jid, results }
        }
    }
}

/// The XML with SASL data decoded between braces and its random parts shortened.
fn readable(xml: &str) -> String {
    let mut out = String::new();
    for (at, part) in xml.split('>').enumerate() {
        if at > 0 {
            out.push('>');
        }
        match part.split_once('<') {
            Some((text, tag)) if text.len() > 3 => match decode_base64(text) {
                Ok(data) if std::str::from_utf8(&data).is_ok() => {
                    let data = String::from_utf8(data).unwrap().replace('\0', "|");
                    out.push_str(&format!("{{{}}}<{tag}", shortened(&data)));
                }
                _ => out.push_str(part),
            },
            _ => out.push_str(part),
        }
    }
    out
}

fn shortened(message: &str) -> String {
    let attributes = message.split(',').map(|attribute| match attribute.split_once('=') {
        Some((name @ ("r" | "s" | "h" | "p" | "v" | "c"), value))
            if value.len() > 12 && !value.starts_with("tls-") =>
        {
            format!("{name}=..")
        }
        _ => attribute.to_owned(),
    });
    attributes.collect::<Vec<_>>().join(",")
}
