//! Published vectors, agreement of both ends, and the failure of everything else.

use proptest::prelude::*;

use super::*;
use crate::sasl::{
    Advertised, BindingType, FakeCredentials, Hash, SaslError, Secret, StoredCredential, TlsInfo,
    decode_base64, limits,
};

const NO_BINDING: ServerBinding<'static> =
    ServerBinding { plus: false, plus_offered: false, tls: None };

struct Vector {
    hash: Hash,
    client_nonce: &'static str,
    server_nonce: &'static str,
    salt: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

/// RFC 5802 §5 and RFC 7677 §3; user `user`, password `pencil`, 4,096 iterations.
const VECTORS: [Vector; 2] = [
    Vector {
        hash: Hash::Sha1,
        client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        salt: "QSXCR+Q6sek8bf92",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                       p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    Vector {
        hash: Hash::Sha256,
        client_nonce: "rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
];

#[test]
fn both_ends_reproduce_the_published_exchanges() {
    for vector in &VECTORS {
        let salt = decode_base64(vector.salt).unwrap();
        let password = Secret::new("pencil");
        let stored = StoredCredential::derive(vector.hash, &password, &salt, 4096).unwrap();
        let mut client = ScramClient::new(
            vector.hash,
            &ClientBinding::Unsupported,
            "user",
            None,
            vector.client_nonce,
        );
        let first = client.first();
        assert_eq!(first, format!("n,,n=user,r={}", vector.client_nonce).as_bytes());
        let mut server = ScramServer::start(vector.hash, NO_BINDING, &first).unwrap();
        assert_eq!(server.username(), "user");
        let challenge = server.challenge(&stored, true, vector.server_nonce, None);
        let last = client.respond(&challenge, &password, None).unwrap();
        assert_eq!(String::from_utf8_lossy(&last), vector.client_final);
        let outcome = server.finish(&last).unwrap();
        assert_eq!(String::from_utf8_lossy(&outcome), vector.server_final);
        client.verify(&outcome).unwrap();
    }
}

fn tls() -> TlsInfo {
    TlsInfo { exporter: Some([7; 32]), end_point: Some(vec![9; 32]), version13: true }
}

fn offered() -> Advertised {
    Advertised {
        mechanisms: vec!["SCRAM-SHA-1".into(), "SCRAM-SHA-256".into(), "PLAIN".into()],
        bindings: Some(vec!["tls-exporter".into()]),
    }
}

/// One exchange as both ends see it; `tamper` may change message 0 to 3 on the way.
struct Run<'a> {
    hash: Hash,
    binding: ClientBinding,
    username: &'a str,
    password: &'a str,
    tamper: &'a dyn Fn(usize, &mut Vec<u8>),
}

impl Run<'_> {
    fn go(&self, stored: &StoredCredential, known: bool) -> Result<(), SaslError> {
        let tls = tls();
        let plus = matches!(self.binding, ClientBinding::Bound { .. });
        let plus_offered = !matches!(self.binding, ClientBinding::NotOffered);
        let offer = ServerBinding { plus, plus_offered, tls: Some(&tls) };
        let nonce = "clientnonce0123456789";
        let mut client = ScramClient::new(self.hash, &self.binding, self.username, None, nonce);
        let mut message = client.first();
        (self.tamper)(0, &mut message);
        let mut server = ScramServer::start(self.hash, offer, &message)?;
        let mut message = server.challenge(stored, known, "servernonce", Some(&offered()));
        (self.tamper)(1, &mut message);
        let mut message =
            client.respond(&message, &Secret::new(self.password), Some(&offered()))?;
        (self.tamper)(2, &mut message);
        let mut message = server.finish(&message)?;
        (self.tamper)(3, &mut message);
        client.verify(&message)
    }
}

fn stored(hash: Hash, password: &str) -> StoredCredential {
    StoredCredential::derive(hash, &Secret::new(password), b"salt of sixteen.", 4096).unwrap()
}

fn run<'a>(hash: Hash, binding: ClientBinding) -> Run<'a> {
    Run { hash, binding, username: "user", password: "pencil", tamper: &|_, _| {} }
}

/// `ClientBinding` holds channel data and has no `Debug`; proptest wants to print its inputs.
#[derive(Clone)]
struct Hidden(ClientBinding);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            ClientBinding::Unsupported => "n",
            ClientBinding::NotOffered => "y",
            ClientBinding::Bound { kind, .. } => kind.name(),
        })
    }
}

