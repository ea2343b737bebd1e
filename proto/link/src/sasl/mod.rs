//! Authentication mechanisms as pure computations: SCRAM, PLAIN, channel binding.
//!
//! Nothing here reads a clock, a socket or a random source: nonces come in as arguments and every
//! step is a function of the messages. The server side never sees a password except in PLAIN, and
//! stores only what RFC 5802 §3 calls StoredKey and ServerKey.

mod binding;
mod credential;
mod downgrade;
mod encoding;
mod error;
mod hash;
pub mod limits;
mod mechanism;
mod plain;
mod scram;
mod secret;

pub use binding::{BindingType, TlsInfo};
pub use credential::{FakeCredentials, StoredCredential, derive};
pub use downgrade::Advertised;
pub use encoding::{decode_base64, encode_base64, nonce_text};
pub use error::{SaslCondition, SaslError};
pub use hash::{Hash, Key};
pub use mechanism::Mechanism;
pub use plain::{PlainMessage, plain_message};
pub use scram::{ClientBinding, ScramClient, ScramServer, ServerBinding};
pub use secret::{Secret, prepare_password};
