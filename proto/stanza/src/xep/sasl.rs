//! SASL (RFC 6120 §6).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longwire_xml::{Child, Element};

use super::{Payload, child_text, expect, text_child};
use crate::error::names;
use crate::{StanzaError, ns};

names! {
    /// Why an authentication failed (RFC 6120 §6.5).
    FailureCondition {
        /// The client gave up.
        Aborted = "aborted",
        /// The account is disabled for now.
        AccountDisabled = "account-disabled",
        /// The credentials are too old.
        CredentialsExpired = "credentials-expired",
        /// The mechanism needs encryption.
        EncryptionRequired = "encryption-required",
        /// The data is not Base64.
        IncorrectEncoding = "incorrect-encoding",
        /// The authorization identity is malformed, or not the client's to use.
        InvalidAuthzid = "invalid-authzid",
        /// The mechanism is not offered.
        InvalidMechanism = "invalid-mechanism",
        /// The request does not follow the protocol.
        MalformedRequest = "malformed-request",
        /// The mechanism is weaker than the policy for this account.
        MechanismTooWeak = "mechanism-too-weak",
        /// The credentials are wrong.
        NotAuthorized = "not-authorized",
        /// Not now.
        TemporaryAuthFailure = "temporary-auth-failure",
    }
}

/// A failed authentication, in the words of both SASL profiles.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{condition}")]
pub struct Failure {
    /// Why.
    pub condition: FailureCondition,
    /// An explanation in English for a human.
    pub text: Option<Box<str>>,
    /// Application-specific conditions.
    pub application: Vec<Element>,
}

impl Failure {
    /// A failure with nothing but its condition.
    pub const fn new(condition: FailureCondition) -> Self {
        Self { condition, text: None, application: Vec::new() }
    }

    /// The same failure with an explanation.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Box<str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same failure with one more application-specific condition.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application.push(element);
        self
    }

    /// The `<failure/>` of the profile that `namespace` names.
    pub(super) fn element_in(&self, namespace: &str) -> Element {
        let failure = Element::new(namespace, "failure")
            .child(Element::new(ns::SASL, self.condition.as_str()))
            .children(self.application.iter().cloned());
        text_child(failure, "text", self.text.as_deref())
    }

    /// Reads a `<failure/>` of either profile; an unknown condition is `not-authorized`.
    ///
    /// `//= RFC 6120 §6.5` what a client does not know, it takes for a general failure.
    pub(super) fn read(element: &Element) -> Self {
        let condition = element
            .child_elements()
            .filter(|child| child.ns() == ns::SASL)
            .find_map(|child| FailureCondition::from_name(child.name()));
        Self {
            condition: condition.unwrap_or(FailureCondition::NotAuthorized),
            text: child_text(element, "text").map(Into::into),
            application: element
                .child_elements()
                .filter(|child| child.ns() != ns::SASL && child.ns() != element.ns())
                .cloned()
                .collect(),
        }
    }
}

impl From<FailureCondition> for Failure {
    fn from(condition: FailureCondition) -> Self {
        Self::new(condition)
    }
}

/// What a mechanism says. It may be a password, so it is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(Vec<u8>);

impl Data {
    /// The bytes that a mechanism produced.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Reads Base64; white space around and within is left out.
    ///
    /// # Errors
    ///
    /// `incorrect-encoding` (RFC 6120 §6.5.5): answer it and let the client try again.
    pub fn decode(text: &str) -> Result<Self, Failure> {
        let dense: String = text.split_ascii_whitespace().collect();
        STANDARD
            .decode(dense)
            .map(Self)
            .map_err(|_| Failure::new(FailureCondition::IncorrectEncoding))
    }

