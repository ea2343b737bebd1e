//! A client of a scene.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use longwire_stanza::{BareJid, FullJid, Kind, Stanza, StreamCondition};
use longwire_xml::{Context, Element, Limits};

use super::World;
use super::matching::{difference, parse};
use crate::event::Down;
use crate::outbox::{Outbound, Outbox};
use crate::session::{SendError, SessionId, SessionRef};

/// A bound session, as its client sees it.
///
/// Every expectation lets everything happen first that is under way, and shows the seed when it
/// fails.
pub struct Device {
    world: Rc<World>,
    jid: FullJid,
    id: SessionId,
    session: RefCell<Option<SessionRef>>,
    outbox: RefCell<Outbox>,
    asked: Cell<u64>,
}

impl Device {
    #[track_caller]
    pub(super) fn bind(world: &Rc<World>, account: &BareJid, resource: Option<&str>) -> Self {
        let bound = world.runtime.block_on(world.router().bind(account, resource));
        let (session, outbox) = bound.expect("a session");
        Self {
            world: Rc::clone(world),
            jid: session.jid().clone(),
            id: session.id(),
            session: RefCell::new(Some(session)),
            outbox: RefCell::new(outbox),
            asked: Cell::new(0),
        }
    }

    /// The bound address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Sends a stanza and lets everything happen that follows.
    #[track_caller]
    pub fn send(&self, xml: &str) {
        if let Err(error) = self.try_send(xml) {
            self.fail(&format!("{xml}\nwas not taken: {error}"));
        }
        self.world.settle();
    }

    /// Sends a stanza and waits for nothing but room for it.
    ///
    /// # Errors
    /// What the connection would do about it.
    #[track_caller]
    #[allow(clippy::await_holding_refcell_ref)] // One thread, and nothing else runs meanwhile.
    pub fn try_send(&self, xml: &str) -> Result<(), SendError> {
        let stanza = self.stanza(xml);
        let session = self.session.borrow();
        let Some(session) = session.as_ref() else {
            self.fail("the device has closed its session");
        };
        self.world.runtime.block_on(session.send(stanza))
    }

    /// Sends a request and returns the answer, whatever else comes meanwhile stays. A request
    /// without an id gets one.
    #[track_caller]
    pub fn ask(&self, xml: &str) -> Element {
        let mut request = parse(xml);
        if request.attribute("id").is_none() {
            self.asked.set(self.asked.get() + 1);
            request = request.attr("id", format!("ask-{}", self.asked.get()));
        }
        let id = request.attribute("id").map(str::to_owned);
        let seen = self.receive_all();
        self.send(&request.to_string());
        let mut answer = None;
        let mut rest = seen;
        for stanza in self.receive_all() {
            if answer.is_none() && is_answer(&stanza, id.as_deref()) {
                answer = Some(stanza.to_element());
            } else {
                rest.push(stanza);
            }
        }
        self.put_back(rest);
        answer.unwrap_or_else(|| self.fail(&format!("{xml}\nwas not answered")))
    }

    /// The next stanza must look like this; returns it.
    #[track_caller]
    pub fn expect(&self, xml: &str) -> Element {
        let Some(stanza) = self.receive() else {
            self.fail(&format!("nothing came instead of\n{xml}"));
        };
        let actual = stanza.to_element();
        if let Some(difference) = difference(&parse(xml), &actual) {
            let came = stanza.to_xml();
            self.fail(&format!("{difference}\nexpected: {xml}\n    came: {came}"));
        }
        actual
    }

    /// These stanzas must come next, in whatever order.
    #[track_caller]
    pub fn expect_all<const N: usize>(&self, expected: [&str; N]) {
        let mut open: Vec<&str> = expected.to_vec();
        while !open.is_empty() {
            let Some(stanza) = self.receive() else {
                self.fail(&format!("nothing came instead of\n{}", open.join("\n")));
            };
            let actual = stanza.to_element();
            let same = |xml: &&str| difference(&parse(xml), &actual).is_none();
            let Some(place) = open.iter().position(same) else {
                let came = stanza.to_xml();
                self.fail(&format!("came: {came}\ninstead of\n{}", open.join("\n")));
            };
            open.remove(place);
        }
    }

    /// Nothing must have come.
    #[track_caller]
    pub fn expect_nothing(&self) {
        if let Some(stanza) = self.receive() {
            self.fail(&format!("came: {}\ninstead of nothing", stanza.to_xml()));
        }
    }

    /// The server must have ended the session with this error.
    #[track_caller]
    pub fn expect_end(&self, condition: StreamCondition) {
        self.world.settle();
        let reason = self.outbox.borrow().reason();
        match reason {
            Some(error) if error.condition == condition => {}
            Some(error) => self.fail(&format!("ended with {error} instead of {condition}")),
            None => self.fail(&format!("did not end with {condition}")),
        }
    }

    /// The next stanza, if one has come.
    pub fn receive(&self) -> Option<Stanza> {
        self.receive_classed().map(|outbound| outbound.stanza)
    }

    /// The next stanza with its class, if one has come.
    pub fn receive_classed(&self) -> Option<Outbound> {
        self.world.settle();
        self.outbox.borrow_mut().try_recv()
    }

    /// Everything that has come.
    pub fn receive_all(&self) -> Vec<Stanza> {
        self.world.settle();
        let mut outbox = self.outbox.borrow_mut();
        std::iter::from_fn(|| outbox.try_recv()).map(|outbound| outbound.stanza).collect()
    }

    /// What has come by now, without waiting for anything.
    pub fn receive_now(&self) -> Option<Stanza> {
        self.outbox.borrow_mut().try_recv().map(|outbound| outbound.stanza)
    }

    /// Closes the stream, and lets everything happen that follows.
    pub fn close(&self) {
        let session = self.session.borrow_mut().take();
        if let Some(session) = session {
            self.world.runtime.block_on(session.close(Down::Closed));
        }
        self.world.settle();
    }

    /// Breaks the connection, and lets everything happen that follows.
    pub fn lose(self) {
        let world = Rc::clone(&self.world);
        drop(self);
        world.settle();
    }

    #[track_caller]
    fn stanza(&self, xml: &str) -> Stanza {
        let raw = Bytes::copy_from_slice(xml.as_bytes());
        match Stanza::parse(raw, &Context::client(), &Limits::CLIENT) {
            Ok(stanza) => stanza,
            Err(error) => self.fail(&format!("{xml}\nis not a stanza: {error:?}")),
        }
    }

    fn put_back(&self, stanzas: Vec<Stanza>) {
        self.outbox.borrow().put_back(stanzas, self.jid.bare_str());
    }

    #[track_caller]
    fn fail(&self, message: &str) -> ! {
        panic!("{} (seed {}): {message}", self.jid, self.world.setting.seed)
    }
}

fn is_answer(stanza: &Stanza, id: Option<&str>) -> bool {
    stanza.kind() == Kind::Iq && !stanza.is_request() && stanza.id() == id
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("jid", &self.jid).finish_non_exhaustive()
    }
}
