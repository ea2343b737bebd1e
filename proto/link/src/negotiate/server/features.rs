//! What the server offers before and after authentication.

use bytes::BytesMut;
use longwire_stanza::ns;
use longwire_xml::Element;

use crate::negotiate::config::{Security, ServerConfig, StreamLimits};
use crate::sasl::{Advertised, Hash, Mechanism, encode_base64};

/// The offer before authentication.
#[derive(Default)]
pub(super) struct Offer {
    pub(super) elements: Vec<Element>,
    pub(super) mechanisms: Vec<Mechanism>,
    /// The version of the offer (XEP-0509).
    pub(super) version: String,
    /// The offer as XEP-0474 hashes it; the same for both profiles.
    pub(super) advertised: Advertised,
}

impl Offer {
    pub(super) fn plus(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.is_plus())
    }
}

/// Computes the offer of a connection.
pub(super) fn before(config: &ServerConfig, security: &Security) -> Offer {
    let mut offer = Offer::default();
    let may_authenticate = security.may_authenticate();
    if !security.encrypted && security.starttls_possible {
        let required = Element::new(ns::TLS, "required");
        let starttls = Element::new(ns::TLS, "starttls");
        let element = if may_authenticate { starttls } else { starttls.child(required) };
        offer.elements.push(element);
    }
    offer.elements.extend(config.limits_before.map(limits));
    if !may_authenticate {
        return offer;
    }
    let types: Vec<String> =
        security.tls.iter().flat_map(|tls| tls.types()).map(|kind| kind.name().into()).collect();
    offer.mechanisms = config.mechanisms.clone();
    offer.mechanisms.retain(|mechanism| !mechanism.is_plus() || !types.is_empty());
    if offer.mechanisms.is_empty() {
        return offer;
    }
    offer.advertised.mechanisms = offer.mechanisms.iter().map(|m| m.name().to_owned()).collect();
    if offer.plus() {
        let list = types.iter().map(|kind| {
            Element::new(ns::SASL_CHANNEL_BINDING, "channel-binding").attr("type", kind.as_str())
        });
        let element = Element::new(ns::SASL_CHANNEL_BINDING, "sasl-channel-binding");
        offer.elements.push(element.children(list));
        offer.advertised.bindings = Some(types);
    }
    if config.sasl1 {
        let list = names(ns::SASL, &offer.mechanisms);
        offer.elements.push(Element::new(ns::SASL, "mechanisms").children(list));
    }
    if config.sasl2 {
        let list = names(ns::SASL2, &offer.mechanisms);
        let element = Element::new(ns::SASL2, "authentication").children(list);
        offer.elements.push(element.child(inline(config)));
        offer.version = version(config, &offer.elements);
        let version = Element::new(ns::PIPELINING, "config-version")
            .attr("scheme", "opaque")
            .attr("value", offer.version.as_str());
        offer.elements.push(version);
    }
    offer
}

/// The features after authentication; `bound` leaves out what a bound session has done.
pub(super) fn after(config: &ServerConfig, bound: bool) -> Vec<Element> {
    let mut elements = Vec::with_capacity(3 + config.extra_features.len());
    if !bound {
        let required = Element::new(ns::BIND, "required");
        elements.push(Element::new(ns::BIND, "bind").child(required));
        // RFC 3921's session: old clients look for it; the server only says yes.
        let optional = Element::new(ns::SESSION, "optional");
        elements.push(Element::new(ns::SESSION, "session").child(optional));
    }
    elements.extend(config.limits_after.map(limits));
    elements.extend(config.extra_features.iter().cloned());
    elements
}

fn names(ns: &'static str, mechanisms: &[Mechanism]) -> Vec<Element> {
    mechanisms.iter().map(|m| Element::new(ns, "mechanism").text(m.name())).collect()
}

fn inline(config: &ServerConfig) -> Element {
    let mut bind = Element::new(ns::BIND2, "bind");
    if !config.bind_inline.is_empty() {
        let features = config
            .bind_inline
            .iter()
            .map(|name| Element::new(ns::BIND2, "feature").attr("var", name.as_str()));
        bind = bind.child(Element::new(ns::BIND2, "inline").children(features));
    }
    Element::new(ns::SASL2, "inline").child(bind).children(config.sasl_inline.iter().cloned())
}

//= XEP-0478 §3.1
fn limits(limits: StreamLimits) -> Element {
    let number = |name, value: u32| Element::new(ns::STREAM_LIMITS, name).text(value.to_string());
    let mut element =
        Element::new(ns::STREAM_LIMITS, "limits").child(number("max-bytes", limits.max_bytes));
    if let Some(seconds) = limits.idle_seconds {
        element = element.child(number("idle-seconds", seconds));
    }
    element
}

//= XEP-0509 §2.3.1
fn version(config: &ServerConfig, elements: &[Element]) -> String {
    let mut rendered = BytesMut::new();
    for element in elements {
        element.write(&mut rendered, "");
    }
    let hash = Hash::Sha256.hmac(&config.secret, &rendered);
    encode_base64(hash.expose().get(..18).unwrap_or_default())
}
