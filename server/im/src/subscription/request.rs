//! Requests as they are kept, and how many an account may make.

use crate::limits::{SUBSCRIPTION_WINDOW, SUBSCRIPTIONS};
use longwire_core::store::record::{Reader, put_u64};
use longwire_core::store::{Record, RecordError};
use longwire_core::xml::{Context, Limits};
use longwire_stanza::Stanza;

/// Reads a kept request.
pub(super) fn read(kept: &[u8]) -> Option<Stanza> {
    Stanza::parse(kept.to_vec().into(), &Context::client(), &Limits::SERVER).ok()
}

/// When an account asked for its latest subscriptions, in microseconds of the wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    at: Vec<u64>,
}

impl Asked {
    /// One more request; `None` when there were too many lately.
    ///
    /// Times in the future are those of a clock that was wrong, and are forgotten.
    pub(super) fn again(mut self, now: u64) -> Option<Self> {
        let window = u64::try_from(SUBSCRIPTION_WINDOW.as_micros()).unwrap_or(u64::MAX);
        self.at.retain(|at| now.checked_sub(*at).is_some_and(|age| age < window));
        if self.at.len() >= SUBSCRIPTIONS {
            return None;
        }
        self.at.push(now);
        Some(self)
    }
}

impl Record for Asked {
    fn encode(&self, out: &mut Vec<u8>) {
        for at in &self.at {
            put_u64(out, *at);
        }
    }

    fn decode(_: u16, bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let mut at = Vec::new();
        while !reader.is_empty() {
            at.push(reader.u64()?);
        }
        Ok(Self { at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn an_hour_has_room_for_the_limit_and_no_more() {
        let mut asked = Asked::default();
        for count in 1..=SUBSCRIPTIONS {
            asked = asked.again(HOUR + count as u64).unwrap();
        }
        assert_eq!(asked.clone().again(2 * HOUR), None);
        let later = asked.again(2 * HOUR + 1).unwrap();
        assert_eq!(later.at.len(), SUBSCRIPTIONS);
    }

    #[test]
    fn a_clock_that_went_back_does_not_block_forever() {
        let mut asked = Asked::default();
        for _ in 0..SUBSCRIPTIONS {
            asked = asked.again(100 * HOUR).unwrap();
        }
        assert!(asked.again(HOUR).is_some());
    }

    #[test]
    fn the_times_come_back_from_the_store() {
        let asked = Asked { at: vec![1, HOUR, u64::MAX] };
        let mut bytes = Vec::new();
        asked.encode(&mut bytes);
        assert_eq!(Asked::decode(1, &bytes), Ok(asked));
    }
}
