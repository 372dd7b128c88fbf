//! Account-level fields and the words Frontdesk uses for their parts.
//!
//! [`ATTRIBUTES`] is the one list of words that can stand in
//! [`AccountFact::attributes`](core_types::AccountFact::attributes): for every field, the word and
//! where Meta has it. A word is absent when Meta sent nothing or null. Lists are joined by commas.
//! Beside the table:
//!
//! * `language` is always in underscore form: `en_US`, although Meta also writes `en-US`.
//! * Template ids are text, digit for digit, although Meta sends integers beyond 2^53.
//! * `template_category_update` comes twice with the same word for different things. Frontdesk says
//!   `category` for the category in force now in both; event `ANNOUNCED` adds `coming_category` and
//!   `effective_at` (Unix seconds), event `CHANGED` adds `previous_category`.
//! * `message_template_quality_update` is told by its new score, because Meta's own example carries
//!   the name of the status field.
//! * `limit` is one of `TIER_…` or a number, as Meta sends either.
//! * Two fields are ours, for parts of `messages`: `messages.errors` (a failure of the account) and
//!   `messages.statuses` (a state nobody knows).

/// What Frontdesk takes from one account-level field.
#[derive(Clone, Copy, Debug)]
pub struct AttributeWords {
    /// Meta's webhook field, or one of ours for a part of `messages`.
    pub field: &'static str,
    /// The list in `value` of which every entry is a fact of its own; empty when the value is one.
    pub list: &'static str,
    /// Where the event word stands (JSON pointers; the first that is there).
    pub event: &'static [&'static str],
    /// Where Unix seconds stand; empty when the delivery's own time is the best there is.
    pub time: &'static str,
    /// Our word, and where Meta has it; `*` stands for every entry of a list.
    pub words: &'static [(&'static str, &'static str)],
}

const fn whole(
    field: &'static str,
    event: &'static [&'static str],
    words: &'static [(&'static str, &'static str)],
) -> AttributeWords {
    AttributeWords {
        field,
        list: "",
        event,
        time: "",
        words,
    }
}

const fn each(
    field: &'static str,
    list: &'static str,
    event: &'static [&'static str],
    time: &'static str,
    words: &'static [(&'static str, &'static str)],
) -> AttributeWords {
    AttributeWords {
        field,
        list,
        event,
        time,
        words,
    }
}

const GROUP_WORDS: &[(&str, &str)] = &[
    ("group_id", "/group_id"),
    ("request_id", "/request_id"),
    ("subject", "/subject"),
    ("added", "/added_participants/*/wa_id"),
    ("removed", "/removed_participants/*/wa_id"),
];