fn bindings() -> impl Strategy<Value = Hidden> {
    let bound = |kind, byte| Hidden(ClientBinding::Bound { kind, data: vec![byte; 32] });
    prop_oneof![
        Just(Hidden(ClientBinding::Unsupported)),
        Just(Hidden(ClientBinding::NotOffered)),
        Just(bound(BindingType::TlsExporter, 7)),
        Just(bound(BindingType::TlsServerEndPoint, 9)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_pair_agrees(
        hash in prop::sample::select(&Hash::ALL[..]),
        binding in bindings(),
        username in "[a-z,=\u{e9}]{1,12}",
        password in "[ -~]{1,20}",
    ) {
        let run = Run {
            hash, binding: binding.0, username: &username, password: &password,
            tamper: &|_, _| {},
        };
        prop_assert_eq!(run.go(&stored(hash, &password), true), Ok(()));
    }

    #[test]
    fn every_one_bit_change_fails(
        hash in prop::sample::select(&Hash::ALL[..]),
        binding in bindings(),
        which in 0_usize..4,
        position in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let tamper = |step: usize, message: &mut Vec<u8>| {
            if step == which {
                let at = position.index(message.len());
                message[at] ^= 1 << bit;
            }
        };
        let run = Run { tamper: &tamper, ..run(hash, binding.0) };
        prop_assert!(run.go(&stored(hash, "pencil"), true).is_err());
    }
}

#[test]
fn a_wrong_password_and_an_unknown_account_fail_at_the_same_step_with_the_same_error() {
    for hash in Hash::ALL {
        let wrong = run(hash, ClientBinding::Unsupported).go(&stored(hash, "pen"), true);
        assert_eq!(wrong, Err(SaslError::Proof));
        let fake = FakeCredentials::new(b"server secret", 4096).credential(hash, "u@x.example");
        let unknown = run(hash, ClientBinding::Unsupported).go(&fake, false);
        assert_eq!(unknown, Err(SaslError::Proof));
    }
    // Even who could guess an invented credential's password would not come in.
    let right = stored(Hash::Sha256, "pencil");
    let outcome = run(Hash::Sha256, ClientBinding::Unsupported).go(&right, false);
    assert_eq!(outcome, Err(SaslError::Proof));
}

#[test]
fn a_credential_of_the_wrong_length_never_matches() {
    let sha1 = stored(Hash::Sha1, "pencil");
    let outcome = run(Hash::Sha256, ClientBinding::Unsupported).go(&sha1, true);
    assert_eq!(outcome, Err(SaslError::Proof));
    let mut empty = stored(Hash::Sha256, "pencil");
    empty.stored_key.clear();
    let outcome = run(Hash::Sha256, ClientBinding::Unsupported).go(&empty, true);
    assert_eq!(outcome, Err(SaslError::Proof));
}

#[test]
fn a_stripped_plus_offer_is_noticed() {
    let tls = tls();
    let offer = ServerBinding { plus: false, plus_offered: true, tls: Some(&tls) };
    let start = |first: &[u8]| ScramServer::start(Hash::Sha1, offer, first).map(|_| ()).err();
    assert_eq!(start(b"y,,n=a,r=b"), Some(SaslError::Downgrade));
    assert_eq!(start(b"n,,n=a,r=b"), None);
    assert_eq!(start(b"p=tls-exporter,,n=a,r=b"), Some(SaslError::BindingFlag));
}

#[test]
fn plus_needs_a_type_that_was_offered() {
    let tls = TlsInfo { end_point: None, ..tls() };
    let offer = ServerBinding { plus: true, plus_offered: true, tls: Some(&tls) };
    let start = |first: &[u8]| ScramServer::start(Hash::Sha1, offer, first).map(|_| ()).err();
    assert_eq!(start(b"p=tls-exporter,,n=a,r=b"), None);
    assert_eq!(start(b"p=tls-server-end-point,,n=a,r=b"), Some(SaslError::BindingType));
    assert_eq!(start(b"p=tls-unique,,n=a,r=b"), Some(SaslError::BindingType));
    assert_eq!(start(b"n,,n=a,r=b"), Some(SaslError::BindingFlag));
    assert_eq!(start(b"y,,n=a,r=b"), Some(SaslError::Downgrade));
}

#[test]
fn another_channel_is_noticed() {
    let middle = ClientBinding::Bound { kind: BindingType::TlsExporter, data: vec![8; 32] };
    let outcome = run(Hash::Sha256, middle).go(&stored(Hash::Sha256, "pencil"), true);
    assert_eq!(outcome, Err(SaslError::BindingData));
}

#[test]
fn a_replayed_proof_fails_on_the_nonce() {
    let stored = stored(Hash::Sha1, "pencil");
    let mut client = ScramClient::new(Hash::Sha1, &ClientBinding::Unsupported, "user", None, "cn");
    let first = client.first();
    let mut server = ScramServer::start(Hash::Sha1, NO_BINDING, &first).unwrap();
    let challenge = server.challenge(&stored, true, "one", None);
    let proof = client.respond(&challenge, &Secret::new("pencil"), None).unwrap();
    assert!(server.finish(&proof).is_ok());
    let mut again = ScramServer::start(Hash::Sha1, NO_BINDING, &first).unwrap();
    again.challenge(&stored, true, "two", None);
    assert_eq!(again.finish(&proof), Err(SaslError::Nonce));
}

#[test]
fn steps_out_of_order_fail() {
    let server = ScramServer::start(Hash::Sha1, NO_BINDING, b"n,,n=a,r=b").unwrap();
    assert_eq!(server.finish(b"c=biws,r=b,p=AAAA"), Err(SaslError::OutOfOrder));
    let client = ScramClient::new(Hash::Sha1, &ClientBinding::Unsupported, "a", None, "b");
    assert_eq!(client.verify(b"v=AAAA"), Err(SaslError::OutOfOrder));
}

#[test]
fn the_client_refuses_servers_that_ask_for_too_little_or_too_much() {
    let respond = |challenge: &str| {
        let mut client =
            ScramClient::new(Hash::Sha1, &ClientBinding::Unsupported, "user", None, "abc");
        client.respond(challenge.as_bytes(), &Secret::new("pencil"), Some(&offered())).err()
    };
    let with = |count: u32| respond(&format!("r=abcdef,s=QQ==,i={count}"));
    assert_eq!(with(limits::ITERATIONS_MIN - 1), Some(SaslError::Iterations));
    assert_eq!(with(limits::ITERATIONS_MIN), None);
    assert_eq!(with(limits::ITERATIONS_MIN + 1), None);
    assert_eq!(with(limits::ITERATIONS_MAX + 1), Some(SaslError::Iterations));
    assert_eq!(respond("r=abc,s=QQ==,i=4096"), Some(SaslError::Nonce));
    assert_eq!(respond("r=xyz,s=QQ==,i=4096"), Some(SaslError::Nonce));
    assert_eq!(respond("e=other-error"), Some(SaslError::Malformed));
}

//= test XEP-0474 §4.2
#[test]
fn a_changed_mechanism_list_is_noticed_by_the_client() {
    let mut client =
        ScramClient::new(Hash::Sha256, &ClientBinding::Unsupported, "user", None, "abc");
    let mut server = ScramServer::start(Hash::Sha256, NO_BINDING, &client.first()).unwrap();
    let stored = stored(Hash::Sha256, "pencil");
    let challenge = server.challenge(&stored, true, "def", Some(&offered()));
    let mut seen = offered();
    seen.mechanisms.retain(|name| name != "SCRAM-SHA-256");
    let outcome = client.respond(&challenge, &Secret::new("pencil"), Some(&seen));
    assert_eq!(outcome.err(), Some(SaslError::AdvertisedHash));
    // A server that does not speak XEP-0474 is fine.
    let plain = server.challenge(&stored, true, "def", None);
    assert!(client.respond(&plain, &Secret::new("pencil"), Some(&seen)).is_ok());
}

#[test]
fn a_server_without_the_credential_is_unmasked() {
    let mut client =
        ScramClient::new(Hash::Sha256, &ClientBinding::Unsupported, "user", None, "abc");
    let challenge = b"r=abcdef,s=QQ==,i=4096";
    client.respond(challenge, &Secret::new("pencil"), None).unwrap();
    let guess = format!("v={}", crate::sasl::encode_base64(&[0; 32]));
    assert_eq!(client.verify(guess.as_bytes()), Err(SaslError::ServerSignature));
    assert_eq!(client.verify(b"e=invalid-proof"), Err(SaslError::ServerSignature));
    assert_eq!(client.verify(b""), Err(SaslError::ServerSignature));
}
