//! The way back: a request to send, read as the sandbox receives it.

use core_types::{
    Button, ContactCard, ContactIdentity, Content, Interactive, InteractiveAction,
    InteractiveHeader, ListRow, ListSection, Location, Media, MediaKind, TemplateButtonParameter,
    TemplateHeaderParameter, TemplateSend, WhatsAppMessageId,
};
use serde_json::{Map, Value};

use super::{DecodedSend, SendProblem};

type Object = Map<String, Value>;

/// Reads the body of `POST /{phone_number_id}/messages`.
///
/// # Errors
/// When the body is not JSON, misses a field, or holds a type Frontdesk does not send;
/// [`SendProblem::code`] is Meta's code for it.
pub fn decode(body: &str) -> Result<DecodedSend, SendProblem> {
    let value: Value =
        serde_json::from_str(body).map_err(|error| SendProblem::Malformed(error.to_string()))?;
    let Value::Object(body) = value else {
        return Err(SendProblem::Malformed("it is not a JSON object".to_owned()));
    };
    if let Some(status) = text(&body, "status") {
        return Err(SendProblem::NotAMessage(status));
    }
    if text(&body, "messaging_product").as_deref() != Some("whatsapp") {
        return Err(SendProblem::Missing(
            "messaging_product (\"whatsapp\")".to_owned(),
        ));
    }
    let to = recipient(&body)?;
    let kind = text(&body, "type").unwrap_or_else(|| "text".to_owned());
    let content = content(&body, &kind)?;
    let reply_to = match object(&body, "context") {
        Some(context) => Some(required(context, "message_id", "context")?),
        None => None,
    };
    Ok(DecodedSend {
        to,
        content,
        reply_to,
        callback_data: text(&body, "biz_opaque_callback_data"),
    })
}

fn recipient(body: &Object) -> Result<ContactIdentity, SendProblem> {
    if let Some(kind) = text(body, "recipient_type").filter(|kind| kind != "individual") {
        return Err(SendProblem::UnsupportedType(format!(
            "recipient_type {kind}"
        )));
    }
    let mut identity = match text(body, "to") {
        Some(to) => {
            ContactIdentity::from_phone(&to).map_err(|error| invalid("to", error.to_string()))?
        }
        None => ContactIdentity::default(),
    };
    identity.user_id = text(body, "recipient");
    if identity.phone.is_none() && identity.user_id.is_none() {
        return Err(SendProblem::Missing("to or recipient".to_owned()));
    }
    Ok(identity)
}

fn content(body: &Object, kind: &str) -> Result<Content, SendProblem> {
    if kind == "contacts" {
        let cards = array(body, "contacts").ok_or_else(|| missing("contacts"))?;
        return Ok(Content::Contacts {
            cards: cards.iter().map(card).collect(),
            origin: None,
        });
    }
    let inner = object(body, kind);
    let part = || inner.ok_or_else(|| missing(kind));
    if let Some(media_kind) = media_kind(kind) {
        return Ok(Content::Media(media(part()?, media_kind, kind)?));
    }
    match kind {
        "text" => Ok(Content::Text {
            body: required(part()?, "body", kind)?,
            preview_url: flag(part()?, "preview_url"),
        }),
        "location" => Ok(Content::Location(Location {
            latitude: degrees(part()?, "latitude")?,
            longitude: degrees(part()?, "longitude")?,
            name: text(part()?, "name"),
            address: text(part()?, "address"),
            url: None,
        })),
        "reaction" => {
            let target = required(part()?, "message_id", kind)?;
            Ok(Content::Reaction {
                target: WhatsAppMessageId::new(target)
                    .map_err(|error| invalid("reaction.message_id", error.to_string()))?,
                emoji: text(part()?, "emoji"),
            })
        }
        "interactive" => interactive(part()?).map(Content::Interactive),
        "template" => template(part()?).map(Content::Template),
        other => Err(SendProblem::UnsupportedType(other.to_owned())),
    }
}

fn media_kind(word: &str) -> Option<MediaKind> {
    [
        MediaKind::Image,
        MediaKind::Video,
        MediaKind::Audio,
        MediaKind::Document,
        MediaKind::Sticker,
    ]
    .into_iter()
    .find(|kind| kind.word() == word)
}

fn media(part: &Object, kind: MediaKind, field: &str) -> Result<Media, SendProblem> {
    let (id, link) = (text(part, "id"), text(part, "link"));
    if id.is_none() && link.is_none() {
        return Err(SendProblem::Missing(format!("{field}.id or {field}.link")));
    }
    Ok(Media {
        kind,
        id,
        link,
        mime_type: None,
        sha256: None,
        caption: text(part, "caption"),
        filename: text(part, "filename"),
        voice: flag(part, "voice"),
        animated: false,
    })
}

