//! Points in time: whole microseconds since the Unix epoch, UTC. Zones belong to calendars
//! (opening hours, rate cards), never to a timestamp.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z. Never before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A text or number that is not a point in time Frontdesk accepts (1970 to 9999).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time between 1970 and 9999")]
pub struct TimestampError(pub String);

/// 9999-12-31T23:59:59Z, the last second a protobuf timestamp can hold.
const LAST_SECOND: i64 = 253_402_300_799;

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since the epoch; negative values become the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    /// From whole seconds since the epoch.
    ///
    /// # Errors
    /// When the value is negative or past the year 9999.
    pub fn from_seconds(seconds: i64) -> Result<Self, TimestampError> {
        if (0..=LAST_SECOND).contains(&seconds) {
            Ok(Self(seconds * 1_000_000))
        } else {
            Err(TimestampError(seconds.to_string()))
        }
    }

    /// Parses Meta's string of Unix seconds.
    ///
    /// # Errors
    /// When the text is not a whole number of seconds between 1970 and 9999.
    pub fn parse_seconds(text: &str) -> Result<Self, TimestampError> {
        let seconds = text
            .parse::<i64>()
            .map_err(|_| TimestampError(text.to_owned()))?;
        Self::from_seconds(seconds).map_err(|_| TimestampError(text.to_owned()))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0 / 1_000_000
    }

    /// This time plus `span`, staying at the largest time on overflow.
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This time minus `span`, not before the epoch.
    pub fn minus(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(0))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-22T18:43:38.000Z`: RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, day_micros) = (
            self.0.div_euclid(86_400_000_000),
            self.0.rem_euclid(86_400_000_000),
        );
        let (year, month, day) = civil_from_days(days);
        let (seconds, millis) = (day_micros / 1_000_000, day_micros % 1_000_000 / 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// The proleptic Gregorian date of a day number counted from 1970-01-01 (days ≥ 0).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Years start on 1 March here, so the leap day is the last day of a year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        let leap = Timestamp::from_seconds(1_709_164_800).unwrap();
        assert_eq!(leap.to_string(), "2024-02-29T00:00:00.000Z");
        let late = Timestamp::from_micros(1_795_372_999_999_999);
        assert_eq!(late.to_string(), "2026-11-22T18:43:19.999Z");
    }

    #[test]
    fn meta_seconds_are_checked() {
        assert_eq!(
            Timestamp::parse_seconds("1739321024").unwrap().as_seconds(),
            1_739_321_024
        );
        for bad in [
            "",
            "-1",
            "1e9",
            "1739321024.5",
            "999999999999999",
            "17393210240000",
        ] {
            assert!(Timestamp::parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
