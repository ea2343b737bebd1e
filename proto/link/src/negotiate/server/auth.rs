//! One authentication after the other, until one succeeds or the patience ends.

use longwire_stanza::{BareJid, StreamCondition, StreamError, ns};
use longwire_xml::{Element, Scanned};

use super::{Origin, Output, Server, State, features};
use crate::negotiate::ask::{Ask, Reply};
use crate::negotiate::limits;
use crate::negotiate::wire::{self, Profile, Request, Start};
use crate::sasl::{
    Hash, Mechanism, PlainMessage, SaslCondition, SaslError, ScramServer, ServerBinding,
    StoredCredential,
};

/// One exchange of a mechanism.
pub(super) struct Exchange {
    profile: Profile,
    mechanism: Mechanism,
    request: Request,
    /// Who wants to log in, when the name can be an account at all.
    account: Option<BareJid>,
    scram: Option<ScramServer>,
}

impl Exchange {
    pub(super) fn is_sasl2(&self) -> bool {
        self.profile == Profile::Sasl2
    }
}

impl Server {
    /// `<auth/>` or `<authenticate/>` has come.
    pub(super) fn begin(&mut self, profile: Profile, element: &Scanned) {
        if !self.security.may_authenticate() {
            return self.refuse(profile, None, SaslCondition::EncryptionRequired);
        }
        let start = match Start::read(profile, element) {
            Ok(start) => start,
            Err(condition) => return self.refuse(profile, None, condition),
        };
        if start.request.version.as_ref().is_some_and(|version| *version != self.offer.version) {
            return self.refuse_stale();
        }
        let mechanism = Mechanism::from_name(&start.mechanism)
            .filter(|mechanism| self.offer.mechanisms.contains(mechanism));
        let Some(mechanism) = mechanism else {
            return self.refuse(profile, None, SaslCondition::InvalidMechanism);
        };
        let request = start.request;
        let exchange = Exchange { profile, mechanism, request, account: None, scram: None };
        match start.initial {
            Some(data) => self.first_message(Box::new(exchange), &data),
            None => {
                self.write(&Element::new(profile.ns(), "challenge"));
                self.state = State::Begun(Box::new(exchange));
            }
        }
    }

    /// An element has come while an exchange is open.
    pub(super) fn handle_exchange(&mut self, element: &Scanned) {
        let (exchange, scram) = match std::mem::replace(&mut self.state, State::Stepping) {
            State::Begun(exchange) => (exchange, None),
            State::Challenged(exchange, scram) => (exchange, Some(scram)),
            other => {
                self.state = other;
                return;
            }
        };
        let profile = exchange.profile;
        if element.namespace() == profile.ns() && element.name() == "abort" {
            return self.abort(profile);
        }
        if element.namespace() != profile.ns() || element.name() != "response" {
            // XEP-0388 §2.4: anything else ends the connection; a stanza has no business here.
            return self.fail(StreamError::new(StreamCondition::NotAuthorized));
        }
        let data = match profile.decode(&element.text()) {
            Ok(data) => data.unwrap_or_default(),
            Err(error) => return self.refuse(profile, exchange.account, error.condition()),
        };
        match scram {
            None => self.first_message(exchange, &data),
            Some(scram) => self.proof(exchange, *scram, &data),
        }
    }

    /// The client gives up.
    pub(super) fn abort(&mut self, profile: Profile) {
        self.refuse(profile, None, SaslCondition::Aborted);
    }

    /// The driver has looked up a credential or verified a password.
    pub(super) fn verified(&mut self, mut exchange: Box<Exchange>, reply: Reply) {
        let profile = exchange.profile;
        match (reply, exchange.scram.take()) {
            (Reply::Credential(credential), Some(scram)) => {
                self.challenge(exchange, scram, credential);
            }
            (Reply::Verified(true), None) => self.succeed(*exchange, None),
            (Reply::Verified(false), None) => {
                self.refuse(profile, exchange.account, SaslCondition::NotAuthorized);
            }
            (Reply::Refused(condition), _) => self.refuse(profile, exchange.account, condition),
            (Reply::Throttled | Reply::TemporaryFailure, _) => {
                self.refuse(profile, exchange.account, SaslCondition::TemporaryAuthFailure);
            }
            // The driver answered another question.
            _ => self.fail(StreamError::new(StreamCondition::InternalServerError)),
        }
    }

    fn first_message(&mut self, mut exchange: Box<Exchange>, data: &[u8]) {
        let profile = exchange.profile;
        let asked = match exchange.mechanism {
            Mechanism::Plain => self.plain(&mut exchange, data).map(Some),
            Mechanism::Scram { hash, plus } => self.scram(&mut exchange, hash, plus, data),
        };
        match asked {
            Ok(Some(ask)) => {
                self.outputs.push_back(Output::Ask(ask));
                self.state = State::Verifying(exchange);
            }
            // A name that no account can have: go on as with any unknown one.
            Ok(None) => match exchange.scram.take() {
                Some(scram) => self.challenge(exchange, scram, None),
                None => self.refuse(profile, None, SaslCondition::NotAuthorized),
            },
            Err(error) => self.refuse(profile, exchange.account, error.condition()),
        }
    }

    fn plain(&mut self, exchange: &mut Exchange, data: &[u8]) -> Result<Ask, SaslError> {
        let message = PlainMessage::parse(data)?;
        exchange.account = self.account_of(&message.username, message.authzid.as_deref())?;
        let account = exchange.account.clone().ok_or(SaslError::Proof)?;
        Ok(Ask::Verify { account, password: message.password })
    }

