//! Last activity (XEP-0012).

use longwire_xml::{Child, Element};

use super::{Payload, empty, expect, required};
use crate::{StanzaError, ns};

empty!(
    /// When were you last active?
    Request, ns::LAST, "query"
);

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Seconds since the last activity; a server's uptime; or since an account logged out.
    pub seconds: u64,
    /// The status of the last unavailable presence.
    pub status: Option<String>,
}

impl Payload for Last {
    const NS: &'static str = ns::LAST;
    const NAME: &'static str = "query";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let query = Element::new(Self::NS, Self::NAME).attr("seconds", self.seconds.to_string());
        match &self.status {
            Some(status) => query.text(status),
            None => query,
        }
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let seconds = required(element, "seconds")?.parse();
        let status = element.text_content().to_string();
        Ok(Self {
            seconds: seconds.map_err(|_| StanzaError::bad_request("seconds is not a number"))?,
            status: Some(status).filter(|status| !status.is_empty()),
        })
    }
}
