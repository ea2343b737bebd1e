//! Keys: typed values as bytes that sort the same way.

use crate::error::RecordError;
use crate::journal::Lsn;

/// A key of a row: encodes itself so that the bytes sort as the values do.
///
/// Every encoding ends itself, so keys can be put side by side in tuples. A type of another crate
/// becomes a key through a newtype, with [`put_str`] and the [`KeyReader`].
pub trait Key: Sized {
    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads one value.
    ///
    /// # Errors
    /// The bytes were not written by [`encode`](Self::encode): the row is damaged.
    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError>;

    /// The encoding in a buffer of its own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads a whole key.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), and when bytes are left over.
    fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = KeyReader { rest: bytes };
        let key = Self::decode(&mut reader)?;
        if reader.rest.is_empty() { Ok(key) } else { Err(RecordError::Trailing) }
    }
}

/// Reads the parts of a key one after the other.
#[derive(Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
}

impl KeyReader<'_> {
    /// Reads what [`put_str`] wrote.
    ///
    /// # Errors
    /// The bytes end early, hold an unknown escape or are not UTF-8.
    pub fn str(&mut self) -> Result<String, RecordError> {
        String::from_utf8(self.bytes()?).map_err(|_| RecordError::Malformed("text is not UTF-8"))
    }

    /// Reads what [`put_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes end early or hold an unknown escape.
    pub fn bytes(&mut self) -> Result<Vec<u8>, RecordError> {
        let mut out = Vec::with_capacity(self.rest.len().saturating_sub(2));
        loop {
            let zero = self.rest.iter().position(|byte| *byte == 0).ok_or(RecordError::Short)?;
            out.extend_from_slice(&self.rest[..zero]);
            let escape = *self.rest.get(zero + 1).ok_or(RecordError::Short)?;
            self.rest = &self.rest[zero + 2..];
            match escape {
                END => return Ok(out),
                ZERO => out.push(0),
                _ => return Err(RecordError::Malformed("escape in a key")),
            }
        }
    }

    /// Reads a fixed number of bytes.
    ///
    /// # Errors
    /// The bytes end early.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(*head)
    }
}

/// After a zero byte: the text ends here. Smaller than [`ZERO`], so that a text sorts before every
/// longer one that it starts.
const END: u8 = 0x01;
/// After a zero byte: the text holds a zero byte here.
const ZERO: u8 = 0xff;

/// Appends text that sorts byte by byte and ends itself.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends bytes that sort as they are and end themselves.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, ZERO]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, END]);
}

impl Key for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        Ok(())
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        put_str(out, self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.str()
    }
}

impl Key for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.bytes()
    }
}

impl<const N: usize> Key for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.array()
    }
}

impl Key for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.array::<1>().map(|[byte]| byte)
    }
}

impl Key for u16 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Key for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Key for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Key for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        // With the sign bit turned over, negative numbers sort first.
        self.cast_unsigned().wrapping_add(1 << 63).encode(out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        u64::decode(reader).map(|shifted| shifted.wrapping_sub(1 << 63).cast_signed())
    }
}

impl Key for Lsn {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_u64().encode(out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        u64::decode(reader).map(Self::new)
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        Ok((A::decode(reader)?, B::decode(reader)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, RecordError> {
        Ok((A::decode(reader)?, B::decode(reader)?, C::decode(reader)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    fn sorts_and_returns<K: Key + Ord + Debug>(a: &K, b: &K) -> Result<(), TestCaseError> {
        prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(b));
        prop_assert_eq!(&K::from_bytes(&a.to_bytes()).unwrap(), a);
        Ok(())
    }

    /// Bytes with many zeros and extremes, where escaping goes wrong if it does.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff), any::<u8>()];
        proptest::collection::vec(byte, 0..6)
    }

    proptest! {
        #[test]
        fn numbers_sort_as_their_bytes(a: u64, b: u64, c: i64, d: i64, e: u16, f: u16) {
            sorts_and_returns(&a, &b)?;
            sorts_and_returns(&c, &d)?;
            sorts_and_returns(&(e, a), &(f, b))?;
        }

        #[test]
        fn bytes_sort_as_their_encoding(a in bytes(), b in bytes()) {
            sorts_and_returns(&a, &b)?;
        }

        #[test]
        fn tuples_sort_by_their_first_part_first(
            a in (bytes(), bytes(), any::<u64>()),
            b in (bytes(), bytes(), any::<u64>()),
        ) {
            sorts_and_returns(&a, &b)?;
        }

        #[test]
        fn text_sorts_as_its_encoding(a: String, b: String, c: u64, d: u64) {
            sorts_and_returns(&(a.clone(), c), &(b, d))?;
            sorts_and_returns(&(a.clone(), c), &(a, d))?;
        }

        #[test]
        fn damaged_keys_are_errors_not_panics(damaged in bytes()) {
            let _ = <(String, u64)>::from_bytes(&damaged);
            let _ = <(Vec<u8>, String)>::from_bytes(&damaged);
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(u8::from_bytes(&[1, 2]), Err(RecordError::Trailing));
        assert_eq!(u64::from_bytes(&[1, 2]), Err(RecordError::Short));
        assert_eq!(String::from_bytes(b"a\0\x02"), Err(RecordError::Malformed("escape in a key")));
    }
}
