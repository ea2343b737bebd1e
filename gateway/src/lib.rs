//! The longwire server: every socket, every transport, configuration and main.

mod admission;
mod answer;
pub mod cli;
pub mod config;
mod connection;
mod credentials;
mod dev;
mod environment;
mod features;
mod keys;
mod limits;
mod listener;
mod profile;
#[cfg(test)]
mod scratch;
mod server;
mod shared;
mod throttle;
mod tls;
mod wire;

pub use config::Config;
pub use dev::{DevCertificateError, self_signed};
pub use environment::{BindUdp, Environment, QuicNetwork};
pub use keys::KeyError;
pub use server::{ServeError, Server};
pub use tls::{IdentityError, identity_from_der, load_identity};
