//! What Meta says of a message's price, by the rules in force at the time: conversations until
//! 2025-06-30, messages from 2025-07-01, service messages charged after a monthly allowance from
//! 2026-10-01, all by the calendar of the account's time zone. Written from Meta's rules and not
//! from `core-billing`: a stand-in that shared the code it is there to check would check nothing.

use core_types::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Service messages delivered per number and month before they are charged.
pub(crate) const SERVICE_ALLOWANCE: u32 = 1_000;

/// The rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Era {
    /// Conversations are charged.
    Conversations,
    /// Conversations are charged, but not those of category service.
    FreeServiceConversations,
    /// Delivered templates are charged.
    Templates,
    /// Delivered templates are charged, and service messages past the allowance.
    TemplatesAndService,
}

/// The rules in force at a time in the account's time zone.
pub(crate) fn era(at: Timestamp, zone: &TimeZone) -> Era {
    let local = local(at, zone);
    let day = (local.year(), local.month());
    match day {
        _ if day >= (2026, 10) => Era::TemplatesAndService,
        _ if day >= (2025, 7) => Era::Templates,
        _ if day >= (2024, 11) => Era::FreeServiceConversations,
        _ => Era::Conversations,
    }
}

/// The month of the account's calendar, such as `2026-11`.
pub(crate) fn month(at: Timestamp, zone: &TimeZone) -> String {
    let local = local(at, zone);
    format!("{:04}-{:02}", local.year(), local.month())
}

fn local(at: Timestamp, zone: &TimeZone) -> jiff::civil::DateTime {
    let instant = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    zone.to_datetime(instant)
}

/// What decides the price of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    /// The rules.
    pub(crate) era: Era,
    /// `service`, `marketing`, `utility` or `authentication`; in the time of conversations the
    /// category of the conversation the message belongs to.
    pub(crate) category: &'a str,
    /// The customer-service window was open.
    pub(crate) in_window: bool,
    /// A free entry point was open.
    pub(crate) free_entry: bool,
    /// Service messages delivered this month before this one.
    pub(crate) allowance_used: u32,
}

/// The `pricing` object.
pub(crate) fn pricing(case: Case<'_>) -> Value {
    let per_conversation = case.era <= Era::FreeServiceConversations;
    if per_conversation {
        let free = case.free_entry
            || (case.category == "service" && case.era == Era::FreeServiceConversations);
        let category = if case.free_entry {
            "referral_conversion"
        } else {
            case.category
        };
        return json!({"billable": !free, "pricing_model": "CBP", "category": category});
    }
    let (kind, category) = if case.free_entry {
        ("free_entry_point", "referral_conversion")
    } else {
        (kind_of(case), case.category)
    };
    let billable = kind == "regular";
    json!({"billable": billable, "pricing_model": "PMP", "type": kind, "category": category})
}

fn kind_of(case: Case<'_>) -> &'static str {
    let free = match (case.era, case.category) {
        (Era::TemplatesAndService, "service") => case.allowance_used < SERVICE_ALLOWANCE,
        (Era::Templates, "service") => true,
        (Era::Templates, "utility") => case.in_window,
        _ => false,
    };
    if free {
        "free_customer_service"
    } else {
        "regular"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(instant.as_microsecond())
    }

    #[test]
    fn eras_change_at_midnight_of_the_account() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        assert_eq!(
            era(at("2025-07-01T03:59:59Z"), &new_york),
            Era::FreeServiceConversations
        );
        assert_eq!(era(at("2025-07-01T04:00:00Z"), &new_york), Era::Templates);
        assert_eq!(
            era(at("2026-10-01T03:59:59Z"), &TimeZone::UTC),
            Era::TemplatesAndService
        );
        assert_eq!(era(at("2026-10-01T03:59:59Z"), &new_york), Era::Templates);
        assert_eq!(
            era(at("2024-10-31T12:00:00Z"), &new_york),
            Era::Conversations
        );
        assert_eq!(month(at("2026-11-01T03:00:00Z"), &new_york), "2026-10");
    }

    #[test]
    fn prices_follow_the_tables_of_the_reference() {
        let word = |era, category, in_window, free_entry, allowance_used| {
            let case = Case {
                era,
                category,
                in_window,
                free_entry,
                allowance_used,
            };
            pricing(case)["type"].as_str().map(ToOwned::to_owned)
        };
        let free = Some("free_customer_service".to_owned());
        let regular = Some("regular".to_owned());
        assert_eq!(word(Era::Templates, "utility", true, false, 0), free);
        assert_eq!(word(Era::Templates, "utility", false, false, 0), regular);
        assert_eq!(word(Era::Templates, "marketing", true, false, 0), regular);
        assert_eq!(word(Era::Templates, "service", true, false, 9_999), free);
        assert_eq!(
            word(Era::TemplatesAndService, "utility", true, false, 0),
            regular
        );
        assert_eq!(
            word(Era::TemplatesAndService, "service", true, false, 999),
            free
        );
        assert_eq!(
            word(Era::TemplatesAndService, "service", true, false, 1_000),
            regular
        );
        let entry = Some("free_entry_point".to_owned());
        assert_eq!(
            word(Era::TemplatesAndService, "marketing", true, true, 0),
            entry
        );
        assert_eq!(word(Era::Conversations, "service", true, false, 0), None);
    }
}
