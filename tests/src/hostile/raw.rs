//! Connections without a parser: bytes out, bytes in, and a patience that ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quinn::{Connection, VarInt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::limits;

/// How long a raw client waits for something that should come, in real or virtual time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a raw client did not get what it waited for.
#[derive(Debug)]
pub enum RawError {
    /// The peer closed or reset; `received` is all that came before.
    Closed {
        /// What the client waited for.
        wanted: String,
        /// All that was received and not taken.
        received: String,
    },
    /// Nothing more came for a long time.
    Silent {
        /// What the client waited for.
        wanted: String,
        /// All that was received and not taken.
        received: String,
    },
    /// The connection could not be made or written to.
    Io(io::Error),
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { wanted, received } => {
                write!(f, "closed while waiting for {wanted}; received {received}")
            }
            Self::Silent { wanted, received } => {
                write!(f, "silence while waiting for {wanted}; received {received}")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RawError {}

impl From<io::Error> for RawError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One stream of bytes in each direction, whatever carries it.
pub struct RawClient {
    read: Box<dyn AsyncRead + Send + Sync + Unpin>,
    write: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    received: Vec<u8>,
}

/// Connects over TCP; nothing is encrypted.
///
/// # Errors
/// As connecting fails.
pub async fn tcp(address: SocketAddr) -> Result<RawClient, RawError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok(RawClient::new(read, write))
}

/// Connects over TCP with TLS from the first byte.
///
/// # Errors
/// As connecting or the handshake fails, or when `name` is no DNS name.
pub async fn tls(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> Result<RawClient, RawError> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (read, write) = tokio::io::split(stream);
    Ok(RawClient::new(read, write))
}

impl RawClient {
    /// A client over any pair of byte streams.
    pub fn new(
        read: impl AsyncRead + Send + Sync + Unpin + 'static,
        write: impl AsyncWrite + Send + Sync + Unpin + 'static,
    ) -> Self {
        Self { read: Box::new(read), write: Box::new(write), received: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer does not take them any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), RawError> {
        self.write.write_all(bytes.as_ref()).await?;
        Ok(self.write.flush().await?)
    }

    /// Ends this direction: FIN, on each of the carriers.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn finish(&mut self) -> Result<(), RawError> {
        Ok(self.write.shutdown().await?)
    }

    /// Waits until `pattern` has come; returns and takes everything up to its end.
    ///
    /// # Errors
    /// When the peer closes or stays silent first.
    pub async fn until(&mut self, pattern: &str) -> Result<String, RawError> {
        let end = |received: &[u8]| find(received, pattern.as_bytes());
        self.take(pattern, |received| end(received).map(|at| at + pattern.len())).await
    }

    /// Waits until the peer closes; returns everything that came.
    ///
    /// # Errors
    /// When the peer stays silent without closing, or sends more than is kept.
    pub async fn until_closed(&mut self) -> Result<String, RawError> {
        while self.more("the end").await? {}
        Ok(self.so_far())
    }

    /// Opens an XML stream and waits for the features.
    ///
    /// # Errors
    /// When the features do not come.
    pub async fn open(&mut self, domain: &str) -> Result<String, RawError> {
        self.send(header(domain)).await?;
        self.until("</stream:features>").await
    }

    /// Opens a stream, authenticates with PLAIN inside SASL2, and binds.
    ///
    /// # Errors
    /// When any of it is refused: the text has the server's words.
    pub async fn login(
        &mut self,
        domain: &str,
        user: &str,
        password: &str,
    ) -> Result<String, RawError> {
        self.open(domain).await?;
        self.authenticate(user, password).await
    }

    /// Authenticates and binds on a stream whose features have come.
    ///
    /// # Errors
    /// When it is refused: the text has the server's words.
    pub async fn authenticate(&mut self, user: &str, password: &str) -> Result<String, RawError> {
        self.send(authenticate(user, password)).await?;
        let success = self.until("</success>").await?;
        self.until("</stream:features>").await?;
        let jid = between(&success, "<authorization-identifier>", "</authorization-identifier>");
        jid.map(ToOwned::to_owned).ok_or_else(|| RawError::Closed {
            wanted: "an authorization identifier".into(),
            received: success.clone(),
        })
    }

    /// Waits for a stream error and returns its condition's name.
    ///
    /// # Errors
    /// When none comes.
    pub async fn stream_error(&mut self) -> Result<String, RawError> {
        let whole = |received: &[u8]| stream_error(&String::from_utf8_lossy(received)).map(|e| e.1);
        let text = self.take("a stream error", whole).await?;
        Ok(stream_error(&text).map(|error| error.0).unwrap_or_default())
    }

