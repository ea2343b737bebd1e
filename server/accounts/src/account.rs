//! Which accounts exist, and what proves their passwords.
//!
//! These functions are for tools and for the login; they work on the store, whether or not a
//! server runs on it. A running server deletes an account in its home instead, with
//! [`Turn::erase_account`](longwire_core::Turn::erase_account), so that its sessions end and its
//! contacts learn of it.

use crate::credential::{Credential, Decoys, Mechanism, Password};
use crate::limits::SALT_BYTES;
use longwire_stanza::{BareJid, JidError};
use longwire_store::record::{Reader, put_bytes, put_u64};
use longwire_store::{Batch, Record, RecordError, Store, StoreError, Table, TableInfo};
use zeroize::Zeroizing;

/// The accounts: one row for each that exists.
pub const ACCOUNTS: Table<(), Account> = Table::account("accounts", 1);

/// The keys of an account's password, by mechanism.
pub const CREDENTIALS: Table<u8, Credential> = Table::account("accounts_credentials", 1);

/// The key under which unknown accounts get their decoys; it stays, so that their salts do.
pub const DECOY_KEY: Table<(), Vec<u8>> = Table::global("accounts_decoy_key", 1);

/// Random bytes that a new password needs: one salt for each mechanism.
pub const ENTROPY_BYTES: usize = SALT_BYTES * Mechanism::ALL.len();

/// An account that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// When it was created, in microseconds since 1970.
    pub created: u64,
}

impl Record for Account {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.created);
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let account = Self { created: reader.u64()? };
        reader.finish()?;
        Ok(account)
    }
}

impl Record for Credential {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(row(self.mechanism()));
        put_bytes(out, self.salt());
        put_u64(out, u64::from(self.iterations()));
        put_bytes(out, self.stored_key());
        put_bytes(out, self.server_key());
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        const DAMAGED: RecordError = RecordError::Malformed("not a credential");
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let mechanism = Mechanism::ALL.into_iter().find(|mechanism| row(*mechanism) == kind);
        let credential = Self::from_parts(
            mechanism.ok_or(DAMAGED)?,
            reader.bytes()?.try_into().map_err(|_| DAMAGED)?,
            reader.u64()?.try_into().map_err(|_| DAMAGED)?,
            reader.bytes()?.to_vec(),
            reader.bytes()?.to_vec(),
        );
        reader.finish()?;
        credential.ok_or(DAMAGED)
    }
}

/// The key of a mechanism's row; part of the stored format.
const fn row(mechanism: Mechanism) -> u8 {
    match mechanism {
        Mechanism::ScramSha1 => 1,
        Mechanism::ScramSha256 => 2,
        Mechanism::ScramSha512 => 3,
    }
}

/// Why something could not be done with an account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The account exists already; change its password instead.
    #[error("the account exists already")]
    Exists,
    /// A stored address is damaged; restore the database.
    #[error("a stored account has an impossible address: {0}")]
    Jid(#[from] JidError),
    /// The address has no local part, so it is not one of an account.
    #[error("an account's address is name@domain")]
    NotAnAccount,
    /// The store failed; nothing is known about what was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such account; create it first.
    #[error("there is no such account")]
    Unknown,
}

/// What a new password is made of.
pub struct NewPassword<'a> {
    /// The password.
    pub password: &'a Password,
    /// PBKDF2 iterations; brought into the allowed range.
    pub iterations: u32,
    /// Fresh random bytes from a generator that nobody can predict.
    pub entropy: &'a [u8; ENTROPY_BYTES],
}

