//! Extensible SASL profile (XEP-0388).

use longwire_xml::{Child, Element};

use super::sasl::{Data, Failure, FailureCondition, mechanisms};
use super::{Payload, child_text, expect, owned, text_child};
use crate::{Jid, StanzaError, ns};

/// The stream feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authentication {
    /// The registered names of the mechanisms, best first.
    pub mechanisms: Vec<String>,
    /// What can be negotiated in the same breath, one element for each.
    pub inline: Vec<Element>,
}

impl Authentication {
    /// What can be negotiated with this element.
    pub fn find_inline(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.inline.iter().find(|e| e.ns() == namespace && e.name() == name)
    }
}

impl Payload for Authentication {
    const NS: &'static str = ns::SASL2;
    const NAME: &'static str = "authentication";

    fn parse(child: &Child<'_>) -> Result<Self, StanzaError> {
        Self::from_element(&child.element())
    }

    fn element(&self) -> Element {
        let mechanism = |name: &String| Element::new(Self::NS, "mechanism").text(name);
        let feature =
            Element::new(Self::NS, Self::NAME).children(self.mechanisms.iter().map(mechanism));
        if self.inline.is_empty() {
            return feature;
        }
        feature.child(Element::new(Self::NS, "inline").children(self.inline.iter().cloned()))
    }

    fn from_element(element: &Element) -> Result<Self, StanzaError> {
        expect::<Self>(element)?;
        let inline = element.find(Self::NS, "inline");
        Ok(Self {
            mechanisms: mechanisms(element),
            inline: inline.into_iter().flat_map(Element::child_elements).cloned().collect(),
        })
    }
}

/// Which installation of which software connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// A random UUID that the installation keeps.
    pub id: Option<String>,
    /// The name of the software.
    pub software: Option<String>,
    /// The name of the device.
    pub device: Option<String>,
}

impl UserAgent {
    fn element(&self) -> Element {
        let agent = Element::new(ns::SASL2, "user-agent").attr_opt("id", self.id.as_deref());
        let agent = text_child(agent, "software", self.software.as_deref());
        text_child(agent, "device", self.device.as_deref())
    }

    fn read(element: &Element) -> Self {
        Self {
            id: owned(element, "id"),
            software: child_text(element, "software"),
            device: child_text(element, "device"),
        }
    }
}

/// A client begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authenticate {
    /// The mechanism.
    pub mechanism: String,
    /// The initial response, if the mechanism has one.
    pub initial: Option<Data>,
    /// Who connects.
    pub user_agent: Option<UserAgent>,
    /// What else the client asks for, one element for each.
    pub inline: Vec<Element>,
}

impl Authenticate {
    /// What else the client asks for with this payload, if it is there.
    ///
    /// # Errors
    ///
    /// When it is there and malformed.
    pub fn inline<P: Payload>(&self) -> Result<Option<P>, StanzaError> {
        let found = self.inline.iter().find(|e| e.ns() == P::NS && e.name() == P::NAME);
        found.map(P::from_element).transpose()
    }

    fn read(element: &Element) -> Result<Self, Failure> {
        let mechanism = element.attribute("mechanism").ok_or(FailureCondition::InvalidMechanism)?;
        Ok(Self {
            mechanism: mechanism.to_owned(),
            initial: data(element, "initial-response")?,
            user_agent: element.find(ns::SASL2, "user-agent").map(UserAgent::read),
            inline: foreign(element),
        })
    }

