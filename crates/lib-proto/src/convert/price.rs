//! Money, delivery states and what Meta says of prices.

use core_types::{DeliveryStatus, Money, MoneyError, PlatformError, PricingFact, PricingModel};

use super::{FieldError, some, text};
use crate::common as pb;

impl From<&Money> for pb::Money {
    fn from(money: &Money) -> Self {
        Self {
            currency_code: money.currency.code().to_owned(),
            micros: money.micros,
        }
    }
}

impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        Self::from(&money)
    }
}

impl TryFrom<pb::Money> for Money {
    type Error = FieldError;

    fn try_from(money: pb::Money) -> Result<Self, FieldError> {
        let currency = money
            .currency_code
            .parse()
            .map_err(|error: MoneyError| FieldError::new("currency_code", error.to_string()))?;
        Ok(Self {
            currency,
            micros: money.micros,
        })
    }
}

impl From<DeliveryStatus> for pb::DeliveryStatus {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Sent => Self::Sent,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Read => Self::Read,
            DeliveryStatus::Played => Self::Played,
            DeliveryStatus::Failed => Self::Failed,
        }
    }
}

impl From<&DeliveryStatus> for pb::DeliveryStatus {
    fn from(status: &DeliveryStatus) -> Self {
        Self::from(*status)
    }
}

impl TryFrom<pb::DeliveryStatus> for DeliveryStatus {
    type Error = FieldError;

    fn try_from(status: pb::DeliveryStatus) -> Result<Self, FieldError> {
        match status {
            pb::DeliveryStatus::Sent => Ok(Self::Sent),
            pb::DeliveryStatus::Delivered => Ok(Self::Delivered),
            pb::DeliveryStatus::Read => Ok(Self::Read),
            pb::DeliveryStatus::Played => Ok(Self::Played),
            pb::DeliveryStatus::Failed => Ok(Self::Failed),
            pb::DeliveryStatus::Unspecified => Err(FieldError::new("status", "must be set")),
        }
    }
}

impl From<&PricingFact> for pb::PricingFact {
    fn from(fact: &PricingFact) -> Self {
        let model = match fact.model {
            Some(PricingModel::PerConversation) => pb::PricingModel::PerConversation,
            Some(PricingModel::PerMessage) => pb::PricingModel::PerMessage,
            None => pb::PricingModel::Unspecified,
        };
        Self {
            model: model.into(),
            kind: text(fact.kind.as_ref()),
            category: text(fact.category.as_ref()),
            billable: fact.billable,
        }
    }
}

impl From<pb::PricingFact> for PricingFact {
    /// A model this version does not know counts as absent: billing then keeps the fact aside.
    fn from(fact: pb::PricingFact) -> Self {
        let model = match fact.model() {
            pb::PricingModel::Unspecified => None,
            pb::PricingModel::PerConversation => Some(PricingModel::PerConversation),
            pb::PricingModel::PerMessage => Some(PricingModel::PerMessage),
        };
        Self {
            model,
            kind: some(fact.kind),
            category: some(fact.category),
            billable: fact.billable,
        }
    }
}

impl From<&PlatformError> for pb::PlatformError {
    fn from(error: &PlatformError) -> Self {
        Self {
            code: error.code,
            title: error.title.clone(),
            details: error.details.clone(),
        }
    }
}

impl From<pb::PlatformError> for PlatformError {
    fn from(error: pb::PlatformError) -> Self {
        Self {
            code: error.code,
            title: error.title,
            details: error.details,
        }
    }
}
