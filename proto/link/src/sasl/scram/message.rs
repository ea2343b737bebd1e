//! The grammar of SCRAM's messages (RFC 5802 §7).

use crate::sasl::encoding::decode_base64;
use crate::sasl::error::SaslError;
use crate::sasl::limits;

/// The channel-binding flag of the GS2 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// `n`: the client does not do channel binding.
    Unsupported,
    /// `y`: the client would, but saw no offer.
    NotOffered,
    /// `p=`: bound with this type.
    Bound(&'a str),
}

/// The client's first message.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: Flag<'a>,
    /// The GS2 header with its closing comma, as it must come back inside `c=`.
    pub(super) gs2: &'a str,
    pub(super) authzid: Option<String>,
    pub(super) username: String,
    pub(super) nonce: &'a str,
    /// The message without the GS2 header.
    pub(super) bare: &'a str,
}

/// The server's first message.
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    /// The hash of XEP-0474.
    pub(super) advertised: Option<&'a str>,
}

/// The client's final message.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
    pub(super) without_proof: &'a str,
}

/// Bytes as text, within the bound for messages.
pub(super) fn text(message: &[u8]) -> Result<&str, SaslError> {
    if message.len() > limits::MESSAGE_BYTES {
        return Err(SaslError::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
    if text.contains('\0') { Err(SaslError::Malformed) } else { Ok(text) }
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, SaslError> {
        let (flag_text, rest) = message.split_once(',').ok_or(SaslError::Malformed)?;
        let (authzid_text, bare) = rest.split_once(',').ok_or(SaslError::Malformed)?;
        let gs2 = &message[..message.len() - bare.len()];
        let flag = match flag_text {
            "n" => Flag::Unsupported,
            "y" => Flag::NotOffered,
            other => Flag::Bound(binding_name(value(other, 'p')?)?),
        };
        let authzid = match authzid_text {
            "" => None,
            other => Some(unescape(value(other, 'a')?)?),
        };
        let mut attributes = bare.split(',');
        let username = unescape(next_value(&mut attributes, 'n')?)?;
        let nonce = nonce(next_value(&mut attributes, 'r')?)?;
        for extension in attributes {
            ignore(extension)?;
        }
        Ok(Self { flag, gs2, authzid, username, nonce, bare })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, SaslError> {
        let mut attributes = message.split(',');
        let nonce = nonce(next_value(&mut attributes, 'r')?)?;
        let salt = decode_base64(next_value(&mut attributes, 's')?)?;
        if salt.len() > limits::SALT_BYTES {
            return Err(SaslError::TooLong);
        }
        let iterations = number(next_value(&mut attributes, 'i')?)?;
        let mut advertised = None;
        for extension in attributes {
            ignore(extension)?;
            if let Ok(hash) = value(extension, 'h')
                && advertised.replace(hash).is_some()
            {
                return Err(SaslError::Malformed);
            }
        }
        Ok(Self { nonce, salt, iterations, advertised })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, SaslError> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = decode_base64(next_value(&mut attributes, 'c')?)?;
        let nonce = nonce(next_value(&mut attributes, 'r')?)?;
        for extension in attributes {
            ignore(extension)?;
        }
        Ok(Self { binding, nonce, proof: decode_base64(proof)?, without_proof })
    }
}

/// The verifier of the server's final message; `e=` and everything else is a refusal.
pub(super) fn server_signature(message: &str) -> Result<Vec<u8>, SaslError> {
    let mut attributes = message.split(',');
    let verifier = next_value(&mut attributes, 'v').map_err(|_| SaslError::ServerSignature)?;
    for extension in attributes {
        ignore(extension)?;
    }
    decode_base64(verifier)
}

/// Writes a name so that it holds no comma and no equals sign (RFC 5802 §5.1).
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(name: &str) -> Result<String, SaslError> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        plain.push_str(before);
        let (letter, tail) = if let Some(tail) = after.strip_prefix("2C") {
            (',', tail)
        } else if let Some(tail) = after.strip_prefix("3D") {
            ('=', tail)
        } else {
            return Err(SaslError::Malformed);
        };
        plain.push(letter);
        rest = tail;
    }
    plain.push_str(rest);
    Ok(plain)
}

fn next_value<'a>(
    attributes: &mut impl Iterator<Item = &'a str>,
    name: char,
) -> Result<&'a str, SaslError> {
    let attribute = attributes.next().ok_or(SaslError::Malformed)?;
    if attribute.starts_with("m=") {
        return Err(SaslError::Extension);
    }
    value(attribute, name)
}

fn value(attribute: &str, name: char) -> Result<&str, SaslError> {
    attribute
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='))
        .filter(|value| !value.is_empty())
        .ok_or(SaslError::Malformed)
}

/// Optional extensions are skipped when they are well formed; mandatory ones are refused.
fn ignore(extension: &str) -> Result<(), SaslError> {
    let (name, value) = extension.split_once('=').ok_or(SaslError::Malformed)?;
    match name.as_bytes() {
        b"m" => Err(SaslError::Extension),
        [letter] if letter.is_ascii_alphabetic() && !value.is_empty() => Ok(()),
        _ => Err(SaslError::Malformed),
    }
}

