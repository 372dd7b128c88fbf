//! A customer's message as webhook JSON: every type of section 1.4.

use core_types::{
    ContactCard, Content, Location, Media, MediaKind, OrderItem, Referral, Reply, ReplyKind,
    SystemNotice, Timestamp,
};
use serde_json::{Map, Value, json};

use super::{contact, metadata, tells_user_ids};
use crate::identity::{Direction, direction_of};
use crate::state::{Customer, Number};

/// Why a content cannot come from a customer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFromCustomer {
    /// Only businesses send it.
    #[error("customers cannot send {0}")]
    BusinessOnly(&'static str),
    /// It holds JSON text that is none.
    #[error("`{field}` is not JSON: {problem}")]
    BadJson {
        /// Which field.
        field: &'static str,
        /// Why.
        problem: String,
    },
}

/// A message a customer writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromCustomer<'a> {
    pub(crate) id: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) customer: &'a Customer,
    pub(crate) number: &'a Number,
    pub(crate) content: &'a Content,
    pub(crate) reply_to: Option<&'a str>,
    pub(crate) referral: Option<&'a Referral>,
}

/// `value` of the `messages` update.
///
/// # Errors
/// When a customer cannot send this content.
pub(crate) fn customer_message(from: FromCustomer<'_>) -> Result<Value, NotFromCustomer> {
    let FromCustomer {
        customer,
        number,
        content,
        ..
    } = from;
    let seconds = from.at.as_seconds();
    let phone = customer.phone.as_deref().filter(|_| !customer.hidden);
    let mut message = match content {
        Content::Unknown { kind, raw } => unknown(kind, raw)?,
        _ => body(content, from.id)?,
    };
    if let Some(phone) = phone {
        message.insert("from".into(), json!(phone));
    }
    if tells_user_ids(seconds, customer) {
        message.insert("from_user_id".into(), json!(customer.user_id));
        if let Some(parent) = &customer.parent_user_id {
            message.insert("from_parent_user_id".into(), json!(parent));
        }
    }
    message.insert("id".into(), json!(from.id));
    message.insert("timestamp".into(), json!(seconds.to_string()));
    if let Some(quoted) = from.reply_to {
        let mut context = json!({"id": quoted});
        let author = match direction_of(quoted) {
            Some(Direction::FromCustomer) => phone,
            _ => Some(number.phone.as_str()),
        };
        if let Some(author) = author {
            context["from"] = json!(author);
        }
        message.insert("context".into(), context);
    }
    if let Some(referral) = from.referral {
        message.insert("referral".into(), referral_object(referral)?);
    }
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(number),
        "messages": [message],
    });
    if !matches!(content, Content::System(_)) {
        value["contacts"] = json!([contact(customer, phone, seconds)]);
    }
    Ok(value)
}

/// `{"type": kind, kind: object}`.
fn typed(kind: &str, object: Value) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!(kind)), (kind.to_owned(), object)])
}

