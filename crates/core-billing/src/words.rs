//! Meta's words for categories and pricing types, and ours in statements.

use std::fmt;

/// What kind of message Meta priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Promotion.
    Marketing,
    /// Promotion over the marketing-messages interface.
    MarketingLite,
    /// About something the customer asked for.
    Utility,
    /// One-time codes.
    Authentication,
    /// One-time codes from abroad, where such a rate exists.
    AuthenticationInternational,
    /// Anything that is not a template.
    Service,
    /// Inside a free-entry-point window.
    ReferralConversion,
    /// Promotion to a group.
    GroupMarketing,
    /// Utility to a group.
    GroupUtility,
    /// Not a template, to a group.
    GroupService,
}

/// How Meta priced it. Per-conversation pricing had no types; ours say the same thing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PricingType {
    /// Charged.
    Regular,
    /// Free inside the customer-service window, or inside the service allowance.
    FreeCustomerService,
    /// Free inside a free-entry-point window.
    FreeEntryPoint,
    /// Free in a group.
    FreeGroupCustomerService,
    /// Per-conversation pricing: part of a conversation that is charged already.
    InConversation,
}

/// A word of Meta's that is not in the tables. Cut to 64 visible characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`")]
pub struct UnknownWord(String);

impl UnknownWord {
    /// Wraps what Meta wrote, made safe to show.
    pub fn new(text: &str) -> Self {
        Self(
            text.chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .take(64)
                .collect(),
        )
    }
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 10] = [
        Self::Marketing,
        Self::MarketingLite,
        Self::Utility,
        Self::Authentication,
        Self::AuthenticationInternational,
        Self::Service,
        Self::ReferralConversion,
        Self::GroupMarketing,
        Self::GroupUtility,
        Self::GroupService,
    ];

    /// Reads Meta's word. Hyphen and underscore are the same: webhooks write
    /// `authentication-international`, conversations and analytics `authentication_international`.
    ///
    /// # Errors
    /// When the word is not known.
    pub fn parse(text: &str) -> Result<Self, UnknownWord> {
        let same = |category: &Self| {
            category.word().len() == text.len()
                && category
                    .word()
                    .bytes()
                    .zip(text.bytes())
                    .all(|(ours, theirs)| ours == theirs || (ours == b'_' && theirs == b'-'))
        };
        Self::ALL
            .into_iter()
            .find(same)
            .ok_or_else(|| UnknownWord::new(text))
    }

    /// The word in statements: Meta's, with underscores.
    pub fn word(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::MarketingLite => "marketing_lite",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
            Self::AuthenticationInternational => "authentication_international",
            Self::Service => "service",
            Self::ReferralConversion => "referral_conversion",
            Self::GroupMarketing => "group_marketing",
            Self::GroupUtility => "group_utility",
            Self::GroupService => "group_service",
        }
    }

    /// Whether it counts towards the service allowance: one-to-one and group messages share it.
    pub fn is_service(self) -> bool {
        matches!(self, Self::Service | Self::GroupService)
    }
}

impl PricingType {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::Regular,
        Self::FreeCustomerService,
        Self::FreeEntryPoint,
        Self::FreeGroupCustomerService,
        Self::InConversation,
    ];

    /// Reads Meta's word. [`PricingType::InConversation`] is ours and not accepted.
    ///
    /// # Errors
    /// When the word is not known.
    pub fn parse(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == text && *kind != Self::InConversation)
            .ok_or_else(|| UnknownWord::new(text))
    }

    /// The word in statements.
    pub fn word(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::FreeCustomerService => "free_customer_service",
            Self::FreeEntryPoint => "free_entry_point",
            Self::FreeGroupCustomerService => "free_group_customer_service",
            Self::InConversation => "in_conversation",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for PricingType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metas_two_spellings_are_one_category() {
        for text in [
            "authentication-international",
            "authentication_international",
        ] {
            assert_eq!(
                Category::parse(text),
                Ok(Category::AuthenticationInternational)
            );
        }
        for bad in ["", "Marketing", "MARKETING_LITE", "promo\n"] {
            assert!(Category::parse(bad).is_err(), "{bad}");
        }
        assert!(PricingType::parse("in_conversation").is_err());
        assert_eq!(UnknownWord::new("a\nb").to_string(), "`a\u{fffd}b`");
    }
}
