//! A message as the body of `POST /{phone_number_id}/messages`.

use core_types::{
    ContactCard, ContactIdentity, Content, Interactive, InteractiveAction, InteractiveHeader,
    Media, SystemNotice, TemplateHeaderParameter, TemplateSend,
};
use serde_json::{Map, Value, json};

use super::{MAX_CALLBACK_BYTES, SendProblem};

/// Writes the request. The phone number is preferred over the user id, because a request that gives
/// both is sent to the phone number anyway. Limits are not checked here; see [`super::check`].
///
/// # Errors
/// When the contact names nobody, the content can only be received, or the callback data is over
/// 512 bytes.
pub fn encode(
    to: &ContactIdentity,
    content: &Content,
    reply_to: Option<&str>,
    callback_data: &str,
) -> Result<String, SendProblem> {
    if callback_data.len() > MAX_CALLBACK_BYTES {
        return Err(SendProblem::CallbackTooLong(callback_data.len()));
    }
    let mut body = Map::new();
    body.insert("messaging_product".into(), json!("whatsapp"));
    body.insert("recipient_type".into(), json!("individual"));
    // Without "+" Meta puts the business number's country code in front.
    match (
        &to.phone,
        to.user_id.as_ref().or(to.parent_user_id.as_ref()),
    ) {
        (Some(phone), _) => body.insert("to".into(), json!(format!("+{phone}"))),
        (None, Some(user_id)) => body.insert("recipient".into(), json!(user_id)),
        (None, None) => return Err(SendProblem::Nobody),
    };
    let (kind, value) = typed(content)?;
    body.insert("type".into(), json!(kind));
    body.insert(kind.into(), value);
    if let Some(message_id) = reply_to {
        body.insert("context".into(), json!({ "message_id": message_id }));
    }
    if !callback_data.is_empty() {
        body.insert("biz_opaque_callback_data".into(), json!(callback_data));
    }
    Ok(Value::Object(body).to_string())
}

fn typed(content: &Content) -> Result<(&'static str, Value), SendProblem> {
    Ok(match content {
        Content::Text { body, preview_url } => {
            ("text", json!({ "body": body, "preview_url": preview_url }))
        }
        Content::Media(media) => (media.kind.word(), media_object(media)),
        Content::Location(place) => {
            let mut value = json!({ "latitude": place.latitude, "longitude": place.longitude });
            put(&mut value, "name", place.name.as_ref());
            put(&mut value, "address", place.address.as_ref());
            ("location", value)
        }
        Content::Contacts { cards, .. } => ("contacts", cards.iter().map(card).collect()),
        Content::Interactive(interactive) => ("interactive", interactive_object(interactive)),
        Content::Template(template) => ("template", template_object(template)),
        Content::Reaction { target, emoji } => (
            "reaction",
            json!({ "message_id": target.as_str(), "emoji": emoji.as_deref().unwrap_or("") }),
        ),
        Content::Reply(_) => return Err(SendProblem::NotSendable("reply")),
        Content::Order { .. } => return Err(SendProblem::NotSendable("order")),
        Content::System(
            SystemNotice::NumberChanged { .. }
            | SystemNotice::IdentityChanged { .. }
            | SystemNotice::Other { .. },
        ) => return Err(SendProblem::NotSendable("system")),
        Content::Edit { .. } => return Err(SendProblem::NotSendable("edit")),
        Content::Revoke { .. } => return Err(SendProblem::NotSendable("revoke")),
        Content::Unsupported { .. } => return Err(SendProblem::NotSendable("unsupported")),
        Content::Unknown { .. } => return Err(SendProblem::NotSendable("unknown")),
    })
}

fn put(object: &mut Value, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        object[key] = json!(value);
    }
}

fn media_object(media: &Media) -> Value {
    let mut value = json!({});
    // An id wins: Meta refuses requests that hold both.
    match (&media.id, &media.link) {
        (Some(id), _) => value["id"] = json!(id),
        (None, link) => put(&mut value, "link", link.as_ref()),
    }
    put(&mut value, "caption", media.caption.as_ref());
    put(&mut value, "filename", media.filename.as_ref());
    if media.voice {
        value["voice"] = json!(true);
    }
    value
}

