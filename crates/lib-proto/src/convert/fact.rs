//! Facts: the items of a webhook delivery.

use core_types::{
    AccountFact, Content, DeliveryStatus, Echo, Fact, FactBody, InboundMessage, MessageContext,
    Referral, StatusUpdate, Timestamp,
};

use super::{
    FieldError, id, id_opt, identity_from_proto, required, some, text, timestamp_from_proto,
    timestamp_opt, timestamp_to_proto,
};
use crate::common as pb;

impl From<&Fact> for pb::Fact {
    fn from(fact: &Fact) -> Self {
        let body = match &fact.body {
            FactBody::Message(message) => pb::fact::Body::Message(message.as_ref().into()),
            FactBody::Status(status) => pb::fact::Body::Status(status.as_ref().into()),
            FactBody::Echo(echo) => pb::fact::Body::Echo(echo.as_ref().into()),
            FactBody::Account(account) => pb::fact::Body::Account(account.into()),
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

impl TryFrom<pb::Fact> for Fact {
    type Error = FieldError;

    fn try_from(fact: pb::Fact) -> Result<Self, FieldError> {
        let body = match required("body", fact.body)? {
            pb::fact::Body::Message(message) => FactBody::Message(Box::new(
                InboundMessage::try_from(message).map_err(|error| error.within("message"))?,
            )),
            pb::fact::Body::Status(status) => FactBody::Status(Box::new(
                StatusUpdate::try_from(status).map_err(|error| error.within("status"))?,
            )),
            pb::fact::Body::Echo(echo) => FactBody::Echo(Box::new(
                Echo::try_from(echo).map_err(|error| error.within("echo"))?,
            )),
            pb::fact::Body::Account(account) => FactBody::Account(
                AccountFact::try_from(account).map_err(|error| error.within("account"))?,
            ),
        };
        if fact.dedupe_key.is_empty() {
            return Err(FieldError::new("dedupe_key", "must be set"));
        }
        Ok(Self {
            waba_id: id("waba_id", fact.waba_id)?,
            number_id: id_opt("number_id", fact.number_id)?,
            dedupe_key: fact.dedupe_key,
            body,
        })
    }
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

impl TryFrom<pb::InboundMessage> for InboundMessage {
    type Error = FieldError;

    fn try_from(message: pb::InboundMessage) -> Result<Self, FieldError> {
        Ok(Self {
            id: id("id", message.id)?,
            from: identity_from_proto(required("from", message.from)?),
            sent_at: time("sent_at", message.sent_at)?,
            content: content(message.content)?,
            context: message
                .context
                .map(MessageContext::try_from)
                .transpose()
                .map_err(|error| error.within("context"))?,
            referral: message.referral.map(Into::into),
            group_id: some(message.group_id),
            errors: message.errors.into_iter().map(Into::into).collect(),
        })
    }
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

impl TryFrom<pb::MessageContext> for MessageContext {
    type Error = FieldError;

    fn try_from(context: pb::MessageContext) -> Result<Self, FieldError> {
        let told = !(context.catalog_id.is_empty() && context.product_id.is_empty());
        Ok(Self {
            message_id: id_opt("message_id", context.message_id)?,
            from: some(context.from),
            forwarded: context.forwarded,
            frequently_forwarded: context.frequently_forwarded,
            product: told.then_some((context.catalog_id, context.product_id)),
        })
    }
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

impl From<pb::Referral> for Referral {
    fn from(referral: pb::Referral) -> Self {
        Self {
            source_type: referral.source_type,
            source_id: referral.source_id,
            source_url: referral.source_url,
            headline: some(referral.headline),
            body: some(referral.body),
            click_id: some(referral.click_id),
            raw: referral.raw,
        }
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

impl TryFrom<pb::StatusUpdate> for StatusUpdate {
    type Error = FieldError;

    fn try_from(update: pb::StatusUpdate) -> Result<Self, FieldError> {
        let status = pb::DeliveryStatus::try_from(update.status)
            .map_err(|_| FieldError::new("status", "is not a known status"))?;
        Ok(Self {
            id: id("id", update.id)?,
            status: DeliveryStatus::try_from(status)?,
            occurred_at: time("occurred_at", update.occurred_at)?,
            recipient: identity_from_proto(update.recipient.unwrap_or_default()),
            participant: some(update.participant),
            callback_data: some(update.callback_data),
            pricing: update.pricing.map(Into::into),
            billing_conversation: some(update.billing_conversation),
            billing_conversation_expires: timestamp_from_proto(
                "billing_conversation_expires",
                update.billing_conversation_expires,
            )?,
            billing_conversation_origin: some(update.billing_conversation_origin),
            errors: update.errors.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&Echo> for pb::Echo {
    fn from(echo: &Echo) -> Self {
        Self {
            id: echo.id.to_string(),
            to: Some((&echo.to).into()),
            sent_at: Some(timestamp_to_proto(echo.sent_at)),
            content: Some((&echo.content).into()),
        }
    }
}

impl TryFrom<pb::Echo> for Echo {
    type Error = FieldError;

    fn try_from(echo: pb::Echo) -> Result<Self, FieldError> {
        Ok(Self {
            id: id("id", echo.id)?,
            to: identity_from_proto(required("to", echo.to)?),
            sent_at: time("sent_at", echo.sent_at)?,
            content: content(echo.content)?,
        })
    }
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

impl TryFrom<pb::AccountFact> for AccountFact {
    type Error = FieldError;

    fn try_from(fact: pb::AccountFact) -> Result<Self, FieldError> {
        if fact.field.is_empty() {
            return Err(FieldError::new("field", "must be set"));
        }
        Ok(Self {
            field: fact.field,
            event: fact.event,
            known: fact.known,
            occurred_at: timestamp_from_proto("occurred_at", fact.occurred_at)?,
            attributes: fact.attributes.into_iter().collect(),
            raw: fact.raw,
        })
    }
}

fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Timestamp, FieldError> {
    required(field, timestamp_from_proto(field, at)?)
}

fn content(value: Option<pb::Content>) -> Result<Content, FieldError> {
    Content::try_from(required("content", value)?).map_err(|error| error.within("content"))
}
