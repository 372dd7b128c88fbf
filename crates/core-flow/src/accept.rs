//! What a question without choices takes for an answer, and the one form in which each kind is kept:
//! people write numbers, dates and telephone numbers in many ways.

use core_types::{Content, MediaKind};

use crate::answer::{Answer, ascii_digits};
use crate::definition::Accept;
use crate::limits::MAX_ANSWER;

/// Most digits of a number: more would not survive arithmetic.
const NUMBER_DIGITS: usize = 15;

/// The answer in the form in which it is kept, if it is one.
pub(crate) fn accepted(accept: &Accept, content: &Content, answer: Answer<'_>) -> Option<String> {
    match (accept, content) {
        (Accept::Location {}, Content::Location(place)) => {
            return Some(format!("{},{}", place.latitude, place.longitude));
        }
        (Accept::Media { kinds }, Content::Media(media)) if kinds.contains(&media.kind) => {
            return media.id.clone().or_else(|| media.link.clone());
        }
        _ => {}
    }
    let written = answer.text().trim();
    if written.is_empty() {
        return None;
    }
    match accept {
        Accept::Text { least, most } => {
            let length = written.chars().count();
            let most = usize::try_from(*most).unwrap_or(MAX_ANSWER);
            // What is longer than WhatsApp lets a customer write is cut, not refused.
            let fits = u64::from(*least) <= length as u64 && (length <= most || most >= MAX_ANSWER);
            fits.then(|| written.chars().take(MAX_ANSWER).collect())
        }
        Accept::Digits {
            least,
            most,
            finish,
        } => digits(written, finish.as_deref())
            .filter(|it| (*least..=*most).contains(&(it.len() as u32))),
        Accept::Number { least, most, whole } => {
            let number = number(written)?;
            let value: f64 = number.parse().ok()?;
            let above = least.is_none_or(|least| value >= least as f64);
            let below = most.is_none_or(|most| value <= most as f64);
            (above && below && !(*whole && number.contains('.'))).then_some(number)
        }
        Accept::Email {} => email(written),
        Accept::Phone {} => phone(written),
        Accept::Url {} => url(written),
        Accept::Date { month_first } => date(written, *month_first),
        Accept::Time {} => time(written),
        Accept::Location {} | Accept::Media { .. } => None,
    }
}

/// `4711 #` → `4711`: digits of any script, without the signs people put between them.
fn digits(text: &str, finish: Option<&str>) -> Option<String> {
    let text = finish.map_or(text, |finish| text.strip_suffix(finish).unwrap_or(text));
    let plain = ascii_digits(text);
    let kept = plain
        .chars()
        .filter(|c| !(c.is_whitespace() || matches!(c, '-' | '.' | '/' | '(' | ')')));
    let kept: String = kept.collect();
    kept.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(kept)
}

/// `1.234,50` → `1234.5`. Of `.` and `,` the later is the decimal sign; a single one before exactly
/// three digits separates thousands, unless nothing but a zero stands before it. Spaces and
/// apostrophes separate thousands.
pub(crate) fn number(text: &str) -> Option<String> {
    let group = |c: char| {
        if c.is_whitespace() || matches!(c, '\'' | '’') {
            '_'
        } else {
            c
        }
    };
    let plain: String = ascii_digits(text).trim().chars().map(group).collect();
    let (sign, plain) = match plain.strip_prefix(['-', '−']) {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let plain = plain.trim_matches('_').trim_end_matches('.');
    let (whole, rest) = match decimal_sign(plain) {
        Some(at) => (&plain[..at], &plain[at + 1..]),
        None => (plain, ""),
    };
    let whole = match (whole, rest) {
        ("", "") => return None,
        ("", _) => "0".to_owned(),
        (whole, _) => ungrouped(whole)?,
    };
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) || whole.len() + rest.len() > NUMBER_DIGITS {
        return None;
    }
    let (whole, rest) = (whole.trim_start_matches('0'), rest.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if whole == "0" && rest.is_empty() {
        ""
    } else {
        sign
    };
    Some(if rest.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{rest}")
    })
}

/// Where the decimal sign stands, if there is one.
fn decimal_sign(text: &str) -> Option<usize> {
    let last = text.rfind(['.', ','])?;
    let sign = text.as_bytes()[last];
    let before = &text[..last];
    let others = before.contains(['.', ',', '_']);
    if before.as_bytes().contains(&sign) {
        // The same sign again: thousands all of them.
        return None;
    }
    let three = text.len() - last - 1 == 3;
    let group = (1..=3).contains(&before.len()) && !before.starts_with('0');
    (others || !(three && group)).then_some(last)
}

/// Digits without the signs between groups of three, which are all the same.
fn ungrouped(text: &str) -> Option<String> {
    const SIGNS: [char; 3] = ['.', ',', '_'];
    let mut groups = text.split(SIGNS);
    let first = groups.next().unwrap_or_default();
    let mut signs = text.matches(SIGNS);
    let sign = signs.next();
    if signs.any(|other| Some(other) != sign) {
        return None;
    }
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        digits.push_str(group);
    }
    let known = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (known && (sign.is_none() || (1..=3).contains(&first.len()))).then_some(digits)
}