/// Every known field, by name.
pub const ATTRIBUTES: &[AttributeWords] = &[
    whole(
        "account_alerts",
        &["/alert_info/alert_type", "/alert_type"],
        &[
            ("entity_type", "/entity_type"),
            ("entity_id", "/entity_id"),
            ("severity", "/alert_info/alert_severity"),
            ("status", "/alert_info/alert_status"),
            ("description", "/alert_info/alert_description"),
        ],
    ),
    whole("account_review_update", &["/decision"], &[]),
    whole("account_settings_update", &["/type", "/event"], &[]),
    whole(
        "account_update",
        &["/event"],
        &[
            ("phone", "/phone_number"),
            ("country", "/country"),
            ("violation", "/violation_info/violation_type"),
            ("remediation", "/violation_info/remediation"),
            ("restrictions", "/restriction_info/*/restriction_type"),
            ("restrictions_end", "/restriction_info/*/expiration"),
            ("ban_state", "/ban_info/waba_ban_state"),
            ("ban_date", "/ban_info/waba_ban_date"),
            ("waba_id", "/waba_info/waba_id"),
            ("owner_business_id", "/waba_info/owner_business_id"),
            ("ad_account", "/waba_info/ad_account_linked"),
            ("partner_app_id", "/waba_info/partner_app_id"),
            ("solution_id", "/waba_info/solution_id"),
            (
                "rate_starts_at",
                "/auth_international_rate_eligibility/start_time",
            ),
            ("certification", "/partner_client_certification_info/status"),
            (
                "client_business_id",
                "/partner_client_certification_info/client_business_id",
            ),
            ("tier", "/volume_tier_info/tier"),
            ("tier_category", "/volume_tier_info/pricing_category"),
            ("tier_month", "/volume_tier_info/effective_month"),
            ("tier_region", "/volume_tier_info/region"),
            ("tier_updated_at", "/volume_tier_info/tier_update_time"),
        ],
    ),
    each(
        "automatic_events",
        "automatic_events",
        &["/event_name"],
        "/timestamp",
        &[
            ("message_id", "/id"),
            ("click_id", "/ctwa_clid"),
            ("currency", "/custom_data/currency"),
            ("value", "/custom_data/value"),
        ],
    ),
    whole(
        "business_capability_update",
        &[],
        &[
            ("limit", "/max_daily_conversations_per_business"),
            ("limit_per_phone", "/max_daily_conversation_per_phone"),
            (
                "max_numbers_per_business",
                "/max_phone_numbers_per_business",
            ),
            ("max_numbers_per_waba", "/max_phone_numbers_per_waba"),
        ],
    ),
    whole(
        "business_username_updates",
        &["/status"],
        &[
            ("phone", "/display_phone_number"),
            ("username", "/username"),
        ],
    ),
    each(
        "calls",
        "calls",
        &["/event", "/status"],
        "/timestamp",
        &[
            ("call_id", "/id"),
            ("from", "/from"),
            ("to", "/to"),
            ("direction", "/direction"),
            ("status", "/status"),
            ("duration", "/duration"),
            ("recipient", "/recipient_id"),
            ("callback_data", "/biz_opaque_callback_data"),
        ],
    ),
    each(
        "group_lifecycle_update",
        "groups",
        &["/type"],
        "/timestamp",
        GROUP_WORDS,
    ),
    each(
        "group_participants_update",
        "groups",
        &["/type"],
        "/timestamp",
        GROUP_WORDS,
    ),
    each(
        "group_settings_update",
        "groups",
        &["/type"],
        "/timestamp",
        GROUP_WORDS,
    ),
    each(
        "group_status_update",
        "groups",
        &["/type"],
        "/timestamp",
        GROUP_WORDS,
    ),
    whole(
        "history",
        &[],
        &[
            ("phase", "/history/0/metadata/phase"),
            ("chunk", "/history/0/metadata/chunk_order"),
            ("progress", "/history/0/metadata/progress"),
            ("error", "/history/0/errors/0/code"),
            ("message_id", "/messages/0/id"),
        ],
    ),
    whole(
        "message_template_components_update",
        &[],
        &[
            ("template_id", "/message_template_id"),
            ("template_name", "/message_template_name"),
            ("language", "/message_template_language"),
            ("body", "/message_template_element"),
            ("title", "/message_template_title"),
            ("footer", "/message_template_footer"),
            (
                "button_types",
                "/message_template_buttons/*/message_template_button_type",
            ),
        ],
    ),
    whole(
        "message_template_quality_update",
        &["/new_quality_score"],
        &[
            ("template_id", "/message_template_id"),
            ("template_name", "/message_template_name"),
            ("language", "/message_template_language"),
            ("quality", "/new_quality_score"),
            ("previous_quality", "/previous_quality_score"),
        ],
    ),
    whole(
        "message_template_status_update",
        &["/event"],
        &[
            ("template_id", "/message_template_id"),
            ("template_name", "/message_template_name"),
            ("language", "/message_template_language"),
            ("category", "/message_template_category"),
            ("reason", "/reason"),
            ("disable_date", "/disable_info/disable_date"),
            ("title", "/other_info/title"),
            ("description", "/other_info/description"),
            ("rejection_reason", "/rejection_info/reason"),
            ("recommendation", "/rejection_info/recommendation"),
        ],
    ),
    whole(
        "messages.errors",
        &[],
        &[
            ("code", "/code"),
            ("title", "/title"),
            ("details", "/error_data/details"),
        ],
    ),
    whole(
        "partner_solutions",
        &["/event"],
        &[
            ("solution_id", "/solution_id"),
            ("status", "/solution_status"),
        ],
    ),
    whole(
        "payment_configuration_update",
        &["/status"],
        &[
            ("configuration", "/configuration_name"),
            ("provider", "/provider_name"),
            ("provider_mid", "/provider_mid"),
            ("created_at", "/created_timestamp"),
            ("updated_at", "/updated_timestamp"),
        ],
    ),
    whole(
        "phone_number_name_update",
        &["/decision"],
        &[
            ("phone", "/display_phone_number"),
            ("name", "/requested_verified_name"),
            ("reason", "/rejection_reason"),
        ],
    ),
    whole(
        "phone_number_quality_update",
        &["/event"],
        &[
            ("phone", "/display_phone_number"),
            ("limit", "/max_daily_conversations_per_business"),
            ("current_limit", "/current_limit"),
            ("old_limit", "/old_limit"),
        ],
    ),
    whole(
        "security",
        &["/event"],
        &[
            ("phone", "/display_phone_number"),
            ("requester", "/requester"),
        ],
    ),
    each(
        "smb_app_state_sync",
        "state_sync",
        &["/action"],
        "/metadata/timestamp",
        &[
            ("type", "/type"),
            ("full_name", "/contact/full_name"),
            ("first_name", "/contact/first_name"),
            ("phone", "/contact/phone_number"),
        ],
    ),
    whole(
        "template_category_update",
        &[],
        &[
            ("template_id", "/message_template_id"),
            ("template_name", "/message_template_name"),
            ("language", "/message_template_language"),
            ("category", "/new_category"),
            ("coming_category", "/correct_category"),
            ("previous_category", "/previous_category"),
            ("effective_at", "/category_update_timestamp"),
        ],
    ),
    whole(
        "template_correct_category_detection",
        &[],
        &[
            ("template_id", "/message_template_id"),
            ("template_name", "/message_template_name"),
            ("language", "/message_template_language"),
            ("category", "/category"),
            ("coming_category", "/correct_category"),
        ],
    ),
    each(
        "user_preferences",
        "user_preferences",
        &["/value"],
        "/timestamp",
        &[
            ("phone", "/wa_id"),
            ("user_id", "/user_id"),
            ("category", "/category"),
            ("detail", "/detail"),
        ],
    ),
];

/// The words of `field`, if it is a known one.
pub(super) fn words_of(field: &str) -> Option<&'static AttributeWords> {
    ATTRIBUTES
        .binary_search_by_key(&field, |row| row.field)
        .ok()
        .map(|index| &ATTRIBUTES[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_says_each_word_once() {
        assert!(ATTRIBUTES.is_sorted_by(|a, b| a.field < b.field));
        for row in ATTRIBUTES {
            assert_eq!(words_of(row.field).unwrap().field, row.field);
            let words: std::collections::BTreeSet<_> =
                row.words.iter().map(|(word, _)| word).collect();
            assert_eq!(words.len(), row.words.len(), "{}", row.field);
            assert!(
                row.words
                    .iter()
                    .all(|(_, pointer)| pointer.starts_with('/'))
            );
        }
        assert!(words_of("messages").is_none());
    }
}