fn card(card: &Value) -> ContactCard {
    let list = |key: &str, inner: &str| -> Vec<String> {
        let entries = card.get(key).and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| word(entry.get(inner)?))
            .collect()
    };
    let name = card.pointer("/name/formatted_name").and_then(word);
    ContactCard {
        name: name.unwrap_or_default(),
        phones: list("phones", "phone"),
        emails: list("emails", "email"),
        raw: card.to_string(),
    }
}

fn interactive(part: &Object) -> Result<Interactive, SendProblem> {
    let kind = required(part, "type", "interactive")?;
    let action = object(part, "action").ok_or_else(|| missing("interactive.action"))?;
    let action = match kind.as_str() {
        "button" => buttons(action)?,
        "list" => list(action)?,
        "cta_url" => {
            let field = "interactive.action.parameters";
            let parameters = object(action, "parameters").ok_or_else(|| missing(field))?;
            InteractiveAction::Link {
                text: required(parameters, "display_text", field)?,
                url: required(parameters, "url", field)?,
            }
        }
        "location_request_message" => InteractiveAction::LocationRequest,
        other => {
            return Err(SendProblem::UnsupportedType(format!("interactive {other}")));
        }
    };
    let header = match object(part, "header") {
        Some(header) => Some(interactive_header(header)?),
        None => None,
    };
    let body = object(part, "body").ok_or_else(|| missing("interactive.body"))?;
    Ok(Interactive {
        header,
        body: required(body, "text", "interactive.body")?,
        footer: object(part, "footer").and_then(|footer| text(footer, "text")),
        action,
    })
}

fn interactive_header(header: &Object) -> Result<InteractiveHeader, SendProblem> {
    let kind = required(header, "type", "interactive.header")?;
    if kind == "text" {
        return required(header, "text", "interactive.header").map(InteractiveHeader::Text);
    }
    let field = format!("interactive.header.{kind}");
    match (media_kind(&kind), object(header, &kind)) {
        (Some(media_kind), Some(part)) => {
            media(part, media_kind, &field).map(InteractiveHeader::Media)
        }
        (Some(_), None) => Err(SendProblem::Missing(field)),
        (None, _) => Err(invalid(
            "interactive.header.type",
            "is not known".to_owned(),
        )),
    }
}

fn buttons(action: &Object) -> Result<InteractiveAction, SendProblem> {
    let field = "interactive.action.buttons";
    let buttons = array(action, "buttons").ok_or_else(|| missing(field))?;
    let button = |(index, button): (usize, &Value)| {
        let field = format!("{field}[{index}].reply");
        let reply = button.get("reply").and_then(Value::as_object);
        let reply = reply.ok_or_else(|| missing(&field))?;
        Ok(Button {
            id: required(reply, "id", &field)?,
            title: required(reply, "title", &field)?,
        })
    };
    Ok(InteractiveAction::Buttons {
        buttons: buttons
            .iter()
            .enumerate()
            .map(button)
            .collect::<Result<_, _>>()?,
    })
}

fn list(action: &Object) -> Result<InteractiveAction, SendProblem> {
    let field = "interactive.action.sections";
    let sections = array(action, "sections").ok_or_else(|| missing(field))?;
    let section = |(index, section): (usize, &Value)| {
        let field = format!("{field}[{index}]");
        let section = section.as_object().ok_or_else(|| missing(&field))?;
        let rows = array(section, "rows").ok_or_else(|| missing(&format!("{field}.rows")))?;
        let row = |(index, row): (usize, &Value)| {
            let field = format!("{field}.rows[{index}]");
            let row = row.as_object().ok_or_else(|| missing(&field))?;
            Ok(ListRow {
                id: required(row, "id", &field)?,
                title: required(row, "title", &field)?,
                description: text(row, "description"),
            })
        };
        Ok(ListSection {
            title: text(section, "title").unwrap_or_default(),
            rows: rows.iter().enumerate().map(row).collect::<Result<_, _>>()?,
        })
    };
    Ok(InteractiveAction::List {
        button: required(action, "button", "interactive.action")?,
        sections: sections
            .iter()
            .enumerate()
            .map(section)
            .collect::<Result<_, _>>()?,
    })
}