/// One `@`, something before it, and a name with a dot behind it. The name in small letters.
pub(crate) fn email(text: &str) -> Option<String> {
    let text = text.trim_matches(['<', '>', '.', ',', ';', '"', '\'']);
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '@' | ',' | ';' | '<' | '>')
    };
    let good = (1..=64).contains(&local.len()) && local.chars().all(plain) && is_host(domain);
    good.then(|| format!("{local}@{}", domain.to_lowercase()))
}

/// 7 to 15 digits (E.164), with a `+` where the country's code is certain to be there.
pub(crate) fn phone(text: &str) -> Option<String> {
    // The zero in `+49 (0) 30` is dialled from inside the country only.
    let plain = ascii_digits(text).replace("(0)", "");
    let plain = plain.trim().trim_start_matches('(');
    let abroad = plain.strip_prefix('+').or_else(|| plain.strip_prefix("00"));
    let (plus, rest) = abroad.map_or(("", plain), |rest| ("+", rest));
    let number = digits(rest, None)?;
    if !plus.is_empty() && number.starts_with('0') {
        return None;
    }
    (7..=15)
        .contains(&number.len())
        .then(|| format!("{plus}{number}"))
}

/// `http` or `https`; without either, https is meant. No login: what stands before an `@` is there to
/// be taken for the host.
pub(crate) fn url(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) || text.len() > 2_000 {
        return None;
    }
    let letters = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if letters(scheme) => (scheme.to_lowercase(), rest),
        _ => ("https".to_owned(), text),
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok().filter(|port| *port > 0)),
        None => (authority, Some(443)),
    };
    let known = matches!(scheme.as_str(), "http" | "https") && port.is_some() && is_host(name);
    known.then(|| format!("{scheme}://{rest}"))
}

fn is_host(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let top = |last: &&str| {
        let letters = last.chars().all(char::is_alphabetic) && last.chars().count() >= 2;
        letters || last.to_lowercase().starts_with("xn--")
    };
    let last = labels.last().is_some_and(top);
    labels.len() >= 2 && name.len() <= 253 && labels.iter().all(label) && last
}

