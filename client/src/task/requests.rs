//! IQ requests of both directions: who waits for which answer, and what is answered for the
//! application.

use std::collections::BTreeMap;

use longwire_stanza::{BareJid, Condition, FullJid, IqType, Jid, Kind, Stanza, StanzaError, ns};
use tokio::sync::oneshot;

use crate::limits;

/// The requests of one session.
pub(super) struct Requests {
    account: BareJid,
    session: Option<FullJid>,
    waiting: BTreeMap<String, Waiting>,
    next_id: u64,
    is_closed: bool,
}

struct Waiting {
    to: Option<Jid>,
    asker: oneshot::Sender<Stanza>,
}

/// What became of a stanza that arrived.
pub(super) enum Consumed {
    /// It is for the application.
    No,
    /// It is the answer that somebody waits for.
    Answer(oneshot::Sender<Stanza>),
    /// It is a request that is answered here.
    Request {
        /// What to answer.
        answer: Option<Stanza>,
        /// The application may want to know of it all the same.
        is_news: bool,
    },
    /// It is for nobody: an answer that nobody asked for.
    Nothing,
}

impl Requests {
    pub(super) fn new(account: BareJid) -> Self {
        let waiting = BTreeMap::new();
        Self { account, session: None, waiting, next_id: 1, is_closed: false }
    }

    /// The session has its address.
    pub(super) fn set_session(&mut self, session: FullJid) {
        self.session = Some(session);
    }

    /// The application sends nothing more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes a request, and returns it as it has to be sent; `None` when too many wait already,
    /// or one with the same id.
    pub(super) fn ask(
        &mut self,
        request: Stanza,
        asker: oneshot::Sender<Stanza>,
    ) -> Option<Stanza> {
        if self.waiting.len() >= limits::REQUESTS {
            return None;
        }
        let request = match request.id() {
            Some(id) if self.waiting.contains_key(id) => return None,
            Some(_) => request,
            None => request.with_id(&self.fresh_id()),
        };
        let id = request.id()?.to_owned();
        self.waiting.insert(id, Waiting { to: request.to().cloned(), asker });
        Some(request)
    }

    fn fresh_id(&mut self) -> String {
        loop {
            let id = format!("longwire-{}", self.next_id);
            self.next_id += 1;
            if !self.waiting.contains_key(&id) {
                return id;
            }
        }
    }

    /// Takes answers to requests and, with `answers`, requests that nobody else will answer.
    pub(super) fn consume(&mut self, stanza: &Stanza, answers: bool) -> Consumed {
        if stanza.kind() != Kind::Iq {
            return Consumed::No;
        }
        match stanza.iq_type() {
            IqType::Result | IqType::Error => self.answer(stanza),
            IqType::Get | IqType::Set if answers => self.respond(stanza),
            IqType::Get | IqType::Set => Consumed::No,
        }
    }

    fn answer(&mut self, stanza: &Stanza) -> Consumed {
        let id = stanza.id().unwrap_or_default();
        let is_from_asked = self
            .waiting
            .get(id)
            .is_some_and(|waiting| self.may_answer(stanza.from(), waiting.to.as_ref()));
        if !is_from_asked {
            return Consumed::Nothing;
        }
        match self.waiting.remove(id) {
            Some(waiting) => Consumed::Answer(waiting.asker),
            None => Consumed::Nothing,
        }
    }

    fn respond(&self, stanza: &Stanza) -> Consumed {
        //= RFC 6121 §2.1.6: a push that does not come from the account is not to be believed
        let is_push = stanza.child(ns::ROSTER, "query").is_some() && self.is_account(stanza.from());
        let answer = if is_push || stanza.child(ns::PING, "ping").is_some() {
            Some(stanza.result(None))
        } else {
            stanza.error(&StanzaError::new(Condition::ServiceUnavailable))
        };
        Consumed::Request { answer, is_news: is_push }
    }

    /// True when an answer from `from` is one to a request that went to `to`.
    ///
    /// `//= RFC 6120 §8.1.2.1`: the account stands for requests to nobody. Servers answer those
    /// in their own name as well, or in that of the session.
    fn may_answer(&self, from: Option<&Jid>, to: Option<&Jid>) -> bool {
        match (from, to) {
            (Some(from), Some(to)) if from == to => true,
            (None, Some(to)) => self.is_account(Some(to)) || self.is_server(to),
            (_, Some(_)) => false,
            (None, None) => true,
            (Some(from), None) => {
                let is_session = self.session.as_ref().is_some_and(|own| *from == *own.as_str());
                self.is_account(Some(from)) || self.is_server(from) || is_session
            }
        }
    }

    /// No address stands for the own account.
    fn is_account(&self, jid: Option<&Jid>) -> bool {
        jid.is_none_or(|jid| jid.resource().is_none() && jid.bare() == self.account)
    }

    fn is_server(&self, jid: &Jid) -> bool {
        jid.local().is_none() && jid.resource().is_none() && jid.domain() == self.account.domain()
    }
}

#[cfg(test)]
mod tests {
    use longwire_stanza::{Payload, xep};
    use longwire_xml::Element;

    use super::*;

    const ALICE: &str = "alice@a.example";

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    fn requests() -> Requests {
        let mut requests = Requests::new(BareJid::new(ALICE).unwrap());
        requests.set_session(FullJid::new("alice@a.example/x").unwrap());
        requests
    }

