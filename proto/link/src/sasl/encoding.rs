//! Base64 as SASL wants it: canonical, padded, nothing skipped.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::error::SaslError;
use super::limits;

/// Encodes with padding (RFC 4648 §4).
pub fn encode_base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Decodes canonical base64 and refuses everything else.
///
/// # Errors
/// [`SaslError::Encoding`] for other characters, missing padding or stray bits;
/// [`SaslError::TooLong`] when the data would exceed [`limits::MESSAGE_BYTES`].
pub fn decode_base64(text: &str) -> Result<Vec<u8>, SaslError> {
    if text.len() > limits::MESSAGE_BYTES.div_ceil(3) * 4 {
        return Err(SaslError::TooLong);
    }
    let data = STANDARD.decode(text).map_err(|_| SaslError::Encoding)?;
    if data.len() > limits::MESSAGE_BYTES { Err(SaslError::TooLong) } else { Ok(data) }
}

/// Random bytes as text that fits SCRAM's nonce grammar, a stream id and an XML attribute.
pub fn nonce_text(random: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for data in [&b""[..], b"f", b"fo", b"foo", b"\xff\x00\xfe"] {
            assert_eq!(decode_base64(&encode_base64(data)).unwrap(), data);
        }
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        // Missing padding, stray bits, white space, foreign alphabet, padding in the middle.
        for bad in ["Zg", "Zh==", "Zm 8=", "Zm8=\n", "_-8=", "Zg==Zg==", "=", "===="] {
            assert_eq!(decode_base64(bad), Err(SaslError::Encoding), "{bad:?}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let at = |length: usize| decode_base64(&encode_base64(&vec![7; length]));
        assert!(at(limits::MESSAGE_BYTES - 1).is_ok());
        assert!(at(limits::MESSAGE_BYTES).is_ok());
        assert_eq!(at(limits::MESSAGE_BYTES + 1), Err(SaslError::TooLong));
        assert_eq!(at(limits::MESSAGE_BYTES + 100), Err(SaslError::TooLong));
    }
}
