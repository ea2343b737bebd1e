//! Declares the tables of accounts and what an operator may set.

use crate::account::{ACCOUNTS, CREDENTIALS, DECOY_KEY};
use crate::limits::{ITERATIONS_DEFAULT, ITERATIONS_MAX, ITERATIONS_MIN};
use longwire_core::{Feature, Registrar};
use serde::Deserialize;
use std::sync::Arc;

/// The feature: says which accounts exist.
pub struct Accounts {
    config: AccountsConfig,
}

/// How passwords are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountsConfig {
    /// PBKDF2 iterations of new passwords.
    pub iterations: Iterations,
}

/// A number of PBKDF2 iterations, from [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Iterations(u32);

impl Iterations {
    /// The number.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0
    }
}

impl Default for Iterations {
    fn default() -> Self {
        Self(ITERATIONS_DEFAULT)
    }
}

/// A number of iterations that makes guessing too cheap, or logging in too dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("iterations must be from {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
pub struct IterationsError;

impl TryFrom<u32> for Iterations {
    type Error = IterationsError;

    fn try_from(count: u32) -> Result<Self, IterationsError> {
        let fits = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&count);
        if fits { Ok(Self(count)) } else { Err(IterationsError) }
    }
}

impl Feature for Accounts {
    const NAME: &'static str = "accounts";
    type Config = AccountsConfig;

    fn new(config: AccountsConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, r: &mut Registrar) {
        r.rfc(5802);
        r.rfc(7677);
        r.account_marker(&ACCOUNTS);
        r.table_on_disk(&CREDENTIALS);
        r.table(&DECOY_KEY);
    }
}

impl Accounts {
    /// PBKDF2 iterations of new passwords.
    #[must_use]
    pub const fn iterations(&self) -> u32 {
        self.config.iterations.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_outside_their_range_are_refused() {
        for (count, fits) in [
            (ITERATIONS_MIN - 1, false),
            (ITERATIONS_MIN, true),
            (ITERATIONS_MIN + 1, true),
            (ITERATIONS_MAX, true),
            (ITERATIONS_MAX + 1, false),
        ] {
            assert_eq!(Iterations::try_from(count).is_ok(), fits, "{count}");
        }
    }

    #[test]
    fn every_table_dies_with_its_account() {
        let mut registrar = Registrar::new();
        registrar.add::<Accounts>();
        assert!(registrar.has_account_marker());
        let registry = registrar.finish().unwrap();
        let tables = registry.account_tables();
        for table in [ACCOUNTS.info(), CREDENTIALS.info()] {
            assert!(tables.contains(&table), "{}", table.name);
        }
    }
}
