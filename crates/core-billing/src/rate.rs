//! Rating: what one status of one message means for the bill.
//!
//! A message is charged once, when Meta says it was delivered or read (read implies delivered), by
//! the status that carries Meta's price facts: those come with `sent` and with exactly one of
//! `delivered` and `read`, so the outcome does not depend on the order statuses arrive in.

use core_types::{
    ContactIdentity, Currency, DeliveryStatus, Money, NumberId, PricingFact, PricingModel,
    StatusUpdate, TenantId, WabaId,
};
use jiff::civil::Date;

use crate::book::{Price, PriceBook};
use crate::calendar::{Month, Zone};
use crate::era::{Era, Unit};
use crate::market::Place;
use crate::words::{Category, PricingType};

/// Who pays, and by which card and calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The business on this installation.
    pub tenant: TenantId,
    /// The WhatsApp Business Account.
    pub waba: WabaId,
    /// The number that sent.
    pub number: NumberId,
    /// Billing currency: decides the card. Nothing is ever converted.
    pub currency: Currency,
    /// The account's zone: decides when rates and months change.
    pub zone: Zone,
}

/// What was sent, as far as the log knows. Evidence only: Meta's word decides the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Not ours, or not known.
    Unknown,
    /// Anything but a template.
    Session,
    /// A template, with its approved category where known.
    Template(Option<Category>),
}

/// A status of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Our id of the message; empty when it is not ours.
    pub message_id: String,
    /// What Meta said.
    pub update: StatusUpdate,
    /// Whom the conversation is with: fills in what the status does not say of the recipient.
    pub contact: ContactIdentity,
    /// What was sent.
    pub kind: MessageKind,
}

/// What the ledger knows that bears on a rating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Service messages (or conversations) already counted in this month against the allowance.
    pub service_before: u32,
    /// Meta's conversation of this message has been charged already (per-conversation pricing).
    pub conversation_charged: bool,
}

/// A rated message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// In the account's zone.
    pub month: Month,
    /// What Meta priced it as.
    pub category: Category,
    /// How Meta priced it.
    pub pricing_type: PricingType,
    /// ISO 3166 code of the recipient's country; empty when not known.
    pub country: String,
    /// Market of the card; empty when not known (free messages only).
    pub market: String,
    /// What one such message costs as it was priced: zero when free.
    pub rate: Money,
    /// What this one costs.
    pub amount: Money,
    /// It counts against the service allowance.
    pub counts: bool,
    /// The conversation it opened and was charged for (per-conversation pricing).
    pub opens_conversation: Option<String>,
    /// Card, era and rule in words, and anything that does not fit Meta's facts.
    pub explanation: String,
}

/// Why a status costs nothing and never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBillable {
    /// Not delivered, by this status.
    #[error("only delivered messages are charged, this status says `{}`", .0.word())]
    NotDelivered(DeliveryStatus),
    /// The message is in the ledger.
    #[error("the message is in the ledger already")]
    AlreadyRated,
}

/// Why a delivered message cannot be rated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unrated {
    /// Meta's price facts are missing so far; another status of the message may bring them.
    pub awaits_price: bool,
    /// The reason, for people.
    pub reason: String,
}

/// What a status means for the bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is charged, or free by a rule.
    Rated(Box<Rating>),
    /// Nothing to charge.
    NotBillable(NotBillable),
    /// It should be charged or free, but which cannot be told.
    Unrated(Unrated),
}

/// Rates a status. Pure: the same arguments give the same outcome, also in years.
pub fn rate(event: &Event, account: &Account, facts: Facts, book: &PriceBook) -> Outcome {
    use DeliveryStatus::{Failed, Sent};
    let update = &event.update;
    if matches!(update.status, Sent | Failed) {
        return Outcome::NotBillable(NotBillable::NotDelivered(update.status));
    }
    let Some(pricing) = &update.pricing else {
        return Outcome::Unrated(Unrated {
            awaits_price: true,
            reason: format!(
                "Meta has sent no price facts with `{}`, nor with another status so far",
                update.status.word()
            ),
        });
    };
    match Case::new(event, account, facts, book, pricing).and_then(|case| case.rate()) {
        Ok(rating) => Outcome::Rated(Box::new(rating)),
        Err(reason) => Outcome::Unrated(Unrated {
            awaits_price: false,
            reason,
        }),
    }
}