fn template(part: &Object) -> Result<TemplateSend, SendProblem> {
    let language = object(part, "language").ok_or_else(|| missing("template.language"))?;
    let mut send = TemplateSend {
        name: required(part, "name", "template")?,
        language: required(language, "code", "template.language")?,
        ..TemplateSend::default()
    };
    for (index, component) in array(part, "components").unwrap_or(&[]).iter().enumerate() {
        let field = format!("template.components[{index}]");
        let component = component.as_object().ok_or_else(|| missing(&field))?;
        let kind = required(component, "type", &field)?.to_ascii_lowercase();
        let parameters = array(component, "parameters").unwrap_or(&[]);
        match kind.as_str() {
            "header" => {
                for parameter in parameters {
                    send.header = Some(header_parameter(parameter, &field)?);
                }
            }
            "body" => {
                for parameter in parameters {
                    send.body.push(body_parameter(parameter, &field)?);
                }
            }
            "button" => send
                .buttons
                .push(button_parameter(component, parameters, &field)?),
            other => {
                return Err(SendProblem::UnsupportedType(format!(
                    "template component {other}"
                )));
            }
        }
    }
    Ok(send)
}

fn header_parameter(
    parameter: &Value,
    field: &str,
) -> Result<TemplateHeaderParameter, SendProblem> {
    let parameter = parameter.as_object().ok_or_else(|| missing(field))?;
    let kind = required(parameter, "type", field)?.to_ascii_lowercase();
    if kind == "text" {
        return Ok(TemplateHeaderParameter::Text(
            text(parameter, "parameter_name"),
            required(parameter, "text", field)?,
        ));
    }
    let Some(media_kind) = media_kind(&kind) else {
        return Err(SendProblem::UnsupportedType(format!(
            "template header {kind}"
        )));
    };
    let field = format!("{field}.{kind}");
    let part = object(parameter, &kind).ok_or_else(|| missing(&field))?;
    media(part, media_kind, &field).map(TemplateHeaderParameter::Media)
}

/// Currency and date parameters become the text Meta shows for them.
fn body_parameter(parameter: &Value, field: &str) -> Result<(Option<String>, String), SendProblem> {
    let parameter = parameter.as_object().ok_or_else(|| missing(field))?;
    let kind = required(parameter, "type", field)?.to_ascii_lowercase();
    let value = match kind.as_str() {
        "text" => required(parameter, "text", field)?,
        "currency" | "date_time" => {
            let field = format!("{field}.{kind}");
            let part = object(parameter, &kind).ok_or_else(|| missing(&field))?;
            required(part, "fallback_value", &field)?
        }
        other => {
            return Err(SendProblem::UnsupportedType(format!(
                "template parameter {other}"
            )));
        }
    };
    Ok((text(parameter, "parameter_name"), value))
}

fn button_parameter(
    component: &Object,
    parameters: &[Value],
    field: &str,
) -> Result<TemplateButtonParameter, SendProblem> {
    let kind = required(component, "sub_type", field)?.to_ascii_lowercase();
    // Meta accepts the index as text and as number.
    let index = required(component, "index", field)?;
    let index = index
        .parse()
        .map_err(|_| invalid(&format!("{field}.index"), "is not a number".to_owned()))?;
    let key = match kind.as_str() {
        "url" => "text",
        "quick_reply" => "payload",
        "copy_code" => "coupon_code",
        other => {
            return Err(SendProblem::UnsupportedType(format!(
                "template button {other}"
            )));
        }
    };
    let first = parameters.first().and_then(Value::as_object);
    let first = first.ok_or_else(|| missing(&format!("{field}.parameters")))?;
    // Older examples put a quick reply's payload into "text".
    let value = text(first, key).or_else(|| text(first, "text"));
    Ok(TemplateButtonParameter {
        index,
        kind,
        value: value.ok_or_else(|| missing(&format!("{field}.parameters[0].{key}")))?,
    })
}

fn missing(field: &str) -> SendProblem {
    SendProblem::Missing(field.to_owned())
}

fn invalid(field: &str, problem: String) -> SendProblem {
    SendProblem::Invalid {
        field: field.to_owned(),
        problem,
    }
}

/// A text, or a number or truth value as text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(object: &Object, key: &str) -> Option<String> {
    word(object.get(key)?).filter(|text| !text.is_empty())
}

fn required(object: &Object, key: &str, field: &str) -> Result<String, SendProblem> {
    text(object, key).ok_or_else(|| SendProblem::Missing(format!("{field}.{key}")))
}

fn flag(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn object<'a>(object: &'a Object, key: &str) -> Option<&'a Object> {
    object.get(key)?.as_object()
}

fn array<'a>(object: &'a Object, key: &str) -> Option<&'a [Value]> {
    object.get(key)?.as_array().map(Vec::as_slice)
}

fn degrees(part: &Object, key: &str) -> Result<f64, SendProblem> {
    let text = required(part, key, "location")?;
    let degrees: Option<f64> = text
        .parse()
        .ok()
        .filter(|degrees: &f64| degrees.is_finite());
    degrees.ok_or_else(|| {
        invalid(
            &format!("location.{key}"),
            "is not a number of degrees".to_owned(),
        )
    })
}
