//! Facts from webhooks and their parts, to and from the wire.

use core_types::{
    AccountFact, DeliveryStatus, Echo, Fact, FactBody, InboundMessage, MessageContext, NumberId,
    PlatformError, PricingFact, PricingModel, Referral, StatusUpdate, Timestamp, WabaId,
};

use super::content::wamid;
use super::{
    FieldError, content_from_proto, identity_from_proto, required, some, text,
    timestamp_from_proto, timestamp_opt, timestamp_to_proto,
};
use crate::common as pb;

impl From<&Fact> for pb::Fact {
    fn from(fact: &Fact) -> Self {
        use pb::fact::Body;
        let body = match &fact.body {
            FactBody::Message(message) => Body::Message(message.as_ref().into()),
            FactBody::Status(status) => Body::Status(status.as_ref().into()),
            FactBody::Echo(echo) => Body::Echo(pb::Echo {
                id: echo.id.to_string(),
                to: Some((&echo.to).into()),
                sent_at: Some(timestamp_to_proto(echo.sent_at)),
                content: Some((&echo.content).into()),
            }),
            FactBody::Account(account) => Body::Account(account.into()),
        };
        Self {
            waba_id: fact.waba_id.to_string(),
            number_id: fact
                .number_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            dedupe_key: fact.dedupe_key.clone(),
            body: Some(body),
        }
    }
}

/// One item of a webhook delivery from the wire.
///
/// # Errors
/// Names the field that is missing or cannot be used.
pub fn fact_from_proto(fact: pb::Fact) -> Result<Fact, FieldError> {
    use pb::fact::Body;
    let bad = |field: &str, error: core_types::IdError| FieldError::new(field, error.to_string());
    if fact.dedupe_key.is_empty() {
        return Err(FieldError::new("dedupe_key", "must be set"));
    }
    let number_id = some(fact.number_id)
        .map(|id| NumberId::new(id).map_err(|error| bad("number_id", error)))
        .transpose()?;
    let body = match required("body", fact.body)? {
        Body::Message(message) => FactBody::Message(Box::new(
            message_from_proto(message).map_err(|error| error.within("message"))?,
        )),
        Body::Status(status) => FactBody::Status(Box::new(
            status_update_from_proto(status).map_err(|error| error.within("status"))?,
        )),
        Body::Echo(echo) => FactBody::Echo(Box::new(
            echo_from_proto(echo).map_err(|error| error.within("echo"))?,
        )),
        Body::Account(account) => FactBody::Account(
            account_fact_from_proto(account).map_err(|error| error.within("account"))?,
        ),
    };
    Ok(Fact {
        waba_id: WabaId::new(fact.waba_id).map_err(|error| bad("waba_id", error))?,
        number_id,
        dedupe_key: fact.dedupe_key,
        body,
    })
}

fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Timestamp, FieldError> {
    required(field, timestamp_from_proto(field, at)?)
}

impl From<&InboundMessage> for pb::InboundMessage {
    fn from(message: &InboundMessage) -> Self {
        Self {
            id: message.id.to_string(),
            from: Some((&message.from).into()),
            sent_at: Some(timestamp_to_proto(message.sent_at)),
            content: Some((&message.content).into()),
            context: message.context.as_ref().map(Into::into),
            referral: message.referral.as_ref().map(Into::into),
            group_id: text(message.group_id.as_ref()),
            errors: message.errors.iter().map(Into::into).collect(),
        }
    }
}

fn message_from_proto(message: pb::InboundMessage) -> Result<InboundMessage, FieldError> {
    let content = required("content", message.content)?;
    Ok(InboundMessage {
        id: wamid("id", &message.id)?,
        from: identity_from_proto(required("from", message.from)?),
        sent_at: time("sent_at", message.sent_at)?,
        content: content_from_proto(content).map_err(|error| error.within("content"))?,
        context: message.context.map(context_from_proto).transpose()?,
        referral: message.referral.map(referral_from_proto),
        group_id: some(message.group_id),
        errors: message.errors.into_iter().map(error_from_proto).collect(),
    })
}

fn echo_from_proto(echo: pb::Echo) -> Result<Echo, FieldError> {
    let content = required("content", echo.content)?;
    Ok(Echo {
        id: wamid("id", &echo.id)?,
        to: identity_from_proto(required("to", echo.to)?),
        sent_at: time("sent_at", echo.sent_at)?,
        content: content_from_proto(content).map_err(|error| error.within("content"))?,
    })
}

impl From<&MessageContext> for pb::MessageContext {
    fn from(context: &MessageContext) -> Self {
        let (catalog_id, product_id) = context.product.clone().unwrap_or_default();
        Self {
            message_id: context
                .message_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            from: text(context.from.as_ref()),
            forwarded: context.forwarded,
            frequently_forwarded: context.frequently_forwarded,
            catalog_id,
            product_id,
        }
    }
}

/// What a message refers to, from the wire.
///
/// # Errors
/// When the quoted message's id cannot be used.
pub fn context_from_proto(context: pb::MessageContext) -> Result<MessageContext, FieldError> {
    let product = if context.catalog_id.is_empty() && context.product_id.is_empty() {
        None
    } else {
        Some((context.catalog_id, context.product_id))
    };
    Ok(MessageContext {
        message_id: some(context.message_id)
            .map(|id| wamid("context.message_id", &id))
            .transpose()?,
        from: some(context.from),
        forwarded: context.forwarded,
        frequently_forwarded: context.frequently_forwarded,
        product,
    })
}