/// The recipient's identities: the status's own, completed by the conversation's. In a group it is
/// the member the status is about, not the group.
pub(crate) fn recipient(event: &Event) -> ContactIdentity {
    if let Some(member) = &event.update.participant {
        return ContactIdentity::from_phone(member).unwrap_or_else(|_| ContactIdentity {
            user_id: Some(member.clone()),
            ..ContactIdentity::default()
        });
    }
    let mut whole = event.contact.clone();
    whole.absorb(&event.update.recipient);
    whole
}

/// One message under the rules of its day.
struct Case<'a> {
    event: &'a Event,
    account: &'a Account,
    facts: Facts,
    book: &'a PriceBook,
    pricing: &'a PricingFact,
    date: Date,
    era: &'a Era,
    category: Category,
    recipient: ContactIdentity,
}

/// What was found for a message, before it is written down.
struct Finding {
    pricing_type: PricingType,
    price: Option<Price>,
    what: String,
    counts: bool,
    opens: Option<String>,
}

impl Finding {
    fn free(pricing_type: PricingType, what: impl Into<String>) -> Self {
        Self {
            pricing_type,
            price: None,
            what: what.into(),
            counts: false,
            opens: None,
        }
    }
}

impl<'a> Case<'a> {
    fn new(
        event: &'a Event,
        account: &'a Account,
        facts: Facts,
        book: &'a PriceBook,
        pricing: &'a PricingFact,
    ) -> Result<Self, String> {
        let date = account.zone.date(event.update.occurred_at);
        let era = book
            .era(date)
            .ok_or_else(|| format!("there are no rules for {date}"))?;
        let word = pricing.category.as_deref();
        let word = word.ok_or("Meta's price facts name no category")?;
        let category =
            Category::parse(word).map_err(|word| format!("Meta's category {word} is not known"))?;
        Ok(Self {
            event,
            account,
            facts,
            book,
            pricing,
            date,
            era,
            category,
            recipient: recipient(event),
        })
    }

    fn rate(&self) -> Result<Rating, String> {
        let finding = match (self.pricing.model, self.era.unit) {
            (Some(PricingModel::PerConversation), Unit::Message) => Finding::free(
                PricingType::InConversation,
                "part of a conversation opened while conversations were charged",
            ),
            (Some(PricingModel::PerMessage), Unit::Conversation) => {
                return Err(format!(
                    "Meta priced it per message on {}, when conversations were charged",
                    self.date
                ));
            }
            (_, Unit::Conversation) => self.conversation()?,
            (_, Unit::Message) => self.message()?,
        };
        Ok(self.write_down(finding))
    }

    /// Rules from 2025-07-01: each delivered message by itself.
    fn message(&self) -> Result<Finding, String> {
        use Category as C;
        use PricingType as T;
        let word = self.pricing.kind.as_deref();
        let word = word.ok_or("Meta's price facts name no pricing type")?;
        let kind =
            T::parse(word).map_err(|word| format!("Meta's pricing type {word} is not known"))?;
        match (kind, self.category) {
            (T::FreeEntryPoint, _) => Ok(Finding::free(kind, "free-entry-point window")),
            (T::FreeCustomerService, C::Service)
            | (T::FreeGroupCustomerService, C::Service | C::GroupService) => {
                Ok(self.free_service(kind))
            }
            (T::FreeCustomerService, C::Utility)
            | (T::FreeGroupCustomerService, C::Utility | C::GroupUtility) => {
                let mut what = "utility in the customer-service window".to_owned();
                if !self.era.free_in_window_utility {
                    what.push_str("; Meta says free, though the rule of the day charges it");
                }
                Ok(Finding::free(kind, what))
            }
            (T::Regular, C::Service | C::GroupService) if self.era.free_service => {
                Err(self.contradiction("service was free on that day"))
            }
            (T::Regular, C::ReferralConversion) => {
                Err(self.contradiction("free-entry-point messages are free"))
            }
            (T::Regular, _) => self.charged_message(),
            _ => Err(self.contradiction("that category is never free in that way")),
        }
    }

    fn charged_message(&self) -> Result<Finding, String> {
        let price = self.price()?;
        let counts = self.category.is_service() && self.era.allowance.is_some();
        let what = match self.era.allowance {
            Some(allowance) if counts && self.position() > allowance.most => {
                format!("service beyond the free tier of {}", allowance.most)
            }
            Some(allowance) if counts => format!(
                "service charged by Meta; by our count only {} of {} free ones are used",
                self.position(),
                allowance.most
            ),
            _ => self.list_rate(),
        };
        Ok(Finding {
            pricing_type: PricingType::Regular,
            price: Some(price),
            what,
            counts,
            opens: None,
        })
    }

