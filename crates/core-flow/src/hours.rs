//! Whether it is open at an instant: local time in the rules of the time zones that are built in, so
//! that every machine gives the same answer.

use core_types::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::definition::{BusinessHours, Closure, Opening};
use crate::problem::quote;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Business hours, read.
#[derive(Debug)]
pub(crate) struct Hours {
    zone: TimeZone,
    /// From Monday on: from and to in minutes since midnight; a `to` behind [`DAY`] is on the next
    /// day.
    week: [Vec<(u16, u16)>; 7],
    /// First and last day.
    closures: Vec<(Date, Date)>,
}

/// What cannot be read, and where.
pub(crate) struct Unreadable {
    /// Inside the settings: `open[0].from`.
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
}

impl Hours {
    /// Reads them; everything that cannot be read.
    pub(crate) fn read(hours: &BusinessHours) -> Result<Self, Vec<Unreadable>> {
        let mut wrong = Vec::new();
        let zone = TimeZoneDatabase::bundled().get(&hours.time_zone);
        if zone.is_err() {
            wrong.push(Unreadable {
                field: "time_zone".to_owned(),
                message: format!("there is no time zone `{}`", quote(&hours.time_zone)),
                remedy: "use an IANA name such as Europe/Berlin",
            });
        }
        let mut week: [Vec<(u16, u16)>; 7] = Default::default();
        for (index, opening) in hours.open.iter().enumerate() {
            match span(opening) {
                Ok(span) => {
                    for day in &opening.days {
                        week[*day as usize].push(span);
                    }
                }
                Err((part, text)) => wrong.push(Unreadable {
                    field: format!("open[{index}].{part}"),
                    message: format!("`{}` is no time of day", quote(text)),
                    remedy: "write 09:00; the end may be 24:00",
                }),
            }
        }
        let mut closures = Vec::new();
        for (index, closure) in hours.closures.iter().enumerate() {
            match days(closure) {
                Some(days) => closures.push(days),
                None => wrong.push(Unreadable {
                    field: format!("closures[{index}]"),
                    message: "these are no days".to_owned(),
                    remedy: "write 2026-12-24, the first day before the last",
                }),
            }
        }
        match zone {
            Ok(zone) if wrong.is_empty() => Ok(Self {
                zone,
                week,
                closures,
            }),
            _ => Err(wrong),
        }
    }

    /// Whether it is open at `now`.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_microsecond(now.as_micros()) else {
            return false;
        };
        let local = instant.to_zoned(self.zone.clone());
        let (date, time) = (local.date(), local.time());
        let part = |number: i8| u16::from(number.unsigned_abs());
        let minute = part(time.hour()) * 60 + part(time.minute());
        self.holds(date, minute)
            || date
                .yesterday()
                .is_ok_and(|before| self.holds(before, minute + DAY))
    }

    /// Whether an opening that begins on `date` goes on `minute` minutes after its midnight.
    fn holds(&self, date: Date, minute: u16) -> bool {
        let closed = |(first, last): &(Date, Date)| (*first..=*last).contains(&date);
        let day = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        let mut spans = self.week[day].iter();
        let open = spans.any(|(from, to)| (*from..*to).contains(&minute));
        open && !self.closures.iter().any(closed)
    }
}

fn span(opening: &Opening) -> Result<(u16, u16), (&'static str, &str)> {
    let from = minutes(&opening.from).filter(|from| *from < DAY);
    let from = from.ok_or(("from", &*opening.from))?;
    let to = minutes(&opening.to).ok_or(("to", &*opening.to))?;
    Ok((from, if to <= from { to + DAY } else { to }))
}

/// `09:30` → 570; at most 24:00.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

fn days(closure: &Closure) -> Option<(Date, Date)> {
    let date = |text: &str| {
        let plain = text.len() == 10;
        plain.then(|| text.parse::<Date>().ok()).flatten()
    };
    let first = date(&closure.from)?;
    let last = match &closure.to {
        Some(to) => date(to)?,
        None => first,
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        let hours: BusinessHours = serde_json::from_str(text).unwrap();
        Hours::read(&hours).map_err(|wrong| wrong.len()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(instant.as_microsecond())
    }

    #[test]
    fn hours_are_local_and_days_of_closure_count() {
        let berlin = hours(
            r#"{"time_zone":"Europe/Berlin",
                "open":[{"days":["monday","friday"],"from":"09:00","to":"17:30"}],
                "closures":[{"from":"2026-12-24","to":"2027-01-02"},{"from":"2026-11-27"}]}"#,
        );
        for (instant, open) in [
            // In winter an hour, in summer two before Greenwich.
            ("2026-11-30T07:59:59Z", false),
            ("2026-11-30T08:00:00Z", true),
            ("2026-11-30T16:29:59Z", true),
            ("2026-11-30T16:30:00Z", false),
            ("2026-07-06T07:00:00Z", true),
            ("2026-07-06T06:59:59Z", false),
            ("2026-12-01T10:00:00Z", false),
            ("2026-11-27T10:00:00Z", false),
            ("2026-12-25T10:00:00Z", false),
            ("2027-01-01T10:00:00Z", false),
            ("2027-01-04T10:00:00Z", true),
        ] {
            assert_eq!(berlin.is_open(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours(
            r#"{"time_zone":"UTC","open":[{"days":["saturday"],"from":"22:00","to":"06:00"}],
                "closures":[{"from":"2026-12-06"}]}"#,
        );
        for (instant, open) in [
            ("2026-12-05T21:59:00Z", false),
            ("2026-12-05T22:00:00Z", true),
            // Sunday is a day of closure; what began on Saturday goes on.
            ("2026-12-06T05:59:00Z", true),
            ("2026-12-06T06:00:00Z", false),
            ("2026-12-06T22:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(instant)), open, "{instant}");
        }
        let always = hours(
            r#"{"time_zone":"UTC","open":[{"days":["monday","tuesday","wednesday","thursday","friday",
                "saturday","sunday"],"from":"00:00","to":"24:00"}]}"#,
        );
        assert!(
            always.is_open(at("2026-12-06T23:59:59Z"))
                && always.is_open(at("2026-12-07T00:00:00Z"))
        );
        assert!(!always.is_open(Timestamp::from_micros(i64::MAX)));
    }

    #[test]
    fn the_hour_that_a_clock_skips_and_the_one_it_repeats() {
        let new_york = hours(
            r#"{"time_zone":"America/New_York",
                "open":[{"days":["sunday"],"from":"01:30","to":"02:30"}]}"#,
        );
        for (instant, open) in [
            // 8 March 2026: after 01:59 comes 03:00.
            ("2026-03-08T06:30:00Z", true),
            ("2026-03-08T06:59:00Z", true),
            ("2026-03-08T07:00:00Z", false),
            // 1 November 2026: 01:30 comes twice.
            ("2026-11-01T05:30:00Z", true),
            ("2026-11-01T06:10:00Z", false),
            ("2026-11-01T06:30:00Z", true),
            ("2026-11-01T07:29:00Z", true),
            ("2026-11-01T07:30:00Z", false),
        ] {
            assert_eq!(new_york.is_open(at(instant)), open, "{instant}");
        }
    }
}
