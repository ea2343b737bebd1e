//! `longwire user`

use std::io::{BufRead, IsTerminal, stdin};
use std::path::PathBuf;

use clap::Subcommand;
use longwire_accounts::{AccountError, ENTROPY_BYTES, NewPassword, Password};
use longwire_core::Clock;
use longwire_stanza::BareJid;
use longwire_store::{Options, Store};
use miette::{Report, miette};

use super::output::{note, say};
use super::{ConfigFile, Failure, runtime};
use crate::config::Config;
use crate::dev;
use crate::environment::{SystemClock, system_random};
use crate::features;
use crate::keys::data_folder;

/// Accounts: these commands also work while the server runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  longwire user add alice@example.org
  pwgen 20 1 | longwire user password alice@example.org --password-stdin
  longwire user list --dev")]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Use the data of `serve --dev` instead of a configuration
    #[arg(long, global = true, conflicts_with = "config")]
    dev: bool,
    /// Data folder of `serve --dev`
    #[arg(long, value_name = "DIR", default_value = dev::FOLDER, global = true)]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an account; asks for the password
    Add(WithPassword),
    /// Change an account's password; sessions that are connected stay
    Password(WithPassword),
    /// Remove an account and everything that is stored for it
    Delete {
        /// Address: name@domain
        account: BareJid,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Print the accounts, one address per line, sorted
    List,
}

#[derive(Debug, clap::Args)]
struct WithPassword {
    /// Address: name@domain
    account: BareJid,
    /// Read the password from the first line of standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
}

/// Accounts read at once.
const PAGE: usize = 256;

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let config = if args.dev { dev::for_tools(args.data) } else { args.file.load()? };
    let registry = features::registry(&config)?;
    let open = async {
        let path = config.data.clone();
        data_folder(&path).map_err(|error| {
            Failure::Failed(miette!("cannot make the data folder {}: {error}", path.display()))
        })?;
        Store::open_sqlite(&path, &registry.tables(), Options::tool()).map_err(Failure::failed)
    };
    runtime()?.block_on(async {
        let store = open.await?;
        let done = match args.command {
            Command::Add(with) => add(&config, &store, with).await,
            Command::Password(with) => change(&config, &store, with).await,
            Command::Delete { account, yes } => {
                delete(&store, account, yes, &registry.account_tables()).await
            }
            Command::List => list(&store).await,
        };
        store.close().await;
        done
    })
}

async fn add(config: &Config, store: &Store, with: WithPassword) -> Result<(), Failure> {
    let account = with.account;
    if !config.hosts.iter().any(|host| host.name == account.domain()) {
        let hosts: Vec<&str> = config.hosts.iter().map(|host| host.name.as_str()).collect();
        return Err(Failure::Usage(miette!(
            help = "add a [[host]] with this name, or choose another domain",
            "{} is not served here; the hosts are {}",
            account.domain(),
            hosts.join(", ")
        )));
    }
    if longwire_accounts::exists(store, &account).await.map_err(|e| failed(&account, e))? {
        return Err(failed(&account, AccountError::Exists));
    }
    let password = password(with.password_stdin)?;
    create(store, &account, &password, features::iterations(config)).await?;
    say(format_args!("created {account}"));
    Ok(())
}

/// Creates an account now.
pub(super) async fn create(
    store: &Store,
    account: &BareJid,
    password: &Password,
    iterations: u32,
) -> Result<(), Failure> {
    let entropy = entropy()?;
    let new = NewPassword { password, iterations, entropy: &entropy };
    let created = longwire_accounts::create(store, account, new, SystemClock.wall()).await;
    created.map_err(|error| failed(account, error))
}

async fn change(config: &Config, store: &Store, with: WithPassword) -> Result<(), Failure> {
    let account = with.account;
    if !longwire_accounts::exists(store, &account).await.map_err(|e| failed(&account, e))? {
        return Err(failed(&account, AccountError::Unknown));
    }
    let password = password(with.password_stdin)?;
    let entropy = entropy()?;
    let iterations = features::iterations(config);
    let new = NewPassword { password: &password, iterations, entropy: &entropy };
    let changed = longwire_accounts::set_password(store, &account, new).await;
    changed.map_err(|error| failed(&account, error))?;
    say(format_args!("changed the password of {account}"));
    Ok(())
}

async fn delete(
    store: &Store,
    account: BareJid,
    yes: bool,
    tables: &[longwire_store::TableInfo],
) -> Result<(), Failure> {
    if !yes && !confirmed(&account)? {
        return Err(Failure::Failed(miette!("{account} was not removed")));
    }
    let deleted = longwire_accounts::delete(store, &account, tables).await;
    deleted.map_err(|error| failed(&account, error))?;
    say(format_args!("removed {account}"));
    Ok(())
}

fn confirmed(account: &BareJid) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::Usage(miette!("add --yes to remove an account without being asked")));
    }
    note(format_args!("Remove {account} and everything that is stored for it? Type yes:"));
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).map_err(Failure::failed)?;
    Ok(answer.trim() == "yes")
}

async fn list(store: &Store) -> Result<(), Failure> {
    let mut after: Option<BareJid> = None;
    loop {
        let page = longwire_accounts::list(store, after.as_ref(), PAGE).await;
        let page = page.map_err(Failure::failed)?;
        for account in &page {
            say(account);
        }
        let Some(last) = page.into_iter().next_back() else { return Ok(()) };
        after = Some(last);
    }
}

/// A new password: asked for twice without echo, or the first line of standard input.
fn password(from_stdin: bool) -> Result<Password, Failure> {
    let typed = if from_stdin {
        let mut line = String::new();
        stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        let hint = "without a terminal, use --password-stdin";
        let ask = |prompt| {
            rpassword::prompt_password(prompt)
                .map_err(|error| Failure::Failed(miette!(help = hint, "cannot ask: {error}")))
        };
        let first = ask("New password: ")?;
        if first != ask("Again: ")? {
            return Err(Failure::Failed(miette!("the two passwords are not the same")));
        }
        first
    };
    Password::new(&typed).map_err(|error| Failure::Usage(Report::from_err(error)))
}

fn entropy() -> Result<[u8; ENTROPY_BYTES], Failure> {
    let mut bytes = [0; ENTROPY_BYTES];
    system_random(&mut bytes).map_err(Failure::failed)?;
    Ok(bytes)
}

fn failed(account: &BareJid, error: AccountError) -> Failure {
    let report = match &error {
        AccountError::Exists => {
            miette!(help = "`longwire user password` changes its password", "{account}: {error}")
        }
        AccountError::Unknown => {
            miette!(help = "`longwire user list` prints all accounts", "{account}: {error}")
        }
        _ => miette!("{account}: {error}"),
    };
    Failure::Failed(report)
}
