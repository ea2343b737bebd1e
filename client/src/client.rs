//! A session, as its application sees it.

use std::net::SocketAddr;

use longwire_link::{CloseReason, StreamId};
use longwire_stanza::{FullJid, Stanza};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

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
/// Dropping it sends what has been given to it and closes the stream in good order, in the
/// background; [`Client::close`] waits for that. A process that ends before loses what was on its
/// way.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    events: mpsc::Receiver<Event>,
    server: SocketAddr,
    task: JoinHandle<()>,
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
            let server = connection.server;
            let running = task::run(connection, config, environment, receiver, inbox, bound);
            let task = tokio::spawn(running);
            let lost = |_| ConnectError::Closed(CloseReason::Lost);
            let jid = is_bound.await.map_err(lost)??;
            Ok(Self { sender: Sender { jid, commands }, events, server, task })
        };
        tokio::time::timeout(wait, connecting).await.map_err(|_| ConnectError::Timeout)?
    }

    /// The session's address.
    #[must_use]
    pub fn jid(&self) -> &FullJid {
        &self.sender.jid
    }

    /// The server's address, of those that its name has.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// A handle that sends, for other tasks.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Sends a stanza; waits while too much is on its way already.
    ///
    /// That it was taken does not mean that it arrived: who needs to know sends a request to the
    /// same address behind it, whose answer comes after all that happened before.
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
    /// As [`Sender::request`]. Nobody takes events meanwhile, so this is for the quiet time before
    /// the first presence.
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

    /// What arrived already; `None` when there is nothing, or never will be.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Sends what has been given to it, closes the stream in good order and waits until it is
    /// done: a few seconds at most, whatever the server does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    pub async fn close(self) {
        let Self { sender, events, task, .. } = self;
        drop((sender, events));
        // A task that panicked has closed as well.
        let _ = task.await;
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
    /// That it was taken does not mean that it arrived: who needs to know sends a request to the
    /// same address behind it, whose answer comes after all that happened before.
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
    /// can make one up. A request without an id gets one. When the answer is there, everything
    /// that arrived before it is there too; so somebody has to go on taking events meanwhile.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the session is over before the answer, when a request with the same
    /// id waits already, or more than [`limits::REQUESTS`](crate::limits::REQUESTS).
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the request may have been sent; its answer is ignored.
    pub async fn request(&self, request: Stanza) -> Result<Stanza, Disconnected> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Request(request, answer);
        self.commands.send(command).await.map_err(|_| Disconnected)?;
        answered.await.map_err(|_| Disconnected)
    }
}
