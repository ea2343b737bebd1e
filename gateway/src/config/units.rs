//! Values with units: `"10m"`, `"256KiB"`, `"64kbit/s"`.
//!
//! A bare number is refused: a reader of a configuration should not have to know whether 30 means
//! seconds or milliseconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A length of time such as `"30s"`, `"10m"` or `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A number of bytes such as `"256KiB"` or `"64kB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// A transfer rate such as `"64kbit/s"` or `"64kB/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The span as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl ByteSize {
    /// A size in bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size in units of 1,024 bytes.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    #[must_use]
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Rate {
    /// A rate in bytes per second.
    #[must_use]
    pub const fn bytes_per_second(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The rate in bytes per second.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Units of [`Span`], in milliseconds.
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of [`ByteSize`], in bytes.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Units of [`Rate`], in bits per second.
const RATE_UNITS: &[(&str, u64)] = &[
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("B/s", 8),
    ("kB/s", 8_000),
    ("KiB/s", 8 << 10),
    ("MB/s", 8_000_000),
    ("MiB/s", 8 << 20),
];

/// Splits `"10m"` into 10 and the rest that begins with the unit.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..end)?.parse().ok()?, text.get(end..)?.trim_start()))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*scale)
}

fn parse_span(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = leading_number(rest)?;
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let (_, scale) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*scale)?)?;
        rest = next.trim_start();
    }
    (!text.trim().is_empty()).then(|| Span(Duration::from_millis(total)))
}

struct Units<T> {
    parse: fn(&str) -> Option<T>,
    what: &'static str,
    example: &'static str,
}

impl<T> de::Visitor<'_> for Units<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with its unit, in quotes, for example {}", self.what, self.example)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r#""30s", "10m", "1h30m" or "7d""#;
        deserializer.deserialize_str(Units { parse: parse_span, what: "a length of time", example })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| scaled(text, SIZE_UNITS).map(Self);
        let example = r#""16KiB", "64kB" or "2MiB""#;
        deserializer.deserialize_str(Units { parse, what: "a size", example })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| scaled(text, RATE_UNITS).map(|bits| Self(bits / 8));
        let example = r#""64kbit/s", "64kB/s" or "2Mbit/s""#;
        deserializer.deserialize_str(Units { parse, what: "a rate", example })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        assert_eq!(parse_span("10m"), Some(Span::seconds(600)));
        assert_eq!(parse_span("1h30m"), Some(Span::seconds(5_400)));
        assert_eq!(parse_span(" 250ms "), Some(Span(Duration::from_millis(250))));
        assert_eq!(parse_span("7d"), Some(Span::seconds(604_800)));
    }

    #[test]
    fn sizes_tell_1000_from_1024() {
        assert_eq!(scaled("256KiB", SIZE_UNITS), Some(262_144));
        assert_eq!(scaled("64kB", SIZE_UNITS), Some(64_000));
        assert_eq!(scaled("2 MiB", SIZE_UNITS), Some(2 << 20));
    }

    #[test]
    fn rates_know_bits_and_bytes() {
        assert_eq!(scaled("64kbit/s", RATE_UNITS), Some(64_000));
        assert_eq!(scaled("64kB/s", RATE_UNITS), Some(512_000));
    }

    #[test]
    fn a_value_without_a_known_unit_is_refused() {
        for bad in ["", "10", "ten seconds", "10 parsecs", "-3s", "1.5h", "99999999999999999d"] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
        for bad in ["", "16", "16kib", "16 K", "KiB", "18446744073709551615KiB"] {
            assert_eq!(scaled(bad, SIZE_UNITS), None, "{bad}");
        }
        assert_eq!(scaled("64kbps", RATE_UNITS), None);
    }
}