/// Creates an account, `now` being microseconds since 1970.
///
/// Costs a PBKDF2 run per mechanism, some 10 ms in all, so keep it off tasks that others wait for.
///
/// # Errors
/// [`AccountError::Exists`] and [`AccountError::NotAnAccount`] are the caller's to show.
///
/// # Cancel safety
/// Cancelled, the account is created whole or not at all.
pub async fn create(
    store: &Store,
    account: &BareJid,
    password: NewPassword<'_>,
    now: u64,
) -> Result<(), AccountError> {
    if account.is_domain() {
        return Err(AccountError::NotAnAccount);
    }
    if exists(store, account).await? {
        return Err(AccountError::Exists);
    }
    let mut batch = Batch::new();
    batch.put(&ACCOUNTS, account.as_str(), &(), &Account { created: now });
    put_password(&mut batch, account, password);
    store.commit(batch).await?;
    Ok(())
}

/// Replaces an account's password. Sessions that are bound stay.
///
/// Costs as much as [`create`].
///
/// # Errors
/// [`AccountError::Unknown`] when there is no such account.
///
/// # Cancel safety
/// Cancelled, the password is changed for all mechanisms or for none.
pub async fn set_password(
    store: &Store,
    account: &BareJid,
    password: NewPassword<'_>,
) -> Result<(), AccountError> {
    if !exists(store, account).await? {
        return Err(AccountError::Unknown);
    }
    let mut batch = Batch::new();
    put_password(&mut batch, account, password);
    store.commit(batch).await?;
    Ok(())
}

/// Erases an account from the tables of accounts, those of
/// [`Registry::account_tables`](longwire_core::Registry::account_tables).
///
/// # Errors
/// [`AccountError::Unknown`] when there is no such account.
///
/// # Cancel safety
/// Cancelled, the account is erased whole or not at all.
pub async fn delete(
    store: &Store,
    account: &BareJid,
    tables: &[TableInfo],
) -> Result<(), AccountError> {
    if !exists(store, account).await? {
        return Err(AccountError::Unknown);
    }
    let mut batch = Batch::new();
    for table in tables {
        batch.erase_owner(*table, account.as_str());
    }
    store.commit(batch).await?;
    Ok(())
}

/// The next page of accounts after one, sorted; an empty page is the end.
///
/// # Errors
/// The store cannot be read, or a row is damaged.
///
/// # Cancel safety
/// Only reads.
pub async fn list(
    store: &Store,
    after: Option<&BareJid>,
    limit: usize,
) -> Result<Vec<BareJid>, AccountError> {
    let names = store.owners(&ACCOUNTS, after.map(BareJid::as_str), limit).await?;
    names.iter().map(|name| BareJid::new(name).map_err(AccountError::Jid)).collect()
}

/// Whether an account exists.
///
/// # Errors
/// The store cannot be read.
///
/// # Cancel safety
/// Only reads.
pub async fn exists(store: &Store, account: &BareJid) -> Result<bool, AccountError> {
    Ok(store.get(&ACCOUNTS, account.as_str(), &()).await?.is_some())
}

/// The credential of an account for one mechanism; `None` when there is no such account.
///
/// A login goes on with a [decoy](crate::credential::Decoys) then.
///
/// # Errors
/// The store cannot be read.
///
/// # Cancel safety
/// Only reads.
pub async fn credential(
    store: &Store,
    account: &BareJid,
    mechanism: Mechanism,
) -> Result<Option<Credential>, AccountError> {
    let found = store.get(&CREDENTIALS, account.as_str(), &row(mechanism)).await?;
    Ok(found.filter(|credential| credential.mechanism() == mechanism))
}

/// Whether the password is the account's; never for an account that does not exist.
///
/// Costs one PBKDF2 run. Whether the account exists shows in the time it takes: a login asks for
/// the [`credential`], or a decoy, and uses [`Credential::matches`].
///
/// # Errors
/// The store cannot be read.
///
/// # Cancel safety
/// Only reads.
pub async fn verify_password(
    store: &Store,
    account: &BareJid,
    password: &Password,
) -> Result<bool, AccountError> {
    let credential = credential(store, account, Mechanism::ScramSha256).await?;
    Ok(credential.is_some_and(|credential| credential.matches(password)))
}

