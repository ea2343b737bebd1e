//! Credentials as the negotiation wants them, from where the accounts keep them.

use aws_lc_rs::hmac;
use longwire_accounts::{AccountError, Credential, Decoys, Mechanism, Password};
use longwire_link::sasl::{Hash, Secret, StoredCredential};
use longwire_stanza::BareJid;
use longwire_store::Store;

use crate::keys::Keys;

/// Answers about passwords.
pub(crate) struct Credentials {
    store: Store,
    decoys: Decoys,
    resource_key: hmac::Key,
}

impl Credentials {
    pub(crate) fn new(store: Store, keys: &Keys, iterations: u32) -> Self {
        Self {
            store,
            decoys: Decoys::new(keys.negotiation(), iterations),
            resource_key: hmac::Key::new(hmac::HMAC_SHA256, &keys.negotiation()),
        }
    }

    /// What is kept of an account's password; `None` when there is no such account.
    pub(crate) async fn credential(
        &self,
        account: &BareJid,
        hash: Hash,
    ) -> Result<Option<StoredCredential>, AccountError> {
        let kept = longwire_accounts::credential(&self.store, account, mechanism(hash)).await?;
        Ok(kept.map(|kept| stored(&kept)))
    }

    /// Whether the password is the account's; takes as long for accounts that do not exist.
    pub(crate) async fn verify(
        &self,
        account: &BareJid,
        password: Secret,
    ) -> Result<bool, AccountError> {
        let strongest = Mechanism::ScramSha256;
        let kept = longwire_accounts::credential(&self.store, account, strongest).await?;
        let exists = kept.is_some();
        let credential =
            kept.unwrap_or_else(|| self.decoys.credential(account.as_str(), strongest));
        let check = move || {
            Password::new(password.expose()).is_ok_and(|password| credential.matches(&password))
        };
        // An error means that the runtime is going down.
        let matches = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        Ok(exists && matches)
    }

    /// The key under which client installations get their resources.
    pub(crate) const fn resource_key(&self) -> &hmac::Key {
        &self.resource_key
    }
}

const fn mechanism(hash: Hash) -> Mechanism {
    match hash {
        Hash::Sha1 => Mechanism::ScramSha1,
        Hash::Sha256 => Mechanism::ScramSha256,
        Hash::Sha512 => Mechanism::ScramSha512,
    }
}

fn stored(kept: &Credential) -> StoredCredential {
    StoredCredential {
        salt: kept.salt().to_vec(),
        iterations: kept.iterations(),
        stored_key: kept.stored_key().to_vec(),
        server_key: kept.server_key().to_vec(),
    }
}
