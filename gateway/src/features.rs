//! The one list of features, in the order in which their stages run within a phase.

use longwire_accounts::{Accounts, AccountsConfig};
use longwire_core::{Clash, Feature, Registrar, Registry};

use crate::config::{Config, ConfigError, DEFAULT_LOG, Source};
use crate::wire;

/// Every feature of this server, configured.
///
/// # Errors
/// Everything that is wrong with the `[feature.NAME]` tables, with its place.
pub(crate) fn registry(config: &Config) -> Result<Registry, ConfigError> {
    let clashes = match install(config.features.clone()) {
        Ok(registry) => return Ok(registry),
        Err(clashes) => clashes,
    };
    let fallback = Source::new("the built-in configuration".as_ref(), "");
    let source = config.source.as_deref().unwrap_or(&fallback);
    let problems = clashes.iter().map(|clash| problem(source, clash)).collect();
    Err(source.reject(problems))
}

/// Every feature with its defaults: what `longwire features` lists.
pub(crate) fn default_registry() -> Result<Registry, ConfigError> {
    registry(&Config::new(Vec::new(), Vec::new(), DEFAULT_LOG.into()))
}

fn install(tables: toml::Table) -> Result<Registry, Vec<Clash>> {
    let mut registrar = Registrar::with_config(tables);
    registrar.add::<wire::Transports>();
    registrar.add::<wire::Login>();
    longwire_accounts::features(&mut registrar);
    longwire_im::features(&mut registrar);
    registrar.finish()
}

fn problem(source: &Source, clash: &Clash) -> crate::config::Problem {
    let message = clash.to_string();
    match clash {
        Clash::Config { feature, message } => {
            let table = format!("feature.{feature}");
            let key = message.split('`').nth(1);
            let advice = "correct the value, or remove the line to get the default";
            source.problem(source.locate(&table, key), message.trim()).advise(advice)
        }
        Clash::UnknownFeature { name, .. } => {
            let at = source.locate(&format!("feature.{name}"), None);
            source.problem(at, message).advise("`longwire features` lists them")
        }
        _ => source.problem(0..0, message).advise("this is a fault of the program: report it"),
    }
}

/// PBKDF2 iterations of new passwords, from `[feature.accounts]`.
pub(crate) fn iterations(config: &Config) -> u32 {
    let table = config.features.get(Accounts::NAME).cloned();
    let accounts: AccountsConfig =
        table.and_then(|table| table.try_into().ok()).unwrap_or_default();
    accounts.iterations.count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "[[host]]\nname = \"a.example\"\n[[listener]]\ntransport = \"starttls\"\n\
                        address = \"127.0.0.1:0\"\nplaintext = \"loopback\"\n";

    fn complaint(tables: &str) -> String {
        let text = format!("{BASE}{tables}");
        let config = Config::parse(Path::new("longwire.toml"), &text).unwrap();
        registry(&config).unwrap_err().to_string()
    }

    #[test]
    fn the_features_fit_together() {
        let registry = default_registry().unwrap();
        assert!(registry.features().len() > 5);
    }

    /// Every stage of both paths and every handler, in the order in which they run: a change of
    /// the order is a change of this file. `UPDATE_SNAPSHOTS=1` writes it anew.
    #[test]
    fn the_order_of_all_stages_is_the_reviewed_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/order.snap");
        let order = default_registry().unwrap().order_table();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &order).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), order);
    }

    #[test]
    fn an_unknown_feature_table_is_found_in_the_file() {
        let complaint = complaint("[feature.acounts]\niterations = 10000\n");
        let start = "longwire.toml:7:1: feature.acounts: ";
        assert!(complaint.starts_with(start), "{complaint}");
        assert!(complaint.contains("did you mean accounts?"), "{complaint}");
    }

    #[test]
    fn a_wrong_value_of_a_feature_is_found_in_the_file() {
        let unknown = complaint("[feature.accounts]\niteration = 10000\n");
        assert!(
            unknown.starts_with("longwire.toml:8:1: feature.accounts.iteration: "),
            "{unknown}"
        );
        let wrong = complaint("[feature.accounts]\niterations = 5\n");
        assert!(wrong.contains("iterations must be from"), "{wrong}");
    }

    #[test]
    fn iterations_come_from_the_configuration() {
        let text = format!("{BASE}[feature.accounts]\niterations = 5000\n");
        let config = Config::parse(Path::new("longwire.toml"), &text).unwrap();
        assert_eq!(iterations(&config), 5_000);
    }
}