/// The decoys of this server. The first call keeps the random bytes as their key, later calls
/// find that key again.
///
/// # Errors
/// The store cannot be read or written.
///
/// # Cancel safety
/// Cancelled, the key is kept or not; call again.
pub async fn decoys(
    store: &Store,
    iterations: u32,
    entropy: [u8; 32],
) -> Result<Decoys, AccountError> {
    let kept = store.get(&DECOY_KEY, "", &()).await?.map(Zeroizing::new);
    if let Some(key) = kept.and_then(|key| key.as_slice().try_into().ok()) {
        return Ok(Decoys::new(key, iterations));
    }
    let mut batch = Batch::new();
    batch.put(&DECOY_KEY, "", &(), &entropy.to_vec());
    store.commit(batch).await?;
    Ok(Decoys::new(entropy, iterations))
}

fn put_password(batch: &mut Batch, account: &BareJid, new: NewPassword<'_>) {
    let salts = new.entropy.chunks_exact(SALT_BYTES);
    for (mechanism, fresh) in Mechanism::ALL.into_iter().zip(salts) {
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(fresh);
        let credential = Credential::derive(mechanism, new.password, salt, new.iterations);
        batch.put(&CREDENTIALS, account.as_str(), &row(mechanism), &credential);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ITERATIONS_MIN;
    use longwire_store::MemoryOptions;

    const NOTES: Table<(), String> = Table::account("notes", 1);
    const ENTROPY: [u8; ENTROPY_BYTES] = [7; ENTROPY_BYTES];

    fn tables() -> [TableInfo; 4] {
        [ACCOUNTS.info(), CREDENTIALS.info(), DECOY_KEY.info(), NOTES.info()]
    }

    fn account_tables() -> [TableInfo; 3] {
        [ACCOUNTS.info(), CREDENTIALS.info(), NOTES.info()]
    }

    fn store() -> Store {
        Store::memory(&tables(), MemoryOptions::default()).unwrap()
    }

    fn jid(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn password(typed: &str) -> Password {
        Password::new(typed).map_err(|error| error.to_string()).unwrap()
    }

    fn new(password: &Password) -> NewPassword<'_> {
        NewPassword { password, iterations: ITERATIONS_MIN, entropy: &ENTROPY }
    }

    async fn with_alice() -> Store {
        let store = store();
        create(&store, &jid("alice@a.example"), new(&password("wonderland")), 5).await.unwrap();
        store
    }

    #[tokio::test]
    async fn an_account_is_created_once() {
        let (store, alice) = (with_alice().await, jid("alice@a.example"));
        let again = create(&store, &alice, new(&password("other")), 6).await;
        assert!(matches!(again, Err(AccountError::Exists)));
        let domain = create(&store, &jid("a.example"), new(&password("x")), 6).await;
        assert!(matches!(domain, Err(AccountError::NotAnAccount)));
        let kept = store.get(&ACCOUNTS, alice.as_str(), &()).await.unwrap();
        assert_eq!(kept, Some(Account { created: 5 }));
        assert!(verify_password(&store, &alice, &password("wonderland")).await.unwrap());
    }

    #[tokio::test]
    async fn every_mechanism_gets_keys_with_a_salt_of_its_own() {
        let store = store();
        let alice = jid("alice@a.example");
        let entropy: [u8; ENTROPY_BYTES] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let typed = password("wonderland");
        let new = NewPassword { password: &typed, iterations: 5_000, entropy: &entropy };
        create(&store, &alice, new, 0).await.unwrap();
        let mut salts = Vec::new();
        for mechanism in Mechanism::ALL {
            let kept = credential(&store, &alice, mechanism).await.unwrap();
            let Some(kept) = kept else { panic!("no credential for {mechanism:?}") };
            assert!(kept.matches(&typed));
            assert_eq!(kept.iterations(), 5_000);
            salts.push(*kept.salt());
        }
        salts.dedup();
        assert_eq!(salts.len(), Mechanism::ALL.len());
    }

    #[tokio::test]
    async fn a_new_password_replaces_the_old_one_everywhere() {
        let (store, alice) = (with_alice().await, jid("alice@a.example"));
        let (old, fresh) = (password("wonderland"), password("looking-glass"));
        set_password(&store, &alice, new(&fresh)).await.unwrap();
        for mechanism in Mechanism::ALL {
            let kept = credential(&store, &alice, mechanism).await.unwrap();
            assert!(kept.as_ref().is_some_and(|kept| kept.matches(&fresh)));
            assert!(!kept.is_some_and(|kept| kept.matches(&old)));
        }
        let nobody = set_password(&store, &jid("bob@a.example"), new(&fresh)).await;
        assert!(matches!(nobody, Err(AccountError::Unknown)));
    }

    #[tokio::test]
    async fn deleting_leaves_nothing_of_the_account_and_everything_of_others() {
        let (store, alice, bob) =
            (with_alice().await, jid("alice@a.example"), jid("bob@a.example"));
        create(&store, &bob, new(&password("builder")), 0).await.unwrap();
        let mut batch = Batch::new();
        batch.put(&NOTES, alice.as_str(), &(), &"canary".to_owned());
        store.commit(batch).await.unwrap();
        delete(&store, &alice, &account_tables()).await.unwrap();
        assert!(store.load_owner(&account_tables(), alice.as_str()).await.unwrap().is_empty());
        assert!(!verify_password(&store, &alice, &password("wonderland")).await.unwrap());
        assert!(verify_password(&store, &bob, &password("builder")).await.unwrap());
        assert!(matches!(
            delete(&store, &alice, &account_tables()).await,
            Err(AccountError::Unknown)
        ));
    }

    #[tokio::test]
    async fn the_list_comes_in_pages() {
        let store = store();
        for name in ["carol", "alice", "bob"] {
            let account = jid(&format!("{name}@a.example"));
            create(&store, &account, new(&password("x")), 0).await.unwrap();
        }
        let first = list(&store, None, 2).await.unwrap();
        assert_eq!(first, [jid("alice@a.example"), jid("bob@a.example")]);
        let second = list(&store, first.last(), 2).await.unwrap();
        assert_eq!(second, [jid("carol@a.example")]);
        assert!(list(&store, second.last(), 2).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_unknown_account_keeps_its_salt_over_a_restart() {
        let store = store();
        let salt =
            |decoys: &Decoys| *decoys.credential("nobody@a.example", Mechanism::ScramSha256).salt();
        let before = decoys(&store, ITERATIONS_MIN, [1; 32]).await.unwrap();
        let after = decoys(&store, ITERATIONS_MIN, [2; 32]).await.unwrap();
        assert_eq!(salt(&before), salt(&after));
        assert_ne!(salt(&before), salt(&Decoys::new([2; 32], ITERATIONS_MIN)));
    }

    #[test]
    fn damaged_credentials_are_errors_not_panics() {
        let credential = Credential::derive(Mechanism::ScramSha1, &password("x"), [1; 16], 0);
        let mut bytes = Vec::new();
        credential.encode(&mut bytes);
        assert!(Credential::decode(1, &bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(Credential::decode(1, &bytes[..cut]).is_err(), "cut to {cut} bytes");
        }
        for (at, wrong) in [(0, 9), (0, 2), (1, 15)] {
            let mut damaged = bytes.clone();
            damaged[at] = wrong;
            assert!(Credential::decode(1, &damaged).is_err(), "byte {at} is {wrong}");
        }
    }

    #[test]
    fn the_password_is_nowhere_in_what_is_stored() {
        for mechanism in Mechanism::ALL {
            let credential = Credential::derive(mechanism, &password("CANARY"), [1; 16], 0);
            let mut bytes = Vec::new();
            credential.encode(&mut bytes);
            assert!(!bytes.windows(6).any(|window| window == b"CANARY"));
        }
    }
}