/// A card as it came when it is one passed on, else one made from what is known.
fn card(card: &ContactCard) -> Value {
    if let Ok(Value::Object(raw)) = serde_json::from_str(&card.raw) {
        return Value::Object(raw);
    }
    // WhatsApp wants one more name beside the formatted one.
    let mut value = json!({
        "name": { "formatted_name": card.name, "first_name": card.name },
        "phones": card.phones.iter().map(|phone| json!({ "phone": phone })).collect::<Vec<_>>(),
    });
    if !card.emails.is_empty() {
        let emails = card.emails.iter().map(|email| json!({ "email": email }));
        value["emails"] = emails.collect();
    }
    value
}

fn interactive_object(interactive: &Interactive) -> Value {
    let (kind, action) = match &interactive.action {
        InteractiveAction::Buttons { buttons } => {
            let buttons: Vec<Value> = buttons
                .iter()
                .map(|button| {
                    json!({
                        "type": "reply",
                        "reply": { "id": button.id, "title": button.title },
                    })
                })
                .collect();
            ("button", json!({ "buttons": buttons }))
        }
        InteractiveAction::List { button, sections } => {
            let sections: Vec<Value> = sections.iter().map(section).collect();
            ("list", json!({ "button": button, "sections": sections }))
        }
        InteractiveAction::Link { text, url } => (
            "cta_url",
            json!({ "name": "cta_url", "parameters": { "display_text": text, "url": url } }),
        ),
        InteractiveAction::LocationRequest => (
            "location_request_message",
            json!({ "name": "send_location" }),
        ),
    };
    let mut value = json!({
        "type": kind,
        "body": { "text": interactive.body },
        "action": action,
    });
    match &interactive.header {
        None => {}
        Some(InteractiveHeader::Text(text)) => {
            value["header"] = json!({ "type": "text", "text": text });
        }
        Some(InteractiveHeader::Media(media)) => {
            let kind = media.kind.word();
            value["header"] = json!({ "type": kind, kind: media_object(media) });
        }
    }
    if let Some(footer) = &interactive.footer {
        value["footer"] = json!({ "text": footer });
    }
    value
}

fn section(section: &core_types::ListSection) -> Value {
    let rows: Vec<Value> = section
        .rows
        .iter()
        .map(|row| {
            let mut value = json!({ "id": row.id, "title": row.title });
            put(&mut value, "description", row.description.as_ref());
            value
        })
        .collect();
    let mut value = json!({ "rows": rows });
    if !section.title.is_empty() {
        value["title"] = json!(section.title);
    }
    value
}

fn text_parameter(name: Option<&String>, text: &str) -> Value {
    let mut value = json!({ "type": "text", "text": text });
    put(&mut value, "parameter_name", name);
    value
}

fn template_object(template: &TemplateSend) -> Value {
    let mut components = Vec::new();
    if let Some(header) = &template.header {
        let parameter = match header {
            TemplateHeaderParameter::Text(name, text) => text_parameter(name.as_ref(), text),
            TemplateHeaderParameter::Media(media) => {
                let kind = media.kind.word();
                json!({ "type": kind, kind: media_object(media) })
            }
        };
        components.push(json!({ "type": "header", "parameters": [parameter] }));
    }
    if !template.body.is_empty() {
        let parameters: Vec<Value> = template
            .body
            .iter()
            .map(|(name, text)| text_parameter(name.as_ref(), text))
            .collect();
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    for button in &template.buttons {
        let parameter = match button.kind.as_str() {
            "quick_reply" => json!({ "type": "payload", "payload": button.value }),
            "copy_code" => json!({ "type": "coupon_code", "coupon_code": button.value }),
            _ => json!({ "type": "text", "text": button.value }),
        };
        components.push(json!({
            "type": "button",
            "sub_type": button.kind,
            "index": button.index.to_string(),
            "parameters": [parameter],
        }));
    }
    let mut value = json!({
        "name": template.name,
        "language": { "code": template.language },
    });
    if !components.is_empty() {
        value["components"] = json!(components);
    }
    value
}
