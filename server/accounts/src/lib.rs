//! Accounts and their credentials.
//!
//! [`account`] has what tools and logins do with accounts, [`credential`] the keys that prove a
//! password, [`throttle`] what slows down guessing. The feature [`Accounts`] tells the router
//! which accounts exist.

pub mod account;
pub mod credential;
mod feature;
pub mod limits;
pub mod throttle;

pub use account::{
    ACCOUNTS, AccountError, CREDENTIALS, DECOY_KEY, ENTROPY_BYTES, NewPassword, create, credential,
    decoys, delete, exists, list, set_password, verify_password,
};
pub use credential::{Credential, Decoys, Mechanism, Password, PasswordError};
pub use feature::{Accounts, AccountsConfig, Iterations, IterationsError};
pub use throttle::Throttle;

/// Adds the features of this crate.
pub fn features(r: &mut longwire_core::Registrar) {
    r.add::<Accounts>();
}