    /// As Base64.
    pub fn encode(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// As the text of an element of SASL, where `=` stands for nothing at all.
    fn encode_marked(&self) -> String {
        if self.0.is_empty() { "=".to_owned() } else { self.encode() }
    }

    fn decode_marked(text: &str) -> Result<Option<Self>, Failure> {
        match text.trim_ascii() {
            "" => Ok(None),
            "=" => Ok(Some(Self::default())),
            text => Self::decode(text).map(Some),
        }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

/// The stream feature: the mechanisms that a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mechanisms {
    /// Their registered names, best first.
    pub mechanisms: Vec<String>,
}

impl Payload for Mechanisms {
    const NS: &'static str = ns::SASL;
    const NAME: &'static str = "mechanisms";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let mechanism = |name: &String| Element::new(Self::NS, "mechanism").text(name);
        Element::new(Self::NS, Self::NAME).children(self.mechanisms.iter().map(mechanism))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        Ok(Self { mechanisms: mechanisms(element) })
    }
}

/// The texts of the `<mechanism/>` children.
pub(super) fn mechanisms(element: &Element) -> Vec<String> {
    element
        .child_elements()
        .filter(|child| child.ns() == element.ns() && child.name() == "mechanism")
        .map(|child| child.text_content().trim().to_owned())
        .collect()
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientElement {
    /// It begins.
    Auth {
        /// The mechanism.
        mechanism: String,
        /// The initial response, if the mechanism has one.
        initial: Option<Data>,
    },
    /// It answers a challenge.
    Response(Data),
    /// It gives up.
    Abort,
}

impl ClientElement {
    /// Reads an element of the namespace.
    ///
    /// # Errors
    ///
    /// `malformed-request` or `incorrect-encoding`: send the failure.
    pub fn from_element(element: &Element) -> Result<Self, Failure> {
        let text = element.text_content();
        match element.name() {
            _ if element.ns() != ns::SASL => Err(FailureCondition::MalformedRequest.into()),
            "auth" => {
                let mechanism = element.attribute("mechanism");
                Ok(Self::Auth {
                    mechanism: mechanism.ok_or(FailureCondition::InvalidMechanism)?.to_owned(),
                    initial: Data::decode_marked(&text)?,
                })
            }
            "response" => Ok(Self::Response(Data::decode_marked(&text)?.unwrap_or_default())),
            "abort" => Ok(Self::Abort),
            _ => Err(FailureCondition::MalformedRequest.into()),
        }
    }

    /// Makes the element.
    pub fn element(&self) -> Element {
        match self {
            Self::Auth { mechanism, initial } => {
                let auth = Element::new(ns::SASL, "auth").attr("mechanism", &**mechanism);
                match initial {
                    Some(data) => auth.text(data.encode_marked()),
                    None => auth,
                }
            }
            Self::Response(data) => Element::new(ns::SASL, "response").text(data.encode()),
            Self::Abort => Element::new(ns::SASL, "abort"),
        }
    }
}

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerElement {
    /// It asks.
    Challenge(Data),
    /// The client is who it says; with what the mechanism adds, if anything.
    Success(Option<Data>),
    /// It is not.
    Failure(Failure),
}

impl ServerElement {
    /// Reads an element of the namespace.
    ///
    /// # Errors
    ///
    /// When it is none of these or not Base64: the server is broken, close the stream.
    pub fn from_element(element: &Element) -> Result<Self, Failure> {
        let text = element.text_content();
        match element.name() {
            _ if element.ns() != ns::SASL => Err(FailureCondition::MalformedRequest.into()),
            "challenge" => Ok(Self::Challenge(Data::decode_marked(&text)?.unwrap_or_default())),
            "success" => Ok(Self::Success(Data::decode_marked(&text)?)),
            "failure" => Ok(Self::Failure(Failure::read(element))),
            _ => Err(FailureCondition::MalformedRequest.into()),
        }
    }

    /// Makes the element.
    pub fn element(&self) -> Element {
        match self {
            Self::Challenge(data) => Element::new(ns::SASL, "challenge").text(data.encode()),
            Self::Success(None) => Element::new(ns::SASL, "success"),
            Self::Success(Some(data)) => {
                Element::new(ns::SASL, "success").text(data.encode_marked())
            }
            Self::Failure(failure) => failure.element_in(ns::SASL),
        }
    }
}
