//! Ids as Meta makes them: message ids that name their customer and direction, business-scoped
//! user ids, template ids.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Template ids start past 2^53, so that a reader who takes them for floating-point numbers fails
/// here and not in production.
const FIRST_TEMPLATE_ID: u64 = 9_100_000_000_000_000;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    FromBusiness,
    FromCustomer,
}

impl Direction {
    fn mark(self) -> u8 {
        match self {
            Self::FromBusiness => 0x11,
            Self::FromCustomer => 0x12,
        }
    }
}

/// A message id laid out like Meta's: the customer, the direction, twenty hexadecimal digits.
/// `count` makes it unique in this sandbox.
pub(crate) fn message_id(customer: &str, direction: Direction, count: u64) -> String {
    let customer = &customer.as_bytes()[..customer.len().min(127)];
    let digest = Sha256::digest(count.to_be_bytes());
    let mut bytes = vec![0x1c, 0x18, u8::try_from(customer.len()).unwrap_or(0)];
    bytes.extend_from_slice(customer);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, direction.mark(), 0x18, 0x14]);
    bytes.extend_from_slice(hex::encode_upper(&digest[..10]).as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// Who wrote the message with this id, if it was made by [`message_id`].
pub(crate) fn direction_of(message_id: &str) -> Option<Direction> {
    let bytes = STANDARD.decode(message_id.strip_prefix("wamid.")?).ok()?;
    let mark = *bytes.get(usize::from(*bytes.get(2)?) + 6)?;
    [Direction::FromBusiness, Direction::FromCustomer]
        .into_iter()
        .find(|direction| direction.mark() == mark)
}

/// The business-scoped user id of the customer with this phone number: the country and seventeen
/// digits that do not give the number away at sight.
pub(crate) fn user_id(phone: &str) -> String {
    let digest = Sha256::digest(phone.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    let digits = u64::from_be_bytes(first) % 100_000_000_000_000_000;
    format!("{}.{digits:017}", country(phone))
}

/// The id of the `count`-th template.
pub(crate) fn template_id(count: u64) -> String {
    (FIRST_TEMPLATE_ID + count).to_string()
}

/// Thirty-two hexadecimal digits for a conversation of the bill.
pub(crate) fn conversation_id(message_id: &str) -> String {
    hex::encode(&Sha256::digest(message_id.as_bytes())[..16])
}

/// Twenty-some characters that name one refused request, as Meta's errors carry.
pub(crate) fn trace_id(count: u64) -> String {
    let digest = Sha256::digest(count.to_le_bytes());
    format!(
        "A{}",
        STANDARD.encode(&digest[..15]).replace(['+', '/'], "_")
    )
}

/// Calling codes of the countries people try the sandbox with; the longest match counts.
const COUNTRIES: [(&str, &str); 64] = [
    ("1", "US"),
    ("7", "RU"),
    ("20", "EG"),
    ("27", "ZA"),
    ("30", "GR"),
    ("31", "NL"),
    ("32", "BE"),
    ("33", "FR"),
    ("34", "ES"),
    ("36", "HU"),
    ("39", "IT"),
    ("40", "RO"),
    ("41", "CH"),
    ("43", "AT"),
    ("44", "GB"),
    ("45", "DK"),
    ("46", "SE"),
    ("47", "NO"),
    ("48", "PL"),
    ("49", "DE"),
    ("51", "PE"),
    ("52", "MX"),
    ("54", "AR"),
    ("55", "BR"),
    ("56", "CL"),
    ("57", "CO"),
    ("58", "VE"),
    ("60", "MY"),
    ("61", "AU"),
    ("62", "ID"),
    ("63", "PH"),
    ("64", "NZ"),
    ("65", "SG"),
    ("66", "TH"),
    ("81", "JP"),
    ("82", "KR"),
    ("84", "VN"),
    ("86", "CN"),
    ("90", "TR"),
    ("91", "IN"),
    ("92", "PK"),
    ("94", "LK"),
    ("95", "MM"),
    ("98", "IR"),
    ("212", "MA"),
    ("213", "DZ"),
    ("216", "TN"),
    ("233", "GH"),
    ("234", "NG"),
    ("254", "KE"),
    ("255", "TZ"),
    ("256", "UG"),
    ("351", "PT"),
    ("353", "IE"),
    ("358", "FI"),
    ("380", "UA"),
    ("420", "CZ"),
    ("593", "EC"),
    ("852", "HK"),
    ("880", "BD"),
    ("966", "SA"),
    ("971", "AE"),
    ("972", "IL"),
    ("977", "NP"),
];

/// ISO country of a phone number; `ZZ` where the table has none.
fn country(phone: &str) -> &'static str {
    COUNTRIES
        .iter()
        .filter(|(code, _)| phone.starts_with(code))
        .max_by_key(|(code, _)| code.len())
        .map_or("ZZ", |(_, country)| country)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_unique_and_say_who_wrote() {
        let ours = message_id("16505551234", Direction::FromBusiness, 1);
        let theirs = message_id("16505551234", Direction::FromCustomer, 2);
        assert!(ours.starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgAR"), "{ours}");
        assert_ne!(ours, message_id("16505551234", Direction::FromBusiness, 3));
        assert_eq!(direction_of(&ours), Some(Direction::FromBusiness));
        assert_eq!(direction_of(&theirs), Some(Direction::FromCustomer));
        for bad in ["", "wamid.", "wamid.!", "wamid.AAAA", "wamid.////"] {
            assert_eq!(direction_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn user_ids_name_the_country_and_stay() {
        let id = user_id("16505551234");
        assert!(id.starts_with("US.") && id.len() == 20, "{id}");
        assert_eq!(id, user_id("16505551234"));
        assert!(user_id("97150").starts_with("AE.") && user_id("999").starts_with("ZZ."));
    }
}