impl From<&Referral> for pb::Referral {
    fn from(referral: &Referral) -> Self {
        Self {
            source_type: referral.source_type.clone(),
            source_id: referral.source_id.clone(),
            source_url: referral.source_url.clone(),
            headline: text(referral.headline.as_ref()),
            body: text(referral.body.as_ref()),
            click_id: text(referral.click_id.as_ref()),
            raw: referral.raw.clone(),
        }
    }
}

/// Where a customer came from, from the wire.
pub fn referral_from_proto(referral: pb::Referral) -> Referral {
    Referral {
        source_type: referral.source_type,
        source_id: referral.source_id,
        source_url: referral.source_url,
        headline: some(referral.headline),
        body: some(referral.body),
        click_id: some(referral.click_id),
        raw: referral.raw,
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

/// An error in Meta's words, from the wire.
pub fn error_from_proto(error: pb::PlatformError) -> PlatformError {
    PlatformError {
        code: error.code,
        title: error.title,
        details: error.details,
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

/// A delivery status from the wire; `None` when unspecified or unknown.
pub fn delivery_status_from_proto(status: pb::DeliveryStatus) -> Option<DeliveryStatus> {
    match status {
        pb::DeliveryStatus::Unspecified => None,
        pb::DeliveryStatus::Sent => Some(DeliveryStatus::Sent),
        pb::DeliveryStatus::Delivered => Some(DeliveryStatus::Delivered),
        pb::DeliveryStatus::Read => Some(DeliveryStatus::Read),
        pb::DeliveryStatus::Played => Some(DeliveryStatus::Played),
        pb::DeliveryStatus::Failed => Some(DeliveryStatus::Failed),
    }
}

impl From<&PricingFact> for pb::PricingFact {
    fn from(pricing: &PricingFact) -> Self {
        let model = match pricing.model {
            None => pb::PricingModel::Unspecified,
            Some(PricingModel::PerConversation) => pb::PricingModel::PerConversation,
            Some(PricingModel::PerMessage) => pb::PricingModel::PerMessage,
        };
        Self {
            model: model.into(),
            kind: text(pricing.kind.as_ref()),
            category: text(pricing.category.as_ref()),
            billable: pricing.billable,
        }
    }
}

/// Price facts from the wire.
pub fn pricing_from_proto(pricing: pb::PricingFact) -> PricingFact {
    let model = match pricing.model() {
        pb::PricingModel::Unspecified => None,
        pb::PricingModel::PerConversation => Some(PricingModel::PerConversation),
        pb::PricingModel::PerMessage => Some(PricingModel::PerMessage),
    };
    PricingFact {
        model,
        kind: some(pricing.kind),
        category: some(pricing.category),
        billable: pricing.billable,
    }
}

impl From<&StatusUpdate> for pb::StatusUpdate {
    fn from(update: &StatusUpdate) -> Self {
        Self {
            id: update.id.to_string(),
            status: pb::DeliveryStatus::from(update.status).into(),
            occurred_at: Some(timestamp_to_proto(update.occurred_at)),
            recipient: Some((&update.recipient).into()),
            participant: text(update.participant.as_ref()),
            callback_data: text(update.callback_data.as_ref()),
            pricing: update.pricing.as_ref().map(Into::into),
            billing_conversation: text(update.billing_conversation.as_ref()),
            billing_conversation_expires: timestamp_opt(update.billing_conversation_expires),
            billing_conversation_origin: text(update.billing_conversation_origin.as_ref()),
            errors: update.errors.iter().map(Into::into).collect(),
        }
    }
}

/// What became of a message, from the wire.
///
/// # Errors
/// Names the field that is missing or cannot be used.
pub fn status_update_from_proto(update: pb::StatusUpdate) -> Result<StatusUpdate, FieldError> {
    let status = required("status", delivery_status_from_proto(update.status()))?;
    Ok(StatusUpdate {
        id: wamid("id", &update.id)?,
        status,
        occurred_at: time("occurred_at", update.occurred_at)?,
        recipient: update
            .recipient
            .map(identity_from_proto)
            .unwrap_or_default(),
        participant: some(update.participant),
        callback_data: some(update.callback_data),
        pricing: update.pricing.map(pricing_from_proto),
        billing_conversation: some(update.billing_conversation),
        billing_conversation_expires: timestamp_from_proto(
            "billing_conversation_expires",
            update.billing_conversation_expires,
        )?,
        billing_conversation_origin: some(update.billing_conversation_origin),
        errors: update.errors.into_iter().map(error_from_proto).collect(),
    })
}

impl From<&AccountFact> for pb::AccountFact {
    fn from(fact: &AccountFact) -> Self {
        Self {
            field: fact.field.clone(),
            event: fact.event.clone(),
            known: fact.known,
            occurred_at: timestamp_opt(fact.occurred_at),
            attributes: fact.attributes.clone().into_iter().collect(),
            raw: fact.raw.clone(),
        }
    }
}

/// A fact about an account, from the wire.
///
/// # Errors
/// When its time cannot be used.
pub fn account_fact_from_proto(fact: pb::AccountFact) -> Result<AccountFact, FieldError> {
    Ok(AccountFact {
        occurred_at: timestamp_from_proto("occurred_at", fact.occurred_at)?,
        field: fact.field,
        event: fact.event,
        known: fact.known,
        attributes: fact.attributes.into_iter().collect(),
        raw: fact.raw,
    })
}
