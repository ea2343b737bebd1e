//! Records: the values of rows, and a small codec to write them with.

use bytes::Bytes;

use crate::error::RecordError;

/// The value of a row.
///
/// A table has a current version, which is stored with every row. `encode` writes the current
/// layout; `decode` is told with which version the row was written and reads every layout that
/// was ever released.
pub trait Record: Sized {
    /// Appends the value in the table's current layout.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a value that was written with `version`.
    ///
    /// # Errors
    /// The version is unknown or the bytes are damaged.
    fn decode(version: u16, bytes: &[u8]) -> Result<Self, RecordError>;
}

impl Record for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() { Ok(()) } else { Err(RecordError::Trailing) }
    }
}

impl Record for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, *self);
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u64()?;
        reader.finish().map(|()| number)
    }
}

impl Record for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        str::from_utf8(bytes).map(Self::from).map_err(|_| NOT_UTF8)
    }
}

impl Record for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(bytes.to_vec())
    }
}

impl Record for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(Self::copy_from_slice(bytes))
    }
}

const NOT_UTF8: RecordError = RecordError::Malformed("text is not UTF-8");

/// Appends a number, seven bits per byte, lowest first.
pub fn put_u64(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number; small magnitudes are short.
pub fn put_i64(out: &mut Vec<u8>, number: i64) {
    put_u64(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends a truth value.
pub fn put_bool(out: &mut Vec<u8>, truth: bool) {
    out.push(u8::from(truth));
}

/// Appends bytes with their length in front.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends text with its length in front.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends text that may be absent.
pub fn put_opt_str(out: &mut Vec<u8>, text: Option<&str>) {
    put_bool(out, text.is_some());
    if let Some(text) = text {
        put_str(out, text);
    }
}

/// Reads the fields of a record in the order in which they were put; borrows what it can.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first field.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// True when every byte was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// The record ends here.
    pub fn u8(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads what [`put_u64`] wrote.
    ///
    /// # Errors
    /// The record ends early or the number has more than 64 bits.
    pub fn u64(&mut self) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(RecordError::Malformed("number too large"))
    }

    /// Reads what [`put_i64`] wrote.
    ///
    /// # Errors
    /// As [`u64`](Self::u64).
    pub fn i64(&mut self) -> Result<i64, RecordError> {
        let folded = self.u64()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// Reads what [`put_bool`] wrote.
    ///
    /// # Errors
    /// The record ends here, or the byte is neither 0 nor 1.
    pub fn bool(&mut self) -> Result<bool, RecordError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Malformed("neither true nor false")),
        }
    }

    /// Reads what [`put_bytes`] wrote.
    ///
    /// # Errors
    /// The record ends early.
    pub fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = usize::try_from(self.u64()?).map_err(|_| RecordError::Short)?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads what [`put_str`] wrote.
    ///
    /// # Errors
    /// The record ends early or the text is not UTF-8.
    pub fn str(&mut self) -> Result<&'a str, RecordError> {
        str::from_utf8(self.bytes()?).map_err(|_| NOT_UTF8)
    }

    /// Reads what [`put_opt_str`] wrote.
    ///
    /// # Errors
    /// As [`bool`](Self::bool) and [`str`](Self::str).
    pub fn opt_str(&mut self) -> Result<Option<&'a str>, RecordError> {
        if self.bool()? { self.str().map(Some) } else { Ok(None) }
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes are left after the last field.
    pub const fn finish(&self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_come_back_in_their_order(
            a: u64, b: i64, c: bool, d: String, e: Option<String>, f: Vec<u8>,
        ) {
            let mut out = Vec::new();
            put_u64(&mut out, a);
            put_i64(&mut out, b);
            put_bool(&mut out, c);
            put_str(&mut out, &d);
            put_opt_str(&mut out, e.as_deref());
            put_bytes(&mut out, &f);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.u64().unwrap(), a);
            prop_assert_eq!(reader.i64().unwrap(), b);
            prop_assert_eq!(reader.bool().unwrap(), c);
            prop_assert_eq!(reader.str().unwrap(), d);
            prop_assert_eq!(reader.opt_str().unwrap(), e.as_deref());
            prop_assert_eq!(reader.bytes().unwrap(), f);
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn damaged_records_are_errors_not_panics(damaged: Vec<u8>) {
            let mut reader = Reader::new(&damaged);
            while reader.opt_str().is_ok() && reader.i64().is_ok() && reader.bytes().is_ok() {}
        }
    }

    #[test]
    fn extremes_of_numbers_survive() {
        for number in [i64::MIN, -1, 0, 1, i64::MAX] {
            let mut out = Vec::new();
            put_i64(&mut out, number);
            assert_eq!(Reader::new(&out).i64(), Ok(number));
        }
        let mut out = Vec::new();
        put_u64(&mut out, u64::MAX);
        assert_eq!(Reader::new(&out).u64(), Ok(u64::MAX));
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(Reader::new(&bytes).u64(), Err(RecordError::Malformed("number too large")));
    }
}
