//! Points in time as text (XEP-0082).

use std::fmt;
use std::str::FromStr;

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 9999-12-31T23:59:59.999999Z, the last moment that four digits of a year can name.
const LAST: i64 = 253_402_300_799_999_999;
/// 0000-01-01T00:00:00Z, the first one.
const FIRST: i64 = -62_167_219_200_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// Written in UTC, with as many digits behind the second as are needed: none, three or six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(i64);

/// The text is not a date and time of XEP-0082 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date and time as XEP-0082 defines it")]
pub struct NotADateTime;

impl Stamp {
    /// A point in time, held within the years 0 to 9999.
    pub const fn from_micros(micros: i64) -> Self {
        let micros = if micros > LAST { LAST } else { micros };
        Self(if micros < FIRST { FIRST } else { micros })
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The same moment without what is smaller than a second.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self(self.0.div_euclid(MICROS) * MICROS)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) = (self.0.div_euclid(MICROS), self.0.rem_euclid(MICROS));
        let (year, month, day) = date_of(seconds.div_euclid(DAY_SECONDS));
        let second = seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match (fraction % 1000, fraction) {
            (0, 0) => {}
            (0, _) => write!(f, ".{:03}", fraction / 1000)?,
            _ => write!(f, ".{fraction:06}")?,
        }
        f.write_str("Z")
    }
}

impl FromStr for Stamp {
    type Err = NotADateTime;

    fn from_str(text: &str) -> Result<Self, NotADateTime> {
        parse(text).ok_or(NotADateTime)
    }
}

fn parse(text: &str) -> Option<Stamp> {
    let bytes = text.as_bytes();
    let date = (field(bytes, 0, 4)?, field(bytes, 5, 2)?, field(bytes, 8, 2)?);
    let time = (field(bytes, 11, 2)?, field(bytes, 14, 2)?, field(bytes, 17, 2)?);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
        return None;
    }
    let (year, month, day) = date;
    let (hour, minute, second) = time;
    // A leap second is counted as the second before it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_of(year, month, day)?;
    let (micros, zone) = fraction(text.get(19..)?)?;
    let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second.min(59) - zone_of(zone)?;
    let micros = seconds * MICROS + micros;
    (FIRST..=LAST).contains(&micros).then_some(Stamp(micros))
}

fn field(bytes: &[u8], at: usize, digits: usize) -> Option<i64> {
    bytes.get(at..at + digits)?.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Splits `.123456Z` into microseconds and the zone; further digits are cut off.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, zone) = rest.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    let micros = number.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some((micros.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), zone))
}

/// The seconds by which a zone is ahead of UTC.
fn zone_of(zone: &str) -> Option<i64> {
    let (sign, bytes) = match zone.as_bytes() {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = (field(bytes, 0, 2)?, field(bytes, 3, 2)?);
    let sound = bytes.len() == 5 && bytes.get(2) == Some(&b':') && hours < 24 && minutes < 60;
    sound.then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The date of a day counted from 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments_are_written_as_the_specification_does() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-14_159_025_000_000, "1969-07-21T02:56:15Z"),
            (1_031_618_705_000_000, "2002-09-10T00:45:05Z"),
            (951_782_400_123_000, "2000-02-29T00:00:00.123Z"),
            (951_782_400_123_456, "2000-02-29T00:00:00.123456Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
            (FIRST, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(Stamp::from_micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Stamp::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn zones_and_long_fractions_are_understood() {
        let utc: Stamp = "1969-07-21T02:56:15Z".parse().unwrap();
        assert_eq!("1969-07-20T21:56:15-05:00".parse(), Ok(utc));
        assert_eq!("1969-07-21T02:56:15.0000009Z".parse(), Ok(utc));
        assert_eq!("2016-12-31T23:59:60Z".parse(), "2016-12-31T23:59:59Z".parse::<Stamp>());
    }

    #[test]
    fn what_is_not_a_moment_is_refused() {
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00Zulu",
            "0000-01-01T00:00:00+01:00",
            "20020910T17:58:35",
            "+970-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Stamp>(), Err(NotADateTime), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_survives_the_text(micros in FIRST..=LAST) {
            let stamp = Stamp::from_micros(micros);
            prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Stamp>();
        }
    }
}
