//! The client's exchange, in either profile.

use longwire_stanza::ns;
use longwire_xml::Element;

use super::offer::{Features, choose};
use super::{Client, ClientError, ClientOutput, State};
use crate::negotiate::wire::Profile;
use crate::sasl::{Mechanism, SaslCondition, SaslError, ScramClient, plain_message};

/// One exchange of a mechanism.
pub(super) struct Exchange {
    profile: Profile,
    /// The offer that the choice was made from.
    offer: Features,
    /// Sent before the server's features were seen.
    pipelined: bool,
    scram: Option<Step>,
}

/// SCRAM's two waits.
enum Step {
    First(ScramClient),
    Final(ScramClient),
    Done,
}

impl Client {
    /// Authenticates right behind the stream header when an offer is remembered (XEP-0509).
    pub(super) fn pipeline(&mut self) {
        let Some(cached) = self.config.cached.take() else { return };
        let offer = cached.features;
        let usable = self.security.encrypted
            && self.config.prefer_sasl2
            && !offer.sasl2.is_empty()
            && offer.config_version.is_some();
        if usable {
            // A memory that leads nowhere is no failure: the server will say what it offers.
            let _ = self.start(&offer, Profile::Sasl2, true);
        }
    }

    /// Authenticates with what the server offers.
    pub(super) fn authenticate(&mut self, offer: &Features) {
        let outcome = match offer.profile(self.config.prefer_sasl2) {
            Some(profile) => self.start(offer, profile, false),
            None => Err(ClientError::NoMechanism),
        };
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    fn start(
        &mut self,
        offer: &Features,
        profile: Profile,
        pipelined: bool,
    ) -> Result<(), ClientError> {
        let choice = choose(offer, profile, &self.config.mechanisms, &self.security)?;
        let username = self.config.account.local().unwrap_or_default().to_owned();
        let (initial, scram) = match choice.mechanism {
            Mechanism::Plain => {
                let message = plain_message(&username, &self.config.password)?;
                (profile.encode(&message), None)
            }
            Mechanism::Scram { hash, .. } => {
                let nonce = self.fresh_text();
                let scram = ScramClient::new(hash, &choice.binding, &username, None, &nonce);
                (profile.encode(&scram.first()), Some(Step::First(scram)))
            }
        };
        let element = match profile {
            Profile::Sasl1 => Element::new(ns::SASL, "auth").text(initial),
            Profile::Sasl2 => self.authenticate_element(offer, initial, pipelined),
        };
        self.write(&element.attr("mechanism", choice.mechanism.name()));
        let exchange = Exchange { profile, offer: offer.clone(), pipelined, scram };
        self.state = State::Authenticating(Box::new(exchange));
        Ok(())
    }

    fn authenticate_element(&self, offer: &Features, initial: String, pipelined: bool) -> Element {
        let text = |name, value: &Option<String>| {
            value.as_ref().map(|value| Element::new(ns::SASL2, name).text(value.as_str()))
        };
        let user_agent = self.config.user_agent.as_ref().map(|agent| {
            Element::new(ns::SASL2, "user-agent")
                .attr_opt("id", agent.id.as_deref())
                .child_opt(text("software", &agent.software))
                .child_opt(text("device", &agent.device))
        });
        let bind = offer.bind2.then(|| {
            let tag = self.config.tag.as_deref();
            Element::new(ns::BIND2, "bind")
                .child_opt(tag.map(|tag| Element::new(ns::BIND2, "tag").text(tag)))
                .children(self.config.bind_requests.iter().cloned())
        });
        let version = offer.config_version.as_deref().filter(|_| pipelined).map(|version| {
            Element::new(ns::PIPELINING, "config-version")
                .attr("scheme", "opaque")
                .attr("value", version)
        });
        Element::new(ns::SASL2, "authenticate")
            .child(Element::new(ns::SASL2, "initial-response").text(initial))
            .child_opt(user_agent)
            .child_opt(bind)
            .child_opt(version)
    }

    /// An element has come while the exchange runs.
    pub(super) fn handle_exchange(&mut self, mut exchange: Box<Exchange>, element: &Element) {
        let ns = exchange.profile.ns();
        let outcome = if element.is(ns, "challenge") {
            self.respond(&mut exchange, element).map(|()| {
                self.state = State::Authenticating(exchange);
            })
        } else if element.is(ns, "success") {
            self.succeed(*exchange, element)
        } else if element.is(ns, "failure") {
            self.refused(&exchange, element)
        } else {
            Err(ClientError::Protocol("an element inside of an authentication"))
        };
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    fn respond(&mut self, exchange: &mut Exchange, element: &Element) -> Result<(), ClientError> {
        let profile = exchange.profile;
        let data = profile.decode(&element.text_content())?.unwrap_or_default();
        match exchange.scram.take() {
            Some(Step::First(mut scram)) => {
                // The signed list is the one that was sent, not the remembered one.
                let seen = self.offer.as_ref().unwrap_or(&exchange.offer).advertised(profile);
                let answer = scram.respond(&data, &self.config.password, Some(&seen));
                let answer = answer.map_err(|error| match error {
                    SaslError::AdvertisedHash => ClientError::Downgrade,
                    other => ClientError::Sasl(other),
                })?;
                self.write(&profile.element("response", &answer));
                exchange.scram = Some(Step::Final(scram));
                Ok(())
            }
            // Some servers send the signature as a challenge of its own.
            Some(Step::Final(scram)) => {
                scram.verify(&data)?;
                self.write(&profile.element("response", &[]));
                exchange.scram = Some(Step::Done);
                Ok(())
            }
            Some(Step::Done) | None => Err(ClientError::Sasl(SaslError::OutOfOrder)),
        }
    }

    fn succeed(&mut self, exchange: Exchange, element: &Element) -> Result<(), ClientError> {
        let profile = exchange.profile;
        let data = match profile {
            Profile::Sasl1 => profile.decode(&element.text_content())?,
            Profile::Sasl2 => match element.find(ns::SASL2, "additional-data") {
                Some(data) => profile.decode(&data.text_content())?,
                None => None,
            },
        };
        match (exchange.scram, data) {
            (Some(Step::Final(scram)), Some(data)) => scram.verify(&data)?,
            (Some(Step::Done) | None, _) => {}
            // A server that skips its proof has none.
            (Some(Step::First(_) | Step::Final(_)), _) => {
                return Err(ClientError::Sasl(SaslError::ServerSignature));
            }
        }
        self.authenticated = true;
        if profile == Profile::Sasl1 {
            self.outputs.push_back(ClientOutput::Restart);
            self.open();
            self.state = State::Header;
            return Ok(());
        }
        let identity = element
            .find(ns::SASL2, "authorization-identifier")
            .ok_or(ClientError::Protocol("a success without an identity"))?;
        let jid = self.confirmed(&identity.text_content())?;
        let bound = element.find(ns::BIND2, "bound").is_some();
        self.state = State::Authenticated(jid.to_full().filter(|_| bound));
        Ok(())
    }

    fn refused(&mut self, exchange: &Exchange, element: &Element) -> Result<(), ClientError> {
        let stale = element.find(ns::PIPELINING, "config-version-mismatch").is_some();
        if exchange.pipelined && stale {
            let Some(offer) = self.offer.clone() else {
                return Err(ClientError::Protocol("a failure before the features"));
            };
            self.authenticate(&offer);
            return Ok(());
        }
        let condition = element
            .child_elements()
            .filter(|child| child.ns() == ns::SASL)
            .find_map(|child| SaslCondition::from_name(child.name()))
            .unwrap_or(SaslCondition::NotAuthorized);
        let text = element.child_elements().find(|child| child.name() == "text");
        let text = text.map(|text| text.text_content().trim().to_owned());
        Err(ClientError::Refused { condition, text })
    }
}
