//! A session, as its application sees it.

use longwire_link::{CloseReason, StreamId};
use longwire_stanza::{FullJid, Stanza};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Config, ConnectError, Disconnected, Environment,
    task::{self, Command},
};

/// What arrived.
#[derive(Debug)]
pub enum Event {
    /// A stanza.
    Stanza {
        /// The stanza.
        stanza: Stanza,
        /// The stream that it came on; always 0 on TCP.
        stream: StreamId,
    },
    /// The session is over; nothing follows.
    Closed(CloseReason),
}

/// A session.
///
/// Dropping it closes the stream in good order in the background.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    events: mpsc::Receiver<Event>,
}

/// Sends stanzas from anywhere.
#[derive(Clone, Debug)]
pub struct Sender {
    jid: FullJid,
    commands: mpsc::Sender<Command>,
}

impl Client {
    /// Connects, logs in and binds a resource.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says what is wrong; nothing is retried here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the attempt.
    pub async fn connect(config: Config, environment: Environment) -> Result<Self, ConnectError> {
        let wait = config.connect_wait;
        let connecting = async {
            let (commands, receiver) = mpsc::channel(crate::limits::COMMANDS);
            let (inbox, events) = mpsc::channel(crate::limits::INBOX_STANZAS);
            let (bound, is_bound) = oneshot::channel();
            let connection = crate::connect::connect(&config, &environment).await?;
            tokio::spawn(task::run(connection, config, environment, receiver, inbox, bound));
            let lost = |_| ConnectError::Closed(CloseReason::Lost);
            let jid = is_bound.await.map_err(lost)??;
            Ok(Self { sender: Sender { jid, commands }, events })
        };
        tokio::time::timeout(wait, connecting).await.map_err(|_| ConnectError::Timeout)?
    }

    /// The session's address.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.sender.jid
    }

    /// A handle that sends, for other tasks.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Sends a stanza; waits while too much is on its way already.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the session is over.
    ///
    /// # Cancel safety
    ///
    /// A stanza whose future was dropped has not been sent.
    pub async fn send(&self, stanza: Stanza) -> Result<(), Disconnected> {
        self.sender.send(stanza).await
    }

    /// Sends an IQ request and waits for its answer, a result or an error.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the session is over before the answer.
    pub async fn request(&self, request: Stanza) -> Result<Stanza, Disconnected> {
        self.sender.request(request).await
    }

    /// The next thing that arrived; `None` when the session is over and everything was taken.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Closes the stream in good order and waits until it is done.
    pub async fn close(mut self) {
        // When the session is over already there is nothing to close.
        let _ = self.sender.commands.send(Command::Close).await;
        while self.events.recv().await.is_some() {}
    }
}

impl Sender {
    /// The session's address.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Sends a stanza; waits while too much is on its way already.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the session is over.
    ///
    /// # Cancel safety
    ///
    /// A stanza whose future was dropped has not been sent.
    pub async fn send(&self, stanza: Stanza) -> Result<(), Disconnected> {
        self.commands.send(Command::Send(stanza)).await.map_err(|_| Disconnected)
    }

    /// Sends an IQ request and waits for its answer, a result or an error.
    ///
    /// The answer must come from whom the request went to (RFC 6120 §8.2.3), so that nobody else
    /// can make one up.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the session is over before the answer.
    pub async fn request(&self, request: Stanza) -> Result<Stanza, Disconnected> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Request(request, answer);
        self.commands.send(command).await.map_err(|_| Disconnected)?;
        answered.await.map_err(|_| Disconnected)
    }
}