/// `2026-11-30`, or day, month and year with `.`, `/` or `-` between them. Two digits of a year are
/// of this century.
pub(crate) fn date(text: &str, month_first: bool) -> Option<String> {
    let plain = ascii_digits(text);
    let parts: Vec<&str> = plain
        .trim()
        .trim_end_matches('.')
        .split(['.', '/', '-'])
        .collect();
    let [first, second, third] = parts.as_slice() else {
        return None;
    };
    let number = |text: &str| {
        let text = text.trim();
        let short = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        short.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (a, b, c) = (number(first)?, number(second)?, number(third)?);
    let (year, month, day) = match (first.trim().len(), third.trim().len()) {
        (4, _) => (a, b, c),
        (_, 2 | 4) if month_first => (c, a, b),
        (_, 2 | 4) => (c, b, a),
        _ => return None,
    };
    let year = if year < 100 { year + 2_000 } else { year };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    ((1_900..=2_199).contains(&year) && (1..=days).contains(&day))
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `14:30`, `14.30`, `14h30`, `14 Uhr`, `2 pm`, `2:30 p.m.`.
pub(crate) fn time(text: &str) -> Option<String> {
    let mut plain = ascii_digits(text).to_lowercase();
    plain.retain(|c| !c.is_whitespace());
    for (written, short) in [
        ("uhr", "h"),
        ("p.m.", "pm"),
        ("a.m.", "am"),
        ("p.m", "pm"),
        ("a.m", "am"),
    ] {
        plain = plain.replace(written, short);
    }
    let (half, rest) = match &*plain {
        plain if plain.ends_with("pm") => (Some(12), &plain[..plain.len() - 2]),
        plain if plain.ends_with("am") => (Some(0), &plain[..plain.len() - 2]),
        plain => (None, plain),
    };
    let (rest, spoken) = match rest.strip_suffix('h') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let number = |text: &str| {
        let digits =
            (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok()).flatten()
    };
    let (hour, minute) = match rest.split_once([':', '.', 'h']) {
        Some((hours, minutes)) if minutes.len() == 2 => (number(hours)?, number(minutes)?),
        // A lone number is an hour only with `pm` or `h` behind it.
        None if half.is_some() || spoken => (number(rest)?, 0),
        Some(_) | None => return None,
    };
    let hour = match half {
        Some(offset) if (1..=12).contains(&hour) => hour % 12 + offset,
        Some(_) => return None,
        None => hour,
    };
    (hour < 24 && minute < 60).then(|| format!("{hour:02}:{minute:02}"))
}

/// Whether a text is a day or a time of day in the form in which answers keep them.
pub(crate) fn is_moment(text: &str) -> bool {
    [date(text, false), time(text)]
        .iter()
        .flatten()
        .any(|kept| kept == text)
}

/// Every kind of media a question may take.
pub(crate) const MEDIA: [MediaKind; 5] = [
    MediaKind::Image,
    MediaKind::Video,
    MediaKind::Audio,
    MediaKind::Document,
    MediaKind::Sticker,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: impl Fn(&str) -> Option<String>, cases: &[(&str, &str)]) {
        for (text, wanted) in cases {
            let wanted = (!wanted.is_empty()).then(|| (*wanted).to_owned());
            assert_eq!(reader(text), wanted, "{text}");
        }
    }

    #[test]
    fn numbers_in_the_ways_people_write_them() {
        read(
            number,
            &[
                ("42", "42"),
                ("-3", "-3"),
                ("+7", "7"),
                ("1,5", "1.5"),
                ("1.50", "1.5"),
                ("1.234,50", "1234.5"),
                ("1,234.50", "1234.5"),
                ("1 234", "1234"),
                ("1'234'567", "1234567"),
                ("1,500", "1500"),
                ("1.500.000", "1500000"),
                ("0,500", "0.5"),
                ("٤٢", "42"),
                ("-0", "0"),
                ("007", "7"),
                (".5", "0.5"),
                ("5.", "5"),
                ("1 234 567,5", "1234567.5"),
                ("2 3", ""),
                ("10 20", ""),
                ("5'6", ""),
                ("1.234,567.890", ""),
                ("1.2.3", ""),
                ("12,34,567", ""),
                ("1e9", ""),
                ("ten", ""),
                ("", ""),
                (".", ""),
                ("1234567890123456", ""),
            ],
        );
    }

    #[test]
    fn dates_and_times() {
        read(
            |text| date(text, false),
            &[
                ("2026-11-30", "2026-11-30"),
                ("30.11.2026", "2026-11-30"),
                ("3/1/26", "2026-01-03"),
                ("29.2.2028", "2028-02-29"),
                ("29.2.2026", ""),
                ("31.4.2026", ""),
                ("13.13.2026", ""),
                ("1.1.99999", ""),
                ("tomorrow", ""),
            ],
        );
        read(
            |text| date(text, true),
            &[("11/30/2026", "2026-11-30"), ("30/11/2026", "")],
        );
        read(
            time,
            &[
                ("14:30", "14:30"),
                ("9.05", "09:05"),
                ("14h", "14:00"),
                ("14h30", "14:30"),
                ("2 pm", "14:00"),
                ("12:15 AM", "00:15"),
                ("2:30 p.m.", "14:30"),
                ("14:30 Uhr", "14:30"),
                ("14 Uhr", "14:00"),
                ("9 Uhr 30", "09:30"),
                ("14:30 h", "14:30"),
                ("2:30\u{202F}PM", "14:30"),
                ("2 p.m", "14:00"),
                ("14", ""),
                ("24:00", ""),
                ("14:3", ""),
                ("13 pm", ""),
                ("noon", ""),
            ],
        );
    }

    #[test]
    fn addresses_and_numbers_to_call() {
        read(
            email,
            &[
                ("Ann.Lee+x@Example.COM", "Ann.Lee+x@example.com"),
                ("<a@b.co>", "a@b.co"),
                ("a@b", ""),
                ("a b@c.de", ""),
                ("@c.de", ""),
                ("a@b@c.de", ""),
                ("a@-b.de", ""),
            ],
        );
        read(
            phone,
            &[
                ("+49 (30) 123-4567", "+49301234567"),
                ("0049 30 1234567", "+49301234567"),
                ("030 / 1234567", "0301234567"),
                ("+49 (0) 30 1234567", "+49301234567"),
                ("(+49) 30 1234567", "+49301234567"),
                ("+0000000", ""),
                ("123", ""),
                ("+1234567890123456", ""),
                ("call me", ""),
            ],
        );
        read(
            url,
            &[
                ("example.com/a", "https://example.com/a"),
                ("HTTP://example.com", "http://example.com"),
                ("example.com:8080", "https://example.com:8080"),
                (
                    "example.com/?next=https://a.de",
                    "https://example.com/?next=https://a.de",
                ),
                (
                    "https://xn--e1afmkfd.xn--p1ai/",
                    "https://xn--e1afmkfd.xn--p1ai/",
                ),
                ("https://google.com:x@evil.example/", ""),
                ("https://google.com@evil.example/", ""),
                ("example.com:99999", ""),
                ("javascript://x.yz", ""),
                ("localhost", ""),
                ("1.2.3.4", ""),
                ("a b.com", ""),
            ],
        );
        read(
            |text| digits(text, Some("#")),
            &[("47 11#", "4711"), ("４７", "47"), ("47a", "")],
        );
    }
}
