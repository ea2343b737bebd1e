//! Answers to what a negotiation asks: credentials, passwords, resources.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use longwire_core::{Outbox, SessionRef};
use longwire_link::negotiate::{Ask, Reply, UserAgent};
use longwire_stanza::BareJid;

use crate::shared::Shared;

/// An answer, and the session that comes with the answer to a bind.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) bound: Option<Bound>,
}

/// Both ends of a new session.
pub(crate) struct Bound {
    pub(crate) session: SessionRef,
    pub(crate) outbox: Outbox,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, bound: None }
    }
}

/// Finds the answer to a question.
pub(crate) async fn answer(shared: Arc<Shared>, peer: SocketAddr, ask: Ask) -> Answer {
    if let Ask::Credential { account, .. } | Ask::Verify { account, .. } = &ask
        && !shared.may_log_in(peer.ip(), account)
    {
        return Reply::Throttled.into();
    }
    match ask {
        Ask::Credential { account, hash } => {
            match shared.credentials.credential(&account, hash).await {
                Ok(credential) => Reply::Credential(credential).into(),
                Err(error) => unavailable(&error),
            }
        }
        Ask::Verify { account, password } => {
            let Ok(_place) = shared.slow.acquire().await else {
                return Reply::TemporaryFailure.into();
            };
            match shared.credentials.verify(&account, password).await {
                Ok(right) => Reply::Verified(right).into(),
                Err(error) => unavailable(&error),
            }
        }
        Ask::Bind { account, resource, tag, user_agent, .. } => {
            let resource =
                resource.or_else(|| fitting(&account, derived(&shared, tag?, user_agent)));
            match shared.router.bind(&account, resource.as_deref()).await {
                Ok((session, outbox)) => {
                    let jid = session.jid().clone();
                    let bound = Some(Bound { session, outbox });
                    Answer { reply: Reply::Bound(Ok(jid)), bound }
                }
                Err(error) => Reply::Bound(Err(error)).into(),
            }
        }
    }
}

fn unavailable(error: &longwire_accounts::AccountError) -> Answer {
    tracing::warn!(%error, "a login cannot be checked");
    Reply::TemporaryFailure.into()
}

/// The resource of Bind 2 (XEP-0386 §4): the client's tag and a part of our own.
///
/// For a client that names itself it is always the same, so that a new login ends what is left
/// of an earlier one; and it does not show the name itself.
fn derived(shared: &Shared, tag: String, user_agent: Option<UserAgent>) -> String {
    let mut own = [0; 9];
    match user_agent.and_then(|agent| agent.id) {
        Some(id) => {
            let digest = hmac::sign(shared.credentials.resource_key(), id.as_bytes());
            for (to, from) in own.iter_mut().zip(digest.as_ref()) {
                *to = *from;
            }
        }
        None => (shared.entropy)(&mut own),
    }
    format!("{tag}/{}", base32(&own))
}

/// The resource, unless no address can have it: a client with an odd tag is let in under a name
/// of our own.
fn fitting(account: &BareJid, resource: String) -> Option<String> {
    account.with_resource(&resource).is_ok().then_some(resource)
}

/// Digits and letters for any bytes, without padding.
pub(crate) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            let index = (bits >> count & 31) as usize;
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        }
        bits &= (1 << count) - 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_whose_tag_is_no_resource_gets_in_without_it() {
        let alice = BareJid::new("alice@a.example").unwrap();
        let fits = |resource: &str| fitting(&alice, resource.to_owned()).is_some();
        assert!(fits("demo/abc"));
        assert!(!fits("a\u{200b}b/abc") && !fits(&format!("{}/abc", "x".repeat(1023))));
    }

    #[test]
    fn bytes_become_readable_text_of_full_entropy() {
        assert_eq!(base32(&[0; 10]), "aaaaaaaaaaaaaaaa");
        assert_eq!(base32(&[0xff; 10]), "9999999999999999");
        assert_eq!(base32(&[0b0000_1000, 0b1000_0110]).len(), 3);
    }
}