    /// Waits until `end` finds the end of something; returns and takes everything up to there.
    async fn take(
        &mut self,
        wanted: &str,
        end: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<String, RawError> {
        loop {
            if let Some(end) = end(&self.received) {
                let rest = self.received.split_off(end);
                let taken = std::mem::replace(&mut self.received, rest);
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            if !self.more(wanted).await? {
                return Err(RawError::Closed { wanted: wanted.into(), received: self.so_far() });
            }
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Reads once; false at the end.
    async fn more(&mut self, wanted: &str) -> Result<bool, RawError> {
        let silent = |received| RawError::Silent { wanted: wanted.into(), received };
        if self.received.len() > limits::RAW_RECEIVED_BYTES {
            return Err(silent(format!("more than {} bytes", limits::RAW_RECEIVED_BYTES)));
        }
        let mut chunk = vec![0; 16 * 1024];
        match tokio::time::timeout(PATIENCE, self.read.read(&mut chunk)).await {
            Err(_) => Err(silent(self.so_far())),
            // A reset is an end as well; what came before it counts.
            Ok(Ok(0) | Err(_)) => Ok(false),
            Ok(Ok(bytes)) => {
                self.received.extend_from_slice(chunk.get(..bytes).unwrap_or_default());
                Ok(true)
            }
        }
    }
}

impl fmt::Debug for RawClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawClient").field("received", &self.so_far()).finish_non_exhaustive()
    }
}

/// A QUIC connection with one Primary stream, and a way to open any other stream.
#[derive(Debug)]
pub struct RawQuic {
    /// The connection.
    pub connection: Connection,
    /// The Primary stream, its type octet sent.
    pub primary: RawClient,
    session: u64,
}

/// Opens the first Primary stream of a connection in the typed mode.
///
/// # Errors
/// When the connection grants no stream.
pub async fn quic_primary(connection: Connection) -> Result<RawQuic, RawError> {
    let (send, receive) = connection.open_bi().await.map_err(io::Error::from)?;
    let session = VarInt::from(send.id()).into_inner();
    let mut primary = RawClient::new(receive, send);
    primary.send([0]).await?;
    Ok(RawQuic { connection, primary, session })
}

impl RawQuic {
    /// Opens a bidirectional Ancillary stream of the Primary's session.
    ///
    /// # Errors
    /// When the connection grants no stream.
    pub async fn ancillary(&self) -> Result<RawClient, RawError> {
        let session = u8::try_from(self.session).ok().filter(|id| *id < 64);
        let session = session.ok_or_else(|| io::Error::other("a long Session ID"))?;
        self.stream(&[1, session]).await
    }

    /// Opens a bidirectional stream that begins with these bytes.
    ///
    /// # Errors
    /// When the connection grants no stream.
    pub async fn stream(&self, first: &[u8]) -> Result<RawClient, RawError> {
        let (send, receive) = self.connection.open_bi().await.map_err(io::Error::from)?;
        let mut stream = RawClient::new(receive, send);
        stream.send(first).await?;
        Ok(stream)
    }
}

/// A client's stream header.
pub(super) fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

fn authenticate(user: &str, password: &str) -> String {
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>{plain}</initial-response>\
         <bind xmlns='urn:xmpp:bind:0'><tag>raw</tag></bind></authenticate>"
    )
}

/// The condition of a complete stream error, its first child's name, and where the error ends.
///
/// With the prefix of the stream header and no other way: many clients know the error by its
/// prefix alone (RFC 6120 §4.8.5, §4.9.2).
fn stream_error(text: &str) -> Option<(String, usize)> {
    const CLOSE: &str = "</stream:error>";
    let start = text.find("<stream:error")?;
    let error = text.get(start..)?;
    let end = error.find(CLOSE)?;
    let child = error.get(error.find('>')? + 1..end)?.trim_start().strip_prefix('<')?;
    let condition = child.split([' ', '/', '>']).next()?;
    Some((condition.to_owned(), start + end + CLOSE.len()))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inside, _)| inside)
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::run;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn pair() -> (RawClient, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(near);
        (RawClient::new(read, write), far)
    }

    #[test]
    fn what_comes_is_taken_up_to_the_pattern() {
        run(HOUR, async {
            let (mut client, mut server) = pair();
            server.write_all(b"<a/><b/><c").await.unwrap();
            assert_eq!(client.until("<b/>").await.unwrap(), "<a/><b/>");
            server.write_all(b"/>").await.unwrap();
            drop(server);
            assert_eq!(client.until("<c/>").await.unwrap(), "<c/>");
            assert!(matches!(client.until("<d/>").await, Err(RawError::Closed { .. })));
        });
    }

    #[test]
    fn silence_is_told_from_an_end() {
        run(HOUR, async {
            let (mut client, _server) = pair();
            assert!(matches!(client.until("x").await, Err(RawError::Silent { .. })));
        });
    }

    #[test]
    fn the_condition_of_a_stream_error_is_read() {
        run(HOUR, async {
            let (mut client, mut server) = pair();
            let condition = "<reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
            let stanza = "<iq type='error'><error type='cancel'><gone/></error></iq>";
            let bare = "<error xmlns='http://etherx.jabber.org/streams'><gone/></error>";
            for part in [stanza, bare, "<stream:error>", condition, "</stream:error>"] {
                server.write_all(part.as_bytes()).await.unwrap();
            }
            assert_eq!(client.stream_error().await.unwrap(), "reset");
            server.write_all(b"</stream:stream>").await.unwrap();
            assert_eq!(client.until("</stream:stream>").await.unwrap(), "</stream:stream>");
        });
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        run(HOUR, async {
            let (mut client, mut server) = pair();
            tokio::spawn(async move { while server.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });
            assert!(client.until_closed().await.is_err());
            assert!(client.received.len() < limits::RAW_RECEIVED_BYTES + 32 * 1024);
        });
    }
}
