//! Accounts and their credentials.

pub mod credential;
pub mod limits;
pub mod throttle;
