//! Stream errors (RFC 6120 §4.9).

use longwire_xml::{Element, XmlError};

use super::names;
use crate::ns;

names! {
    /// Why the stream ends (RFC 6120 §4.9.3).
    StreamCondition {
        /// XML that cannot be processed (§4.9.3.1).
        BadFormat = "bad-format",
        /// A prefix that is not bound, or bound wrongly (§4.9.3.2).
        BadNamespacePrefix = "bad-namespace-prefix",
        /// A newer stream replaces this one (§4.9.3.3).
        Conflict = "conflict",
        /// Nothing was heard for too long (§4.9.3.4).
        ConnectionTimeout = "connection-timeout",
        /// The domain is no longer served here (§4.9.3.5).
        HostGone = "host-gone",
        /// The domain is not served here (§4.9.3.6).
        HostUnknown = "host-unknown",
        /// An address is missing or empty (§4.9.3.7).
        ImproperAddressing = "improper-addressing",
        /// Our fault (§4.9.3.8).
        InternalServerError = "internal-server-error",
        /// A `from` that was not authenticated (§4.9.3.9).
        InvalidFrom = "invalid-from",
        /// A stream or default namespace that is not supported (§4.9.3.10).
        InvalidNamespace = "invalid-namespace",
        /// XML that a validating server refuses (§4.9.3.11).
        InvalidXml = "invalid-xml",
        /// Data before authentication (§4.9.3.12).
        NotAuthorized = "not-authorized",
        /// Not well-formed (§4.9.3.13).
        NotWellFormed = "not-well-formed",
        /// A local policy was broken, such as a size limit (§4.9.3.14).
        PolicyViolation = "policy-violation",
        /// Another server that is needed cannot be reached (§4.9.3.15).
        RemoteConnectionFailed = "remote-connection-failed",
        /// The stream must be opened anew (§4.9.3.16).
        Reset = "reset",
        /// We are too busy (§4.9.3.17).
        ResourceConstraint = "resource-constraint",
        /// A comment, a processing instruction, a DTD or an entity (§4.9.3.18).
        RestrictedXml = "restricted-xml",
        /// Go elsewhere (§4.9.3.19).
        SeeOtherHost = "see-other-host",
        /// The server is shutting down (§4.9.3.20).
        SystemShutdown = "system-shutdown",
        /// None of the others (§4.9.3.21).
        UndefinedCondition = "undefined-condition",
        /// Not UTF-8 (§4.9.3.22).
        UnsupportedEncoding = "unsupported-encoding",
        /// A mandatory feature that the peer lacks (§4.9.3.23).
        UnsupportedFeature = "unsupported-feature",
        /// A top-level element that is not a stanza (§4.9.3.24).
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// Not XMPP 1.0 (§4.9.3.25).
        UnsupportedVersion = "unsupported-version",
    }
}

/// The reason that is sent before a stream is closed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{condition}")]
pub struct StreamError {
    /// Why.
    pub condition: StreamCondition,
    /// For `see-other-host`: the host, perhaps with a port.
    pub host: Option<Box<str>>,
    /// An explanation in English for a human.
    pub text: Option<Box<str>>,
    /// An application-specific condition (RFC 6120 §4.9.4).
    pub application: Option<Box<Element>>,
}

impl StreamError {
    /// An error with nothing but its condition.
    pub const fn new(condition: StreamCondition) -> Self {
        Self { condition, host: None, text: None, application: None }
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

    /// `see-other-host` with the place to go to.
    ///
    /// `//= RFC 6120 §4.9.3.19`
    pub fn see_other_host(host: impl Into<Box<str>>) -> Self {
        Self { host: Some(host.into()), ..Self::new(StreamCondition::SeeOtherHost) }
    }

    /// The `<stream:error/>` element.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STREAM_ERRORS, self.condition.as_str());
        if let (StreamCondition::SeeOtherHost, Some(host)) = (self.condition, &self.host) {
            condition = condition.text(&**host);
        }
        let mut error = Element::new(ns::STREAMS, "error").child(condition);
        if let Some(text) = &self.text {
            error = error.child(Element::new(ns::STREAM_ERRORS, "text").text(&**text));
        }
        if let Some(application) = &self.application {
            error = error.child((**application).clone());
        }
        error
    }

    /// Reads a `<stream:error/>` element; an unknown condition is `undefined-condition`.
    pub fn from_element(error: &Element) -> Self {
        let mut read = Self::new(StreamCondition::UndefinedCondition);
        let mut found = false;
        for child in error.child_elements() {
            if child.ns() != ns::STREAM_ERRORS {
                if read.application.is_none() {
                    read.application = Some(Box::new(child.clone()));
                }
            } else if child.name() == "text" {
                read.text.get_or_insert_with(|| child.text_content().into());
            } else if let (false, Some(condition)) =
                (found, StreamCondition::from_name(child.name()))
            {
                found = true;
                read.condition = condition;
                let host = child.text_content();
                if condition == StreamCondition::SeeOtherHost && !host.is_empty() {
                    read.host = Some(host.into());
                }
            }
        }
        read
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> Self {
        Self::from(&error)
    }
}

impl From<&XmlError> for StreamError {
    fn from(error: &XmlError) -> Self {
        let condition = match error.condition() {
            longwire_xml::Condition::NotWellFormed => StreamCondition::NotWellFormed,
            longwire_xml::Condition::RestrictedXml => StreamCondition::RestrictedXml,
            longwire_xml::Condition::UnsupportedEncoding => StreamCondition::UnsupportedEncoding,
            longwire_xml::Condition::PolicyViolation => StreamCondition::PolicyViolation,
            _ => StreamCondition::InvalidXml,
        };
        Self::new(condition).with_text(error.to_string())
    }
}
