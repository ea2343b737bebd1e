//! Binding a resource: classic (RFC 6120 §7) and inside SASL2 (XEP-0386).

use longwire_stanza::{Condition, FullJid, StanzaError, StreamCondition, StreamError, ns};
use longwire_xml::{Element, Scanned};

use super::auth::success;
use super::{Output, Server, State, features};
use crate::negotiate::ask::{Ask, Reply};
use crate::negotiate::limits;

/// How the resource was asked for.
pub(super) enum Origin {
    /// With an IQ.
    Iq {
        /// Its id.
        id: String,
    },
    /// Inside `<authenticate/>`; the mechanism's last words wait for the answer.
    Inline {
        /// Additional data of the mechanism.
        data: Option<Vec<u8>>,
        /// Stream management was asked for, and has to be answered.
        is_resumable: bool,
    },
}

impl Server {
    /// An element has come after authentication and before a resource is bound.
    pub(super) fn handle_bind(&mut self, element: &Scanned) {
        let kind = element.attribute("type");
        let is_set = element.namespace() == ns::CLIENT
            && element.name() == "iq"
            && kind.as_deref() == Some("set");
        let bind = element.child(ns::BIND, "bind").filter(|_| is_set);
        let (Some(bind), Some(account)) = (bind, self.account.clone()) else {
            // RFC 6120 §7.1: nothing else before a resource is bound.
            return self.fail(StreamError::new(StreamCondition::NotAuthorized));
        };
        let Some(id) = element.attribute("id").map(|id| id.into_owned()) else {
            return self.refuse_bind("", &StanzaError::new(Condition::BadRequest));
        };
        let resource = bind.child(ns::BIND, "resource").map(|child| child.text().into_owned());
        self.outputs.push_back(Output::Ask(Ask::Bind {
            account,
            resource: resource.filter(|resource| !resource.is_empty()),
            tag: None,
            user_agent: self.user_agent.clone(),
            replaces: self.user_agent.as_ref().and_then(|agent| agent.id.clone()),
            requests: Vec::new(),
        }));
        self.state = State::Binding(Origin::Iq { id });
    }

    /// The driver has bound a resource, or not.
    pub(super) fn bound(&mut self, origin: Origin, reply: Reply) {
        let (outcome, mut results) = match reply {
            Reply::Bound(outcome) => (outcome, Vec::new()),
            Reply::BoundWith { jid, results } => (Ok(jid), results),
            Reply::Throttled | Reply::TemporaryFailure => {
                (Err(StanzaError::new(Condition::ResourceConstraint)), Vec::new())
            }
            Reply::Credential(_) | Reply::Verified(_) | Reply::Refused(_) => {
                return self.fail(StreamError::new(StreamCondition::InternalServerError));
            }
        };
        // A session of another account would be worse than none.
        let outcome = outcome.and_then(|jid| {
            let own = self.account.as_ref().is_some_and(|account| jid.bare() == *account);
            if own { Ok(jid) } else { Err(StanzaError::new(Condition::InternalServerError)) }
        });
        match (origin, outcome) {
            (Origin::Iq { id }, Ok(jid)) => {
                let bind = Element::new(ns::BIND, "bind")
                    .child(Element::new(ns::BIND, "jid").text(jid.as_str()));
                let iq = Element::new(ns::CLIENT, "iq").attr("type", "result").attr("id", id);
                self.write(&iq.child(bind));
                self.finish(jid);
            }
            (Origin::Iq { id }, Err(error)) => self.refuse_bind(&id, &error),
            (Origin::Inline { data, is_resumable }, Ok(jid)) => {
                //= XEP-0386 §3.2
                let is_open = is_resumable && !results.iter().any(is_stream_management);
                results.extend(is_open.then(no_stream_management));
                let bound = Element::new(ns::BIND2, "bound").children(results);
                self.write(&success(jid.as_str(), data.as_deref(), Some(bound)));
                let features = features::after(&self.config, true);
                self.write_features(&features);
                self.finish(jid);
            }
            // Authenticated, but without a resource: classic binding stays open.
            (Origin::Inline { data, .. }, Err(_)) => {
                let identity = self.account.as_ref().map_or("", |account| account.as_str());
                let success = success(identity, data.as_deref(), None);
                self.write(&success);
                let features = features::after(&self.config, false);
                self.write_features(&features);
                self.state = State::Unbound;
            }
        }
    }

    fn finish(&mut self, jid: FullJid) {
        self.outputs.push_back(Output::Bound(jid));
        self.state = State::Bound;
    }

    fn refuse_bind(&mut self, id: &str, error: &StanzaError) {
        self.bind_attempts += 1;
        let iq = Element::new(ns::CLIENT, "iq").attr("type", "error").attr("id", id);
        self.write(&iq.child(error.to_element()));
        self.state = State::Unbound;
        if self.bind_attempts >= limits::BIND_ATTEMPTS {
            self.fail_with(StreamCondition::PolicyViolation, "too many refused resources");
        }
    }
}

fn is_stream_management(result: &Element) -> bool {
    result.ns() == ns::STREAM_MANAGEMENT
}

/// The answer when nobody has taken care of a request for stream management (XEP-0198 §3).
fn no_stream_management() -> Element {
    let condition = Condition::FeatureNotImplemented;
    Element::new(ns::STREAM_MANAGEMENT, "failed")
        .child(Element::new(ns::STANZAS, condition.as_str()))
}