    /// Whether an answer from `from` is taken for one to a request that went to `to`.
    fn is_taken(to: Option<&str>, from: Option<&str>) -> bool {
        let mut requests = requests();
        let (asker, mut asked) = oneshot::channel();
        let mut request = Stanza::iq(IqType::Get).id("1");
        if let Some(to) = to {
            request = request.to(jid(to));
        }
        requests.ask(request.build(), asker).unwrap();
        let mut answer = Stanza::iq(IqType::Result).id("1");
        if let Some(from) = from {
            answer = answer.from(jid(from));
        }
        let is_taken = match requests.consume(&answer.build(), true) {
            Consumed::Answer(_) => true,
            Consumed::Nothing => false,
            _ => panic!("a result is never for the application"),
        };
        // The sender of the taken answer is gone by now; the other one still waits.
        let is_over = matches!(asked.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(is_over, is_taken);
        is_taken
    }

    #[test]
    fn answers_come_from_whom_the_request_went_to() {
        assert!(is_taken(Some("bob@b.example/y"), Some("bob@b.example/y")));
        assert!(!is_taken(Some("bob@b.example/y"), Some("bob@b.example/z")));
        assert!(!is_taken(Some("bob@b.example/y"), Some("bob@b.example")));
        assert!(!is_taken(Some("bob@b.example"), Some("eve@e.example")));
        assert!(!is_taken(Some("bob@b.example"), Some(ALICE)));
        assert!(!is_taken(Some("bob@b.example"), None));
    }

    #[test]
    fn the_server_answers_for_the_account_and_nobody_else_does() {
        for to in [None, Some(ALICE)] {
            assert!(is_taken(to, None), "{to:?}");
            assert!(is_taken(to, Some(ALICE)), "{to:?}");
            assert!(!is_taken(to, Some("eve@e.example")), "{to:?}");
            assert!(!is_taken(to, Some("eve@a.example")), "{to:?}");
            assert!(!is_taken(to, Some("alice@a.example/another")), "{to:?}");
            assert!(!is_taken(to, Some("a.example/other")), "{to:?}");
        }
        assert!(is_taken(None, Some("a.example")));
        assert!(is_taken(None, Some("alice@a.example/x")));
        assert!(!is_taken(None, Some("b.example")));
        assert!(is_taken(Some("a.example"), None));
    }

    #[test]
    fn an_id_waits_for_one_answer_only() {
        let mut requests = requests();
        let request = Stanza::iq(IqType::Get).id("1").build();
        assert!(requests.ask(request.clone(), oneshot::channel().0).is_some());
        assert!(requests.ask(request, oneshot::channel().0).is_none());
        let answer = Stanza::iq(IqType::Result).id("1").build();
        assert!(matches!(requests.consume(&answer, true), Consumed::Answer(_)));
        assert!(matches!(requests.consume(&answer, true), Consumed::Nothing));
    }

    #[test]
    fn requests_without_an_id_get_one_of_their_own() {
        let mut requests = requests();
        let taken = Stanza::iq(IqType::Get).id("longwire-1").build();
        requests.ask(taken, oneshot::channel().0).unwrap();
        let mut ask = || {
            let request = Stanza::iq(IqType::Get).build();
            requests.ask(request, oneshot::channel().0).unwrap().id().unwrap().to_owned()
        };
        assert_eq!([ask(), ask()], ["longwire-2", "longwire-3"]);
    }

    #[test]
    fn waiting_requests_are_bounded() {
        let mut requests = requests();
        for _ in 0..limits::REQUESTS {
            let request = Stanza::iq(IqType::Get).build();
            assert!(requests.ask(request, oneshot::channel().0).is_some());
        }
        assert!(requests.ask(Stanza::iq(IqType::Get).build(), oneshot::channel().0).is_none());
    }

    fn response(request: &Stanza) -> (Stanza, bool) {
        match requests().consume(request, true) {
            Consumed::Request { answer, is_news } => (answer.unwrap(), is_news),
            _ => panic!("a request is answered"),
        }
    }

    #[test]
    fn pings_are_answered_and_what_is_not_known_is_refused() {
        let ask = |payload: Element| {
            let request = Stanza::iq(IqType::Get).id("1").from(jid("bob@b.example/y"));
            response(&request.child(payload).build())
        };
        let (answer, is_news) = ask(xep::ping::Ping.element());
        assert_eq!((answer.iq_type(), is_news), (IqType::Result, false));
        assert_eq!(answer.to().unwrap(), &jid("bob@b.example/y"));
        let (answer, is_news) = ask(Element::new("urn:x", "y"));
        assert_eq!(answer.stanza_error().unwrap().condition, Condition::ServiceUnavailable);
        assert!(!is_news);
    }

    #[test]
    fn roster_pushes_are_believed_from_the_own_account_only() {
        for (from, is_believed) in [
            (None, true),
            (Some(ALICE), true),
            (Some("alice@a.example/x"), false),
            (Some("a.example"), false),
            (Some("eve@e.example"), false),
        ] {
            let mut push = Stanza::iq(IqType::Set).id("1");
            if let Some(from) = from {
                push = push.from(jid(from));
            }
            let push = push.child(xep::roster::Roster::default().element()).build();
            let (answer, is_news) = response(&push);
            assert_eq!(is_news, is_believed, "{from:?}");
            assert_eq!(answer.is_error(), !is_believed, "{from:?}");
        }
    }

    #[test]
    fn an_application_may_answer_requests_itself() {
        let ping = Stanza::iq(IqType::Get).id("1").child(xep::ping::Ping.element()).build();
        assert!(matches!(requests().consume(&ping, false), Consumed::No));
    }
}
