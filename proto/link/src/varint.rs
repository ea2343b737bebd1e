//! QUIC variable-length integers (RFC 9000 §16), as stream headers use them.

/// Largest value that a varint can carry.
pub const MAX: u64 = (1 << 62) - 1;

/// Reads a varint from the start of `bytes`: its value and its length.
///
/// `None` means that more bytes are needed. Longer encodings than necessary are accepted, as
/// RFC 9000 §16 allows them.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value =
        rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

/// Appends the shortest encoding of `value`; values above [`MAX`] are cut to it.
pub fn encode(value: u64, out: &mut Vec<u8>) {
    let value = value.min(MAX);
    let (length, prefix) = match value {
        0..0x40 => (1, 0u64),
        0x40..0x4000 => (2, 1),
        0x4000..0x4000_0000 => (4, 2),
        _ => (8, 3),
    };
    let tagged = value | prefix << (8 * length - 2);
    out.extend_from_slice(&tagged.to_be_bytes()[8 - length..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_9000_decode() {
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(decode(&long), Some((151_288_809_941_952_652, 8)));
        assert_eq!(decode(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        assert_eq!(decode(&[0x7b, 0xbd]), Some((15_293, 2)));
        assert_eq!(decode(&[0x25]), Some((37, 1)));
        assert_eq!(decode(&[0x40, 0x25]), Some((37, 2)));
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0x7b]), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(value in 0..=MAX) {
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            prop_assert_eq!(decode(&bytes), Some((value, bytes.len())));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}
