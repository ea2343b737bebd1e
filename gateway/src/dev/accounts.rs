//! The accounts of the development server: the same passwords each time, kept in its folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longwire_accounts::{AccountError, ENTROPY_BYTES, NewPassword, Password};
use longwire_core::Clock;
use longwire_link::Entropy;
use longwire_stanza::{BareJid, JidError};
use longwire_store::Store;
use thiserror::Error;

use crate::answer::base32;
use crate::environment::SystemClock;
use crate::keys::write_private;

/// An account with its password, to be shown to the developer.
pub(crate) struct DevAccount {
    pub(crate) account: BareJid,
    pub(crate) password: String,
}

/// Why there are no development accounts.
#[derive(Debug, Error)]
pub(crate) enum DevAccountError {
    #[error("cannot use {}: {reason}", path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("{}: {reason}; remove the file to get new passwords", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error(transparent)]
    Jid(#[from] JidError),
    #[error(transparent)]
    Account(#[from] AccountError),
}

const NAMES: [&str; 2] = ["alice", "bob"];

/// Bytes of a generated password: 80 bits.
const PASSWORD_BYTES: usize = 10;

/// Makes sure that the accounts exist with the passwords of the folder's file, and makes the
/// file when there is none.
pub(crate) async fn ensure(
    store: &Store,
    folder: &Path,
    iterations: u32,
    entropy: &Entropy,
) -> Result<Vec<DevAccount>, DevAccountError> {
    let accounts = load_or_make(&folder.join("accounts"), entropy)?;
    for DevAccount { account, password } in &accounts {
        let password = Password::new(password).map_err(|reason| DevAccountError::Damaged {
            path: folder.join("accounts"),
            reason: reason.to_string(),
        })?;
        let mut fresh = [0; ENTROPY_BYTES];
        entropy(&mut fresh);
        let new = NewPassword { password: &password, iterations, entropy: &fresh };
        if !longwire_accounts::exists(store, account).await? {
            longwire_accounts::create(store, account, new, SystemClock.wall()).await?;
        } else if !longwire_accounts::verify_password(store, account, &password).await? {
            longwire_accounts::set_password(store, account, new).await?;
        }
    }
    Ok(accounts)
}

/// The password of a development account, for clients that run in the same folder.
pub(crate) fn password(
    folder: &Path,
    account: &BareJid,
) -> Result<Option<String>, DevAccountError> {
    let path = folder.join("accounts");
    let accounts = match fs::read_to_string(&path) {
        Ok(text) => parse(&path, &text)?,
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(DevAccountError::File { path, reason }),
    };
    Ok(accounts.into_iter().find(|known| known.account == *account).map(|known| known.password))
}

fn load_or_make(path: &Path, entropy: &Entropy) -> Result<Vec<DevAccount>, DevAccountError> {
    let failed = |reason| DevAccountError::File { path: path.to_owned(), reason };
    match fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => {
            let mut text = String::new();
            for name in NAMES {
                let mut bytes = [0; PASSWORD_BYTES];
                entropy(&mut bytes);
                text += &format!("{name}@{} {}\n", super::HOST, base32(&bytes));
            }
            write_private(path, text.as_bytes()).map_err(failed)?;
            parse(path, &text)
        }
        Err(reason) => Err(failed(reason)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<DevAccount>, DevAccountError> {
    let damaged = |reason: &str| DevAccountError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let lines = text.lines().map(|line| {
        let (account, password) =
            line.split_once(' ').ok_or_else(|| damaged("a line is not `address password`"))?;
        Ok(DevAccount { account: BareJid::new(account)?, password: password.trim().to_owned() })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use longwire_store::MemoryOptions;

    use super::*;
    use crate::features;
    use crate::scratch::Folder;

    fn counting() -> Entropy {
        let next = std::sync::atomic::AtomicU8::new(1);
        Arc::new(move |bytes: &mut [u8]| {
            bytes.fill(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        })
    }

    #[tokio::test]
    async fn passwords_stay_the_same_and_are_put_right_after_a_change() {
        let folder = Folder::new("dev-accounts");
        let tables = features::default_registry().unwrap().tables();
        let store = Store::memory(&tables, MemoryOptions::default()).unwrap();
        let entropy = counting();
        let first = ensure(&store, folder.path(), 4_096, &entropy).await.unwrap();
        assert_eq!(first[0].account.as_str(), "alice@localhost");
        assert_ne!(first[0].password, first[1].password);

        let other = Password::new("changed").unwrap();
        let new = NewPassword { password: &other, iterations: 4_096, entropy: &[3; ENTROPY_BYTES] };
        longwire_accounts::set_password(&store, &first[0].account, new).await.unwrap();
        let second = ensure(&store, folder.path(), 4_096, &entropy).await.unwrap();
        assert_eq!(second[0].password, first[0].password);
        let password = Password::new(&first[0].password).unwrap();
        let alice = &first[0].account;
        assert!(longwire_accounts::verify_password(&store, alice, &password).await.unwrap());

        let mode = fs::metadata(folder.path().join("accounts")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let error = parse(Path::new("longwire-dev/accounts"), "alice\n").err().unwrap();
        assert!(error.to_string().starts_with("longwire-dev/accounts: a line is not"), "{error}");
    }
}
