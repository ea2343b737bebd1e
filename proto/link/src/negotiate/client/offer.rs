//! What a server offers, as a client reads it, and what the client makes of it.

use longwire_stanza::ns;
use longwire_xml::Element;

use super::ClientError;
use crate::negotiate::config::Security;
use crate::negotiate::limits;
use crate::negotiate::wire::Profile;
use crate::sasl::{Advertised, BindingType, ClientBinding, Mechanism};

/// The stream features of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// STARTTLS is offered.
    pub starttls: bool,
    /// Mechanism names of RFC 6120's profile.
    pub sasl1: Vec<String>,
    /// Mechanism names of SASL2.
    pub sasl2: Vec<String>,
    /// Channel-binding types; `None` when they were not announced (XEP-0440).
    pub bindings: Option<Vec<String>>,
    /// Bind 2 is offered inline.
    pub bind2: bool,
    /// Classic binding is offered.
    pub bind: bool,
    /// The version of this offer (XEP-0509).
    pub config_version: Option<String>,
    /// Largest element that the server accepts (XEP-0478).
    pub max_bytes: Option<u32>,
    /// Seconds of silence after which the server may close (XEP-0478).
    pub idle_seconds: Option<u32>,
    /// Everything as it came.
    pub element: Option<Element>,
}

/// What a client remembers of a server's offer in order to pipeline its next login (XEP-0509).
#[derive(Debug, Clone, PartialEq)]
pub struct CachedOffer {
    /// The offer before authentication, seen on an equally protected connection.
    pub features: Features,
}

impl Features {
    /// Reads `<stream:features/>`.
    pub(super) fn read(element: Element) -> Self {
        let names = |list: Option<&Element>, ns: &str, name: &str| -> Vec<Element> {
            let children = list.into_iter().flat_map(Element::child_elements);
            children.filter(|c| c.is(ns, name)).take(limits::OFFERED_NAMES).cloned().collect()
        };
        let texts = |list: Vec<Element>| -> Vec<String> {
            list.iter().map(|child| child.text_content().trim().to_owned()).collect()
        };
        let authentication = element.find(ns::SASL2, "authentication");
        let inline = authentication.and_then(|a| a.find(ns::SASL2, "inline"));
        let bindings = element.find(ns::SASL_CHANNEL_BINDING, "sasl-channel-binding");
        let sent_limits = element.find(ns::STREAM_LIMITS, "limits");
        let limit = |name: &str| {
            sent_limits?.find(ns::STREAM_LIMITS, name)?.text_content().trim().parse().ok()
        };
        Self {
            starttls: element.find(ns::TLS, "starttls").is_some(),
            sasl1: texts(names(element.find(ns::SASL, "mechanisms"), ns::SASL, "mechanism")),
            sasl2: texts(names(authentication, ns::SASL2, "mechanism")),
            bindings: bindings.map(|list| {
                let types = names(Some(list), ns::SASL_CHANNEL_BINDING, "channel-binding");
                types.iter().filter_map(|t| t.attribute("type")).map(str::to_owned).collect()
            }),
            bind2: inline.is_some_and(|inline| inline.find(ns::BIND2, "bind").is_some()),
            bind: element.find(ns::BIND, "bind").is_some(),
            config_version: element
                .find(ns::PIPELINING, "config-version")
                .and_then(|version| version.attribute("value"))
                .map(str::to_owned),
            max_bytes: limit("max-bytes"),
            idle_seconds: limit("idle-seconds"),
            element: Some(element),
        }
    }

    /// The profile to use: SASL2 when wanted and offered, else the other one.
    pub(super) fn profile(&self, prefer_sasl2: bool) -> Option<Profile> {
        match (self.sasl1.is_empty(), self.sasl2.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Profile::Sasl1),
            (true, false) => Some(Profile::Sasl2),
            (false, false) if prefer_sasl2 => Some(Profile::Sasl2),
            (false, false) => Some(Profile::Sasl1),
        }
    }

    pub(super) fn mechanisms(&self, profile: Profile) -> &[String] {
        match profile {
            Profile::Sasl1 => &self.sasl1,
            Profile::Sasl2 => &self.sasl2,
        }
    }

    /// The list that a server signs with XEP-0474.
    pub(super) fn advertised(&self, profile: Profile) -> Advertised {
        Advertised {
            mechanisms: self.mechanisms(profile).to_vec(),
            bindings: self.bindings.clone(),
        }
    }
}

/// A mechanism and what to say about channel binding.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) mechanism: Mechanism,
    pub(super) binding: ClientBinding,
}

/// Chooses the first allowed mechanism that is offered and possible here.
pub(super) fn choose(
    features: &Features,
    profile: Profile,
    allowed: &[Mechanism],
    security: &Security,
) -> Result<Choice, ClientError> {
    let offered = features.mechanisms(profile);
    let binding = binding(features, profile, allowed, security)?;
    let bound = matches!(binding, ClientBinding::Bound { .. });
    let possible = |mechanism: &Mechanism| match mechanism {
        Mechanism::Scram { plus, .. } => !plus || bound,
        Mechanism::Plain => security.may_authenticate(),
    };
    let mechanism = allowed
        .iter()
        .filter(|mechanism| possible(mechanism))
        .find(|mechanism| offered.iter().any(|name| name == mechanism.name()))
        .copied()
        .ok_or(ClientError::NoMechanism)?;
    // Without PLUS there is nothing to bind; the server offers it, so "y" would be a lie.
    let binding = if bound && !mechanism.is_plus() { ClientBinding::Unsupported } else { binding };
    Ok(Choice { mechanism, binding })
}

//= XEP-0440 §3
fn binding(
    features: &Features,
    profile: Profile,
    allowed: &[Mechanism],
    security: &Security,
) -> Result<ClientBinding, ClientError> {
    let wanted = allowed.iter().any(|mechanism| mechanism.is_plus());
    let Some(tls) = security.tls.as_ref().filter(|tls| wanted && tls.types().count() > 0) else {
        return Ok(ClientBinding::Unsupported);
    };
    let plus = features.mechanisms(profile).iter().any(|name| name.ends_with("-PLUS"));
    let kind = match (plus, &features.bindings) {
        (false, None) => return Ok(ClientBinding::NotOffered),
        // One half of the announcement is missing: somebody removed it.
        (false, Some(_)) => return Err(ClientError::Downgrade),
        (true, None) if profile == Profile::Sasl2 => return Err(ClientError::Downgrade),
        // Servers older than XEP-0440: the exporter is the default of TLS 1.3 (RFC 9266 §3).
        (true, None) if tls.version13 && tls.exporter.is_some() => BindingType::TlsExporter,
        (true, None) => BindingType::TlsServerEndPoint,
        (true, Some(types)) => {
            let common = tls.types().find(|kind| types.iter().any(|name| name == kind.name()));
            let weakest = BindingType::TlsServerEndPoint.name();
            match common {
                Some(kind) => kind,
                // Every honest server offers the weakest type.
                None if types.iter().any(|name| name == weakest) => {
                    return Ok(ClientBinding::Unsupported);
                }
                None => return Err(ClientError::Downgrade),
            }
        }
    };
    Ok(match tls.data(kind) {
        Some(data) => ClientBinding::Bound { kind, data: data.to_vec() },
        None => ClientBinding::Unsupported,
    })
}