fn body(content: &Content, id: &str) -> Result<Map<String, Value>, NotFromCustomer> {
    Ok(match content {
        Content::Text { body, .. } => typed("text", json!({"body": body})),
        Content::Media(media) => typed(media.kind.word(), media_object(media, id)),
        Content::Location(place) => typed("location", location(place)),
        Content::Contacts { cards, origin } => {
            let cards = cards.iter().map(card).collect::<Result<Vec<_>, _>>()?;
            let mut message = typed("contacts", json!(cards));
            if let Some(origin) = origin {
                message.insert("origin".into(), json!(origin));
            }
            message
        }
        Content::Reply(reply) => self::reply(reply)?,
        Content::Reaction { target, emoji } => {
            let mut reaction = json!({"message_id": target.as_str()});
            if let Some(emoji) = emoji {
                reaction["emoji"] = json!(emoji);
            }
            typed("reaction", reaction)
        }
        Content::Order {
            catalog_id,
            text,
            items,
        } => {
            let items: Vec<Value> = items.iter().map(item).collect();
            let mut order = json!({"catalog_id": catalog_id, "product_items": items});
            if let Some(text) = text {
                order["text"] = json!(text);
            }
            typed("order", order)
        }
        Content::System(notice) => system(notice, id),
        Content::Edit {
            target,
            replacement,
        } => {
            let message = body(replacement, id)?;
            typed(
                "edit",
                json!({"original_message_id": target.as_str(), "message": message}),
            )
        }
        Content::Revoke { target } => {
            typed("revoke", json!({"original_message_id": target.as_str()}))
        }
        Content::Unsupported { kind } => unsupported(kind),
        Content::Unknown { kind, raw } => unknown(kind, raw)?,
        Content::Interactive(_) => {
            return Err(NotFromCustomer::BusinessOnly(
                "messages with buttons or lists",
            ));
        }
        Content::Template(_) => return Err(NotFromCustomer::BusinessOnly("templates")),
    })
}

fn media_object(media: &Media, message_id: &str) -> Value {
    let digits: u64 = message_id.bytes().fold(7, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte)) % 10_000_000_000_000_000
    });
    let id = media.id.clone().unwrap_or_else(|| digits.to_string());
    let mime_type = media.mime_type.as_deref().unwrap_or(match media.kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Video => "video/mp4",
        MediaKind::Audio => "audio/ogg; codecs=opus",
        MediaKind::Document => "application/pdf",
        MediaKind::Sticker => "image/webp",
    });
    let sha256 = media
        .sha256
        .as_deref()
        .unwrap_or("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let mut object = json!({"id": id, "mime_type": mime_type, "sha256": sha256});
    if let Some(caption) = &media.caption {
        object["caption"] = json!(caption);
    }
    if let Some(link) = &media.link {
        object["url"] = json!(link);
    }
    match media.kind {
        MediaKind::Document => {
            object["filename"] = json!(media.filename.as_deref().unwrap_or("document.pdf"));
        }
        MediaKind::Audio => object["voice"] = json!(media.voice),
        MediaKind::Sticker => object["animated"] = json!(media.animated),
        MediaKind::Image | MediaKind::Video => {}
    }
    object
}

fn location(place: &Location) -> Value {
    let mut object = json!({"latitude": place.latitude, "longitude": place.longitude});
    for (key, value) in [
        ("name", &place.name),
        ("address", &place.address),
        ("url", &place.url),
    ] {
        if let Some(value) = value {
            object[key] = json!(value);
        }
    }
    object
}

fn card(card: &ContactCard) -> Result<Value, NotFromCustomer> {
    if !card.raw.is_empty() {
        return parsed("content.contacts.cards.raw", &card.raw);
    }
    let phones: Vec<Value> = card
        .phones
        .iter()
        .map(|phone| json!({"phone": phone, "type": "CELL"}))
        .collect();
    let emails: Vec<Value> = card
        .emails
        .iter()
        .map(|email| json!({"email": email, "type": "WORK"}))
        .collect();
    let name = json!({"formatted_name": card.name, "first_name": card.name});
    Ok(json!({"name": name, "phones": phones, "emails": emails}))
}

fn reply(reply: &Reply) -> Result<Map<String, Value>, NotFromCustomer> {
    let Reply {
        kind,
        id,
        title,
        data,
    } = reply;
    let data = data.as_deref().filter(|data| !data.is_empty());
    let interactive = match kind {
        ReplyKind::TemplateButton => {
            return Ok(typed("button", json!({"payload": id, "text": title})));
        }
        ReplyKind::Button => {
            json!({"type": "button_reply", "button_reply": {"id": id, "title": title}})
        }
        ReplyKind::List => {
            json!({"type": "list_reply", "list_reply": {"id": id, "title": title}})
        }
        ReplyKind::Form => {
            let answers = data.unwrap_or("{}");
            parsed("content.reply.data", answers)?;
            let form = json!({"name": "flow", "body": "Sent", "response_json": answers});
            json!({"type": "nfm_reply", "nfm_reply": form})
        }
        ReplyKind::CallPermission => {
            let response = if id.is_empty() { "accept" } else { id.as_str() };
            let permission = json!({"response": response, "response_source": "user_action"});
            json!({"type": "call_permission_reply", "call_permission_reply": permission})
        }
        ReplyKind::Other => parsed("content.reply.data", data.unwrap_or("{}"))?,
    };
    Ok(typed("interactive", interactive))
}