    fn element(&self) -> Element {
        let element = Element::new(ns::SASL2, "authenticate").attr("mechanism", &*self.mechanism);
        let element = data_child(element, "initial-response", self.initial.as_ref());
        element
            .children(self.user_agent.iter().map(UserAgent::element))
            .children(self.inline.iter().cloned())
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientElement {
    /// It begins.
    Authenticate(Authenticate),
    /// It answers a challenge.
    Response(Data),
    /// It gives up, perhaps with a reason for humans.
    Abort(Option<String>),
    /// It chooses one of the further tasks.
    Next {
        /// The name of the task.
        task: String,
        /// What the task defines.
        elements: Vec<Element>,
    },
    /// It goes on with a task.
    TaskData(Vec<Element>),
}

impl ClientElement {
    /// Reads an element of the namespace.
    ///
    /// # Errors
    ///
    /// `malformed-request` or `incorrect-encoding`: send the failure.
    pub fn from_element(element: &Element) -> Result<Self, Failure> {
        match element.name() {
            _ if element.ns() != ns::SASL2 => Err(FailureCondition::MalformedRequest.into()),
            "authenticate" => Authenticate::read(element).map(Self::Authenticate),
            "response" => Data::decode(&element.text_content()).map(Self::Response),
            "abort" => Ok(Self::Abort(child_text(element, "text"))),
            "next" => Ok(Self::Next {
                task: owned(element, "task").ok_or(FailureCondition::MalformedRequest)?,
                elements: foreign(element),
            }),
            "task-data" => Ok(Self::TaskData(foreign(element))),
            _ => Err(FailureCondition::MalformedRequest.into()),
        }
    }

    /// Makes the element.
    pub fn element(&self) -> Element {
        match self {
            Self::Authenticate(authenticate) => authenticate.element(),
            Self::Response(data) => Element::new(ns::SASL2, "response").text(data.encode()),
            Self::Abort(text) => {
                text_child(Element::new(ns::SASL2, "abort"), "text", text.as_deref())
            }
            Self::Next { task, elements } => Element::new(ns::SASL2, "next")
                .attr("task", &**task)
                .children(elements.iter().cloned()),
            Self::TaskData(elements) => {
                Element::new(ns::SASL2, "task-data").children(elements.iter().cloned())
            }
        }
    }
}

/// The client is who it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Success {
    /// What the mechanism adds.
    pub additional: Option<Data>,
    /// The account; the session, when a resource was bound.
    pub identifier: Jid,
    /// The answers to what else the client asked for.
    pub inline: Vec<Element>,
}

impl Success {
    /// The answer with this payload, if it is there and sound.
    pub fn inline<P: Payload>(&self) -> Option<P> {
        let found = self.inline.iter().find(|e| e.ns() == P::NS && e.name() == P::NAME);
        found.and_then(|element| P::from_element(element).ok())
    }
}

/// More is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continue {
    /// What the mechanism adds.
    pub additional: Option<Data>,
    /// The names of the tasks; the client chooses one.
    pub tasks: Vec<String>,
    /// An explanation for humans.
    pub text: Option<String>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerElement {
    /// It asks.
    Challenge(Data),
    /// The client is who it says.
    Success(Success),
    /// It is not.
    Failure(Failure),
    /// It is, but more is needed.
    Continue(Continue),
    /// It goes on with a task.
    TaskData(Vec<Element>),
}

impl ServerElement {
    /// Reads an element of the namespace.
    ///
    /// # Errors
    ///
    /// When it is malformed: the server is broken, close the stream.
    pub fn from_element(element: &Element) -> Result<Self, Failure> {
        match element.name() {
            _ if element.ns() != ns::SASL2 => Err(FailureCondition::MalformedRequest.into()),
            "challenge" => Data::decode(&element.text_content()).map(Self::Challenge),
            "failure" => Ok(Self::Failure(Failure::read(element))),
            "task-data" => Ok(Self::TaskData(foreign(element))),
            "success" => {
                let identifier = child_text(element, "authorization-identifier")
                    .and_then(|text| Jid::new(text.trim()).ok())
                    .ok_or(FailureCondition::InvalidAuthzid)?;
                let additional = data(element, "additional-data")?;
                Ok(Self::Success(Success { additional, identifier, inline: foreign(element) }))
            }
            "continue" => {
                let tasks = element.find(ns::SASL2, "tasks").into_iter();
                let tasks = tasks
                    .flat_map(Element::child_elements)
                    .filter(|task| task.ns() == ns::SASL2 && task.name() == "task")
                    .map(|task| task.text_content().to_string());
                Ok(Self::Continue(Continue {
                    additional: data(element, "additional-data")?,
                    tasks: tasks.collect(),
                    text: child_text(element, "text"),
                }))
            }
            _ => Err(FailureCondition::MalformedRequest.into()),
        }
    }

    /// Makes the element.
    pub fn element(&self) -> Element {
        match self {
            Self::Challenge(data) => Element::new(ns::SASL2, "challenge").text(data.encode()),
            Self::Success(success) => {
                let element = Element::new(ns::SASL2, "success");
                let element = data_child(element, "additional-data", success.additional.as_ref());
                let identifier = Some(success.identifier.as_str());
                text_child(element, "authorization-identifier", identifier)
                    .children(success.inline.iter().cloned())
            }
            Self::Failure(failure) => failure.element_in(ns::SASL2),
            Self::Continue(more) => {
                let task = |name: &String| Element::new(ns::SASL2, "task").text(name);
                let element = Element::new(ns::SASL2, "continue");
                let element = data_child(element, "additional-data", more.additional.as_ref());
                let tasks = Element::new(ns::SASL2, "tasks").children(more.tasks.iter().map(task));
                text_child(element.child(tasks), "text", more.text.as_deref())
            }
            Self::TaskData(elements) => {
                Element::new(ns::SASL2, "task-data").children(elements.iter().cloned())
            }
        }
    }
}

fn data(element: &Element, name: &str) -> Result<Option<Data>, Failure> {
    child_text(element, name).map(|text| Data::decode(&text)).transpose()
}

fn data_child(parent: Element, name: &str, data: Option<&Data>) -> Element {
    text_child(parent, name, data.map(Data::encode).as_deref())
}

/// The children of other namespaces.
fn foreign(element: &Element) -> Vec<Element> {
    element.child_elements().filter(|child| child.ns() != ns::SASL2).cloned().collect()
}
