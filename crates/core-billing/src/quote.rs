//! What a message would cost if it were delivered now.

use core_types::{ContactIdentity, Currency, Money, Timestamp};

use crate::book::PriceBook;
use crate::calendar::Zone;
use crate::era::{Era, Unit};
use crate::words::{Category, PricingType};

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRequest {
    /// To whom.
    pub recipient: ContactIdentity,
    /// As what; service means anything that is not a template.
    pub category: Category,
    /// The customer wrote within the last 24 hours.
    pub window_open: bool,
    /// A free-entry-point window is open.
    pub free_entry_point: bool,
}

/// A price, given before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What it would cost: zero when free.
    pub amount: Money,
    /// ISO 3166 code of the recipient's country; empty when not known.
    pub country: String,
    /// Market of the card.
    pub market: String,
    /// How Meta would price it.
    pub pricing_type: PricingType,
    /// Card, era and rule in words.
    pub explanation: String,
}

/// Why there is no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteRefusal {
    /// Only templates may be sent.
    #[error("the customer-service window is closed: only a template may be sent")]
    WindowClosed,
    /// Not a category messages are sent in.
    #[error("`{0}` is not one of marketing, utility, authentication, service")]
    Category(Category),
    /// The recipient says nothing about a country.
    #[error("the recipient's country is not known: a phone number or a user id is needed")]
    Recipient,
    /// No rules, no card or no rate.
    #[error("{0}")]
    Unpriced(String),
}

/// Quotes a message. `service_used` counts the service messages of the month so far.
///
/// # Errors
/// When it may not be sent or has no price.
pub fn quote(
    request: &QuoteRequest,
    (currency, zone): (Currency, &Zone),
    service_used: u32,
    now: Timestamp,
    book: &PriceBook,
) -> Result<Quote, QuoteRefusal> {
    use Category as C;
    if request.category == C::Service && !request.window_open {
        return Err(QuoteRefusal::WindowClosed);
    }
    if !matches!(
        request.category,
        C::Marketing | C::Utility | C::Authentication | C::Service
    ) {
        return Err(QuoteRefusal::Category(request.category));
    }
    let date = zone.date(now);
    let era = book.era(date).filter(|era| era.unit == Unit::Message);
    let era = era.ok_or_else(|| {
        QuoteRefusal::Unpriced(format!("messages were not charged one by one on {date}"))
    })?;
    let place = book.markets().by_contact(&request.recipient, date);
    let place = place.ok_or(QuoteRefusal::Recipient)?;
    let made = |amount: Money, pricing_type, explanation| Quote {
        amount,
        country: place.country.to_owned(),
        market: place.market.to_owned(),
        pricing_type,
        explanation,
    };
    if let Some((pricing_type, what)) = free(request, era, service_used) {
        let explanation = format!("{currency} / {} / {what}", era.name);
        return Ok(made(Money::zero(currency), pricing_type, explanation));
    }
    let price = book
        .price(era, currency, place, request.category, date)
        .map_err(|unpriced| QuoteRefusal::Unpriced(unpriced.to_string()))?;
    let explanation = format!(
        "{currency} {} / {} / {} list rate",
        price.card, era.name, request.category
    );
    Ok(made(price.rate, PricingType::Regular, explanation))
}

/// The rule that makes it free, if one does.
fn free(request: &QuoteRequest, era: &Era, service_used: u32) -> Option<(PricingType, String)> {
    let in_window = PricingType::FreeCustomerService;
    if request.free_entry_point {
        let what = "free-entry-point window".to_owned();
        return Some((PricingType::FreeEntryPoint, what));
    }
    match request.category {
        Category::Utility if request.window_open && era.free_in_window_utility => Some((
            in_window,
            "utility in the customer-service window".to_owned(),
        )),
        Category::Service if era.free_service => Some((
            in_window,
            "service in the customer-service window".to_owned(),
        )),
        Category::Service => {
            let most = era.allowance.map_or(0, |allowance| allowance.most);
            let position = service_used.saturating_add(1);
            (position <= most)
                .then(|| (in_window, format!("service free tier {position} of {most}")))
        }
        _ => None,
    }
}