fn nonce(text: &str) -> Result<&str, SaslError> {
    if text.len() > limits::NONCE_BYTES {
        return Err(SaslError::TooLong);
    }
    if text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b',') {
        Ok(text)
    } else {
        Err(SaslError::Malformed)
    }
}

fn binding_name(text: &str) -> Result<&str, SaslError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if text.bytes().all(fits) { Ok(text) } else { Err(SaslError::Malformed) }
}

fn number(text: &str) -> Result<u32, SaslError> {
    if text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SaslError::Malformed);
    }
    text.parse().map_err(|_| SaslError::Iterations)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_with_commas_and_equals_signs_survive() {
        let first = ClientFirst::parse("n,a=x=2Cy,n=a=3Db=2Cc,r=abc").unwrap();
        assert_eq!(first.authzid.as_deref(), Some("x,y"));
        assert_eq!(first.username, "a=b,c");
        assert_eq!(escape("a=b,c"), "a=3Db=2Cc");
        assert_eq!(first.gs2, "n,a=x=2Cy,");
        assert_eq!(first.bare, "n=a=3Db=2Cc,r=abc");
    }

    #[test]
    fn mandatory_extensions_are_refused_and_optional_ones_skipped() {
        let parse = |text| ClientFirst::parse(text).map(|_| ());
        assert_eq!(parse("n,,m=x,n=a,r=b"), Err(SaslError::Extension));
        assert_eq!(parse("n,,n=a,r=b,m=x"), Err(SaslError::Extension));
        assert_eq!(parse("n,,n=a,r=b,z=optional"), Ok(()));
        let server = ServerFirst::parse("m=x,r=a,s=QQ==,i=4096");
        assert_eq!(server.map(|_| ()), Err(SaslError::Extension));
    }

    #[test]
    fn malformed_first_messages_are_refused() {
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "x,,n=a,r=b",
            "p=,,n=a,r=b",
            "p=a b,,n=a,r=b",
            "n,b=c,n=a,r=b",
            "n,a=,n=a,r=b",
            "n,,n=,r=b",
            "n,,n=a",
            "n,,n=a,r=",
            "n,,r=b,n=a",
            "n,,n=a=2c,r=b",
            "n,,n=a=,r=b",
            "n,,n=a,r=b c",
            "n,,n=a,r=b,",
            "n,,n=a,r=b,z",
            "n,,n=a,r=b,zz=1",
        ] {
            assert_eq!(ClientFirst::parse(bad).err(), Some(SaslError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn nonce_length_is_bounded() {
        let first = |length| ClientFirst::parse(&format!("n,,n=a,r={}", "x".repeat(length))).err();
        assert_eq!(first(limits::NONCE_BYTES - 1), None);
        assert_eq!(first(limits::NONCE_BYTES), None);
        assert_eq!(first(limits::NONCE_BYTES + 1), Some(SaslError::TooLong));
    }

    #[test]
    fn salt_length_is_bounded() {
        let salt = |length: usize| {
            let text = crate::sasl::encode_base64(&vec![1; length]);
            ServerFirst::parse(&format!("r=a,s={text},i=4096")).err()
        };
        assert_eq!(salt(limits::SALT_BYTES - 1), None);
        assert_eq!(salt(limits::SALT_BYTES), None);
        assert_eq!(salt(limits::SALT_BYTES + 1), Some(SaslError::TooLong));
    }

    #[test]
    fn message_length_is_bounded() {
        assert!(text(&[b'a'; limits::MESSAGE_BYTES - 1]).is_ok());
        assert!(text(&[b'a'; limits::MESSAGE_BYTES]).is_ok());
        assert_eq!(text(&[b'a'; limits::MESSAGE_BYTES + 1]), Err(SaslError::TooLong));
        assert_eq!(text(b"a\0b"), Err(SaslError::Malformed));
        assert_eq!(text(b"\xff"), Err(SaslError::Malformed));
    }

    #[test]
    fn iteration_counts_are_plain_decimal_numbers() {
        let count = |text| ServerFirst::parse(text).map(|first| first.iterations);
        assert_eq!(count("r=a,s=QQ==,i=4096"), Ok(4096));
        assert_eq!(count("r=a,s=QQ==,i=04096"), Err(SaslError::Malformed));
        assert_eq!(count("r=a,s=QQ==,i=+4096"), Err(SaslError::Malformed));
        assert_eq!(count("r=a,s=QQ==,i=99999999999"), Err(SaslError::Iterations));
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "\\PC{1,40}") {
            let message = format!("n,,n={},r=x", escape(&name));
            prop_assert_eq!(ClientFirst::parse(&message).unwrap().username, name);
        }

        #[test]
        fn no_input_panics(input in ".{0,120}") {
            let _ = ClientFirst::parse(&input);
            let _ = ServerFirst::parse(&input);
            let _ = ClientFinal::parse(&input);
            let _ = server_signature(&input);
        }
    }
}