    fn free_service(&self, kind: PricingType) -> Finding {
        let Some(allowance) = self.era.allowance else {
            return Finding::free(kind, "service in the customer-service window");
        };
        let (position, most) = (self.position(), allowance.most);
        let mut what = format!("service free tier {position} of {most}");
        if position > most {
            what.push_str("; Meta says free, by our count the tier is used up");
        }
        Finding {
            counts: true,
            ..Finding::free(kind, what)
        }
    }

    /// Rules until 2025-06-30: a conversation is charged once, by its first delivered message.
    fn conversation(&self) -> Result<Finding, String> {
        use Category as C;
        let id = self.event.update.billing_conversation.as_ref();
        let id = id.ok_or("Meta named no conversation, and conversations were charged")?;
        if self.facts.conversation_charged {
            let what = "part of a conversation charged already";
            return Ok(Finding::free(PricingType::InConversation, what));
        }
        let opens = Some(id.clone());
        if self.category == C::ReferralConversion {
            let what = "free-entry-point conversation";
            return Ok(Finding {
                opens,
                ..Finding::free(PricingType::FreeEntryPoint, what)
            });
        }
        if self.category == C::Service {
            let free = PricingType::FreeCustomerService;
            if self.era.free_service {
                return Ok(Finding {
                    opens,
                    ..Finding::free(free, "service conversation")
                });
            }
            let most = self.era.allowance.map_or(0, |allowance| allowance.most);
            if self.position() <= most {
                let what = format!("service free tier {} of {most}", self.position());
                return Ok(Finding {
                    opens,
                    counts: true,
                    ..Finding::free(free, what)
                });
            }
        }
        Ok(Finding {
            pricing_type: PricingType::Regular,
            price: Some(self.price()?),
            what: format!("{} conversation", self.category),
            counts: self.category == C::Service && self.era.allowance.is_some(),
            opens,
        })
    }

    /// Which of the month's service messages this is, from 1.
    fn position(&self) -> u32 {
        self.facts.service_before.saturating_add(1)
    }

    fn place(&self) -> Option<Place<'_>> {
        self.book.markets().by_contact(&self.recipient, self.date)
    }

    fn price(&self) -> Result<Price, String> {
        let place = self
            .place()
            .ok_or("the recipient's country is not known: no phone number and no user id")?;
        self.book
            .price(
                self.era,
                self.account.currency,
                place,
                self.category,
                self.date,
            )
            .map_err(|unpriced| unpriced.to_string())
    }

    fn list_rate(&self) -> String {
        let approved = match self.event.kind {
            MessageKind::Template(Some(approved)) if !same_price(approved, self.category) => {
                format!("; the template was approved as {approved}")
            }
            _ => String::new(),
        };
        format!("{} list rate{approved}", self.category)
    }

    fn contradiction(&self, rule: &str) -> String {
        let kind = self.pricing.kind.as_deref().unwrap_or_default();
        format!(
            "Meta's price facts contradict each other: {} priced `{kind}` on {}, but {rule}",
            self.category, self.date
        )
    }

    fn write_down(&self, finding: Finding) -> Rating {
        let currency = self.account.currency;
        let zero = Money::zero(currency);
        let (rate, card) = match finding.price {
            Some(price) => {
                let note = if price.utility_rate {
                    " utility rate"
                } else {
                    ""
                };
                (price.rate, format!("{currency} {}{note}", price.card))
            }
            None => (zero, currency.to_string()),
        };
        let mut explanation = format!("{card} / {} / {}", self.era.name, finding.what);
        if rate.micros > 0 && self.pricing.billable == Some(false) {
            explanation.push_str("; Meta's deprecated flag says it is not billable");
        }
        let place = self.place();
        Rating {
            month: Month::of(self.date),
            category: self.category,
            pricing_type: finding.pricing_type,
            country: place.map_or("", |place| place.country).to_owned(),
            market: place.map_or("", |place| place.market).to_owned(),
            rate,
            amount: rate,
            counts: finding.counts,
            opens_conversation: finding.opens,
            explanation,
        }
    }
}

/// Whether Meta prices a template approved as `approved` as `priced` without having changed it.
fn same_price(approved: Category, priced: Category) -> bool {
    approved == priced
        || (approved == Category::Authentication && priced == Category::AuthenticationInternational)
        || (approved == Category::Marketing && priced == Category::MarketingLite)
}
