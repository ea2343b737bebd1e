//! Stanza errors (RFC 6120 §8.3).

use longwire_xml::{Child, Element};

use super::names;
use crate::{Jid, ns};

names! {
    /// What is wrong (RFC 6120 §8.3.3).
    Condition {
        /// The stanza breaks a schema or a rule (§8.3.3.1).
        BadRequest = "bad-request",
        /// Something of that name exists already (§8.3.3.2).
        Conflict = "conflict",
        /// The recipient does not do that (§8.3.3.3).
        FeatureNotImplemented = "feature-not-implemented",
        /// The sender may not do that (§8.3.3.4).
        Forbidden = "forbidden",
        /// The recipient has left for good, perhaps to a new address (§8.3.3.5).
        Gone = "gone",
        /// Our fault (§8.3.3.6).
        InternalServerError = "internal-server-error",
        /// There is no such thing (§8.3.3.7).
        ItemNotFound = "item-not-found",
        /// An address is malformed (§8.3.3.8).
        JidMalformed = "jid-malformed",
        /// The request is understood and does not meet the criteria (§8.3.3.9).
        NotAcceptable = "not-acceptable",
        /// Nobody may do that (§8.3.3.10).
        NotAllowed = "not-allowed",
        /// The sender must show credentials first (§8.3.3.11).
        NotAuthorized = "not-authorized",
        /// A local policy forbids it (§8.3.3.12).
        PolicyViolation = "policy-violation",
        /// The recipient is away for a while (§8.3.3.13).
        RecipientUnavailable = "recipient-unavailable",
        /// The recipient is elsewhere for a while (§8.3.3.14).
        Redirect = "redirect",
        /// The sender must register first (§8.3.3.15).
        RegistrationRequired = "registration-required",
        /// The recipient's server does not exist (§8.3.3.16).
        RemoteServerNotFound = "remote-server-not-found",
        /// The recipient's server does not answer (§8.3.3.17).
        RemoteServerTimeout = "remote-server-timeout",
        /// We are too busy (§8.3.3.18).
        ResourceConstraint = "resource-constraint",
        /// The recipient does not provide that service (§8.3.3.19).
        ServiceUnavailable = "service-unavailable",
        /// The sender must subscribe first (§8.3.3.20).
        SubscriptionRequired = "subscription-required",
        /// None of the others: the application-specific condition tells (§8.3.3.21).
        UndefinedCondition = "undefined-condition",
        /// Understood, but not at this time (§8.3.3.22).
        UnexpectedRequest = "unexpected-request",
    }
}

names! {
    /// What the sender of the stanza should do about it (RFC 6120 §8.3.2).
    ErrorKind {
        /// Try again with credentials.
        Auth = "auth",
        /// Do not try again.
        Cancel = "cancel",
        /// Go on: this was a warning.
        Continue = "continue",
        /// Try again with other data.
        Modify = "modify",
        /// Try again later.
        Wait = "wait",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 gives this condition; where it gives several, the first.
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect => ErrorKind::Modify,
            Self::Forbidden
            | Self::NotAuthorized
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => ErrorKind::Auth,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => ErrorKind::Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::UndefinedCondition => ErrorKind::Cancel,
        }
    }
}

/// The answer to a stanza that cannot be processed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{condition}")]
pub struct StanzaError {
    /// What is wrong.
    pub condition: Condition,
    /// What the sender should do.
    pub kind: ErrorKind,
    /// For `gone` and `redirect`: where to go instead, usually an `xmpp:` URI.
    pub address: Option<Box<str>>,
    /// An explanation in English for a human.
    pub text: Option<Box<str>>,
    /// An application-specific condition (RFC 6120 §8.3.4).
    pub application: Option<Box<Element>>,
    /// Who found the error, when it is not the addressee (RFC 6120 §8.3.1).
    pub by: Option<Jid>,
}

impl StanzaError {
    /// An error with the usual type of its condition.
    pub const fn new(condition: Condition) -> Self {
        let kind = condition.kind();
        Self { condition, kind, address: None, text: None, application: None, by: None }
    }

    /// The same error with another type.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error with an explanation.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Box<str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same error with an application-specific condition.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application = Some(Box::new(element));
        self
    }

    /// The same error, naming who found it.
    #[must_use]
    pub fn with_by(mut self, by: impl Into<Jid>) -> Self {
        self.by = Some(by.into());
        self
    }

    /// The same error with the new address of `gone` or `redirect`.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<Box<str>>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// `bad-request` with an explanation: what a payload's reader mostly says.
    pub fn bad_request(text: &str) -> Self {
        Self::new(Condition::BadRequest).with_text(text)
    }

    /// The `<error/>` child of a stanza.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STANZAS, self.condition.as_str());
        if let (Condition::Gone | Condition::Redirect, Some(address)) =
            (self.condition, &self.address)
        {
            condition = condition.text(&**address);
        }
        let mut error = Element::new(ns::CLIENT, "error")
            .attr("type", self.kind.as_str())
            .attr_opt("by", self.by.as_ref().map(Jid::as_str))
            .child(condition);
        if let Some(text) = &self.text {
            error = error.child(Element::new(ns::STANZAS, "text").text(&**text));
        }
        if let Some(application) = &self.application {
            error = error.child((**application).clone());
        }
        error
    }

    /// Reads the `<error/>` child of a stanza.
    ///
    /// Tolerant: what is missing or unknown becomes `undefined-condition` or the usual type.
    pub fn parse(child: &Child<'_>) -> Self {
        Self::from_element(&child.element())
    }

    /// As [`StanzaError::parse`], from an element.
    pub fn from_element(error: &Element) -> Self {
        let mut read = Self::new(Condition::UndefinedCondition);
        let mut found = false;
        for child in error.child_elements() {
            if child.ns() != ns::STANZAS {
                if read.application.is_none() {
                    read.application = Some(Box::new(child.clone()));
                }
            } else if child.name() == "text" {
                read.text.get_or_insert_with(|| child.text_content().into());
            } else if let (false, Some(condition)) = (found, Condition::from_name(child.name())) {
                found = true;
                read.condition = condition;
                let address = child.text_content();
                if matches!(condition, Condition::Gone | Condition::Redirect) && !address.is_empty()
                {
                    read.address = Some(address.into());
                }
            }
        }
        read.kind = error
            .attribute("type")
            .and_then(ErrorKind::from_name)
            .unwrap_or_else(|| read.condition.kind());
        read.by = error.attribute("by").and_then(|by| Jid::new(by).ok());
        read
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> Self {
        Self::new(condition)
    }
}
