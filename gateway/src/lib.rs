//! The longwire server: every socket, every transport, configuration and main.

mod admission;
pub mod config;
mod dev;
mod keys;
mod limits;
mod profile;
#[cfg(test)]
mod scratch;
mod throttle;
mod tls;

pub use dev::{DevCertificateError, self_signed};
pub use tls::{IdentityError, identity_from_der, load_identity};