    fn scram(
        &mut self,
        exchange: &mut Exchange,
        hash: Hash,
        plus: bool,
        data: &[u8],
    ) -> Result<Option<Ask>, SaslError> {
        let tls = self.security.tls.as_ref();
        let offer = ServerBinding { plus, plus_offered: self.offer.plus(), tls };
        let scram = ScramServer::start(hash, offer, data)?;
        exchange.account = self.account_of(scram.username(), scram.authzid())?;
        exchange.scram = Some(scram);
        Ok(exchange.account.clone().map(|account| Ask::Credential { account, hash }))
    }

    /// The account of a user name, unless the client claims to be somebody else.
    fn account_of(
        &self,
        username: &str,
        authzid: Option<&str>,
    ) -> Result<Option<BareJid>, SaslError> {
        let host = self.host.as_ref().ok_or(SaslError::OutOfOrder)?;
        let account = BareJid::from_parts(Some(username), host.domain()).ok();
        if let Some(authzid) = authzid {
            let authzid = BareJid::new(authzid).map_err(|_| SaslError::Authzid)?;
            if account.as_ref() != Some(&authzid) {
                return Err(SaslError::Authzid);
            }
        }
        //= XEP-0388 §2.3
        if self.claimed.is_some() && self.claimed != account {
            return Err(SaslError::Authzid);
        }
        Ok(account)
    }

    fn challenge(
        &mut self,
        exchange: Box<Exchange>,
        mut scram: ScramServer,
        credential: Option<StoredCredential>,
    ) {
        let known = credential.is_some();
        let name = exchange.account.as_ref().map_or_else(|| scram.username(), |a| a.as_str());
        // Invented for everybody, so that its time tells nothing.
        let fake = self.fake.credential(scram.hash(), name);
        let credential = credential.unwrap_or(fake);
        let nonce = self.fresh_text();
        let advertised = Some(&self.offer.advertised);
        let message = scram.challenge(&credential, known, &nonce, advertised);
        self.write(&exchange.profile.element("challenge", &message));
        self.state = State::Challenged(exchange, Box::new(scram));
    }

    fn proof(&mut self, exchange: Box<Exchange>, scram: ScramServer, data: &[u8]) {
        match scram.finish(data) {
            Ok(message) => self.succeed(*exchange, Some(message)),
            Err(error) => self.refuse(exchange.profile, exchange.account, error.condition()),
        }
    }

    fn succeed(&mut self, exchange: Exchange, data: Option<Vec<u8>>) {
        let Some(account) = exchange.account else {
            return self.refuse(exchange.profile, None, SaslCondition::NotAuthorized);
        };
        self.account = Some(account.clone());
        self.outputs.push_back(Output::Authenticated(account.clone()));
        if exchange.profile == Profile::Sasl1 {
            let success = match &data {
                Some(data) => Profile::Sasl1.element("success", data),
                None => Element::new(ns::SASL, "success"),
            };
            self.write(&success);
            self.outputs.push_back(Output::Restart);
            self.opened = false;
            self.state = State::Header;
            return;
        }
        self.user_agent = exchange.request.user_agent;
        let Some(bind) = exchange.request.bind else {
            self.write(&success(account.as_str(), data.as_deref(), None));
            let features = features::after(&self.config, false);
            self.write_features(&features);
            self.state = State::Unbound;
            return;
        };
        let is_resumable = bind.requests.iter().any(is_stream_management);
        self.outputs.push_back(Output::Ask(Ask::Bind {
            account,
            resource: None,
            tag: bind.tag,
            user_agent: self.user_agent.clone(),
            replaces: self.user_agent.as_ref().and_then(|agent| agent.id.clone()),
            requests: bind.requests,
        }));
        self.state = State::Binding(Origin::Inline { data, is_resumable });
    }

    /// A failed attempt.
    fn refuse(&mut self, profile: Profile, account: Option<BareJid>, condition: SaslCondition) {
        self.attempts += 1;
        self.write(&wire::failure(profile, condition, None, None));
        self.outputs.push_back(Output::Refused { account, condition });
        self.state = State::Offered;
        if self.attempts >= limits::ATTEMPTS {
            self.fail_with(StreamCondition::PolicyViolation, "too many failed attempts");
        }
    }

    /// An attempt that relied on an old offer: no failed login (XEP-0509 §2.2).
    fn refuse_stale(&mut self) {
        self.stale_attempts += 1;
        let mismatch = Element::new(ns::PIPELINING, "config-version-mismatch");
        let aborted = SaslCondition::Aborted;
        self.write(&wire::failure(Profile::Sasl2, aborted, Some(mismatch), None));
        self.state = State::Offered;
        if self.stale_attempts >= limits::STALE_ATTEMPTS {
            self.fail_with(StreamCondition::PolicyViolation, "use the offered config-version");
        }
    }
}

/// Whether Bind 2 is asked for stream management.
fn is_stream_management(request: &Element) -> bool {
    request.ns() == ns::STREAM_MANAGEMENT && request.name() == "enable"
}

/// SASL2's `<success/>`.
pub(super) fn success(identity: &str, data: Option<&[u8]>, bound: Option<Element>) -> Element {
    let mut element = Element::new(ns::SASL2, "success");
    if let Some(data) = data {
        element = element.child(Profile::Sasl2.element("additional-data", data));
    }
    let identity = Element::new(ns::SASL2, "authorization-identifier").text(identity);
    element.child(identity).children(bound)
}
