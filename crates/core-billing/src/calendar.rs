//! Civil dates in the account's zone: rates and months change at 00:00 there.

use std::fmt;
use std::str::FromStr;

use core_types::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The time zone of an account, from the zone data compiled into the program: the same on every
/// machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that is not a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IANA time zone such as `Europe/Berlin`")]
pub struct ZoneError(pub String);

impl Zone {
    /// The zone with an IANA name such as `America/Sao_Paulo`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse(name: &str) -> Result<Self, ZoneError> {
        TimeZoneDatabase::bundled()
            .get(name)
            .map(Self)
            .map_err(|_| ZoneError(name.to_owned()))
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The date in this zone at `at`.
    pub fn date(&self, at: Timestamp) -> Date {
        let instant =
            jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX);
        self.0.to_datetime(instant).date()
    }

    /// The month in this zone at `at`.
    pub fn month(&self, at: Timestamp) -> Month {
        Month::of(self.date(at))
    }
}

/// A calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

/// A text that is not a month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month such as `2026-11`")]
pub struct MonthError(pub String);

impl Month {
    /// The month `date` lies in.
    pub fn of(date: Date) -> Self {
        Self {
            year: date.year(),
            month: date.month(),
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = MonthError;
    fn from_str(text: &str) -> Result<Self, MonthError> {
        parse_date(&format!("{text}-01"))
            .map(Self::of)
            .ok_or_else(|| MonthError(text.to_owned()))
    }
}

/// Exactly `YYYY-MM-DD`, of 1970 or later; looser forms are refused rather than guessed at.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let date: Date = text.parse().ok()?;
    (date.to_string() == text && date.year() >= 1970).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_dates_are_strict() {
        assert_eq!("2026-11".parse::<Month>().unwrap().to_string(), "2026-11");
        for bad in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "26-11",
            "2026-11-01",
            "1812-01",
            "2026-11-01T00:00",
        ] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
        for bad in [
            "01/10/2026",
            "20261001",
            "2026-10-1",
            "2026-10-01T00:00",
            "2026-02-30",
        ] {
            assert!(parse_date(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_date_is_the_accounts_own() {
        let at = Timestamp::from_seconds(1_790_812_800).unwrap(); // 2026-10-01T00:00:00Z
        let date = |zone: &str| Zone::parse(zone).unwrap().date(at).to_string();
        assert_eq!(date("UTC"), "2026-10-01");
        assert_eq!(date("America/New_York"), "2026-09-30");
        assert_eq!(date("Asia/Kolkata"), "2026-10-01");
        assert!(Zone::parse("Mars/Olympus").is_err());
        assert!(Zone::parse("").is_err());
        assert_eq!(
            Zone::utc()
                .month(Timestamp::from_micros(i64::MAX))
                .to_string(),
            "9999-12"
        );
    }
}