fn item(item: &OrderItem) -> Value {
    // Meta writes numbers; what is no number stays text.
    let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).map(Value::Number);
    json!({
        "product_retailer_id": item.product_id,
        "quantity": number(&item.quantity).unwrap_or_else(|_| json!(item.quantity)),
        "item_price": number(&item.price).unwrap_or_else(|_| json!(item.price)),
        "currency": item.currency,
    })
}

fn system(notice: &SystemNotice, id: &str) -> Map<String, Value> {
    match notice {
        SystemNotice::NumberChanged { text, new_identity } => {
            let mut object = json!({"body": text, "type": "user_changed_number"});
            if let Some(phone) = &new_identity.phone {
                object["wa_id"] = json!(phone);
            }
            if let Some(user_id) = &new_identity.user_id {
                object["user_id"] = json!(user_id);
            }
            typed("system", object)
        }
        SystemNotice::IdentityChanged { text, hash } => {
            let object = json!({"body": text, "type": "customer_identity_changed"});
            let mut message = typed("system", object);
            let hash = hash
                .clone()
                .unwrap_or_else(|| id.chars().rev().take(12).collect());
            let identity = json!({"acknowledged": false, "created_timestamp": 0, "hash": hash});
            message.insert("identity".into(), identity);
            message
        }
        SystemNotice::Other { word, text } => typed("system", json!({"body": text, "type": word})),
    }
}

fn unsupported(kind: &str) -> Map<String, Value> {
    let error = json!({
        "code": 131_051,
        "title": "Message type unknown",
        "message": "Message type unknown",
        "error_data": {"details": "Message type is currently not supported."},
    });
    let mut message = typed("unsupported", json!({"type": kind}));
    message.insert("errors".into(), json!([error]));
    message
}

fn unknown(kind: &str, raw: &str) -> Result<Map<String, Value>, NotFromCustomer> {
    match parsed(
        "content.unknown.raw",
        if raw.is_empty() { "{}" } else { raw },
    )? {
        Value::Object(mut whole) if whole.contains_key("type") => {
            whole.insert("type".into(), json!(kind));
            Ok(whole)
        }
        other => Ok(typed(kind, other)),
    }
}

fn referral_object(referral: &Referral) -> Result<Value, NotFromCustomer> {
    let mut object = if referral.raw.is_empty() {
        json!({})
    } else {
        parsed("referral.raw", &referral.raw)?
    };
    if !object.is_object() {
        let problem = "it is not an object".to_owned();
        return Err(NotFromCustomer::BadJson {
            field: "referral.raw",
            problem,
        });
    }
    let told = serde_json::to_value(referral).unwrap_or_default();
    let named = [
        ("source_type", "source_type"),
        ("source_id", "source_id"),
        ("source_url", "source_url"),
        ("headline", "headline"),
        ("body", "body"),
        ("click_id", "ctwa_clid"),
    ];
    for (ours, meta) in named {
        if let Some(text) = told[ours].as_str().filter(|text| !text.is_empty()) {
            object[meta] = json!(text);
        }
    }
    Ok(object)
}

fn parsed(field: &'static str, text: &str) -> Result<Value, NotFromCustomer> {
    serde_json::from_str(text).map_err(|error| NotFromCustomer::BadJson {
        field,
        problem: error.to_string(),
    })
}
