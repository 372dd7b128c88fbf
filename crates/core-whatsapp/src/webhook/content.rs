//! What a received message says, by its `type`.

use core_types::{
    ContactCard, ContactIdentity, Content, Location, Media, MediaKind, OrderItem, Reply, ReplyKind,
    SystemNotice,
};
use serde_json::value::RawValue;

use super::contacts::digits;
use super::message::message_id;
use super::problem::ItemProblem;
use super::wire::{self, Message, Word, object, text};

/// How deep an edit may hold an edit. WhatsApp sends one level.
const MAX_EDITS: usize = 3;

/// Most phone numbers and e-mail addresses taken from one address card; the card keeps all in raw.
const CARD_ENTRIES: usize = 50;

/// The content of `message`, whose JSON is `raw`.
pub(super) fn content(
    message: Message<'_>,
    raw: &str,
    edits: usize,
) -> Result<Content, ItemProblem> {
    let kind = text(message.kind).ok_or_else(|| ItemProblem::missing("type"))?;
    let unknown = || Content::Unknown {
        kind: kind.clone(),
        raw: raw.to_owned(),
    };
    Ok(match kind.as_str() {
        "text" => Content::Text {
            body: message
                .text
                .and_then(|part| part.body)
                .ok_or_else(|| ItemProblem::missing("text.body"))?
                .0
                .into_owned(),
            preview_url: false,
        },
        "image" => media(MediaKind::Image, message.image)?,
        "video" => media(MediaKind::Video, message.video)?,
        "audio" => media(MediaKind::Audio, message.audio)?,
        "voice" => voice(message.voice)?,
        "document" => media(MediaKind::Document, message.document)?,
        "sticker" => media(MediaKind::Sticker, message.sticker)?,
        "location" => location(message.location)?.unwrap_or_else(unknown),
        "contacts" => Content::Contacts {
            cards: part(message.contacts, "contacts")?
                .into_iter()
                .map(card)
                .collect(),
            origin: text(message.origin),
        },
        "interactive" => Content::Reply(interactive(part(message.interactive, "interactive")?)?),
        "button" => {
            let button = part(message.button, "button")?;
            Content::Reply(Reply {
                kind: ReplyKind::TemplateButton,
                id: text(button.payload).unwrap_or_default(),
                title: text(button.text).unwrap_or_default(),
                data: None,
            })
        }
        "reaction" => {
            let reaction = part(message.reaction, "reaction")?;
            Content::Reaction {
                target: message_id("reaction.message_id", reaction.message_id.as_ref())?,
                emoji: text(reaction.emoji),
            }
        }
        "order" => order(part(message.order, "order")?),
        "system" => Content::System(system(part(message.system, "system")?, message.identity)),
        "edit" => edit(part(message.edit, "edit")?, edits + 1)?,
        "revoke" => {
            let revoke = part(message.revoke, "revoke")?;
            let target = revoke.original_message_id.as_ref();
            Content::Revoke {
                target: message_id("revoke.original_message_id", target)?,
            }
        }
        "unsupported" => Content::Unsupported {
            kind: text(message.unsupported.and_then(|part| part.kind))
                .unwrap_or_else(|| "unknown".to_owned()),
        },
        _ => unknown(),
    })
}

fn part<T>(part: Option<T>, name: &str) -> Result<T, ItemProblem> {
    part.ok_or_else(|| ItemProblem::missing(name))
}

fn truth(word: Option<&Word<'_>>) -> bool {
    word.is_some_and(|word| word.as_str() == "true")
}

fn media(kind: MediaKind, media: Option<wire::Media<'_>>) -> Result<Content, ItemProblem> {
    let media = part(media, kind.word())?;
    Ok(Content::Media(Media {
        kind,
        voice: truth(media.voice.as_ref()),
        animated: truth(media.animated.as_ref()),
        id: text(media.id),
        link: text(media.url).or_else(|| text(media.link)),
        mime_type: text(media.mime_type),
        sha256: text(media.sha256),
        caption: text(media.caption),
        filename: text(media.filename),
    }))
}

/// The older spelling of a voice note.
fn voice(note: Option<wire::Media<'_>>) -> Result<Content, ItemProblem> {
    let note = part(note, "voice")?;
    let mut content = media(MediaKind::Audio, Some(note))?;
    if let Content::Media(media) = &mut content {
        media.voice = true;
    }
    Ok(content)
}

/// `None` when the degrees are not numbers: then the place is shown as it came.
fn location(place: Option<wire::Location<'_>>) -> Result<Option<Content>, ItemProblem> {
    let place = part(place, "location")?;
    let degrees = |word: Option<&Word<'_>>| -> Option<f64> {
        let degrees: f64 = word?.as_str().parse().ok()?;
        degrees.is_finite().then_some(degrees)
    };
    let (Some(latitude), Some(longitude)) = (
        degrees(place.latitude.as_ref()),
        degrees(place.longitude.as_ref()),
    ) else {
        return Ok(None);
    };
    Ok(Some(Content::Location(Location {
        latitude,
        longitude,
        name: text(place.name),
        address: text(place.address),
        url: text(place.url),
    })))
}

fn card(raw: &RawValue) -> ContactCard {
    let card: wire::Card<'_> = object(raw).unwrap_or_default();
    let name = card.name.unwrap_or_default();
    let parts = [name.first, name.last];
    let joined = || {
        let parts: Vec<String> = parts.into_iter().filter_map(text).collect();
        parts.join(" ")
    };
    let phones = card.phones.into_iter().flatten();
    let emails = card.emails.into_iter().flatten();
    ContactCard {
        name: text(name.formatted).unwrap_or_else(joined),
        phones: phones
            .filter_map(|entry| text(entry.phone).or_else(|| text(entry.wa_id)))
            .take(CARD_ENTRIES)
            .collect(),
        emails: emails
            .filter_map(|entry| text(entry.email))
            .take(CARD_ENTRIES)
            .collect(),
        raw: raw.get().to_owned(),
    }
}

fn interactive(raw: &RawValue) -> Result<Reply, ItemProblem> {
    let reply: wire::Interactive<'_> = object(raw)?;
    let kind = text(reply.kind).unwrap_or_default();
    let choice = |kind, choice: wire::Choice<'_>| Reply {
        kind,
        id: text(choice.id).unwrap_or_default(),
        title: text(choice.title).unwrap_or_default(),
        data: None,
    };
    Ok(match kind.as_str() {
        "button_reply" => choice(
            ReplyKind::Button,
            part(reply.button_reply, "interactive.button_reply")?,
        ),
        "list_reply" => choice(
            ReplyKind::List,
            part(reply.list_reply, "interactive.list_reply")?,
        ),
        "nfm_reply" => Reply {
            kind: ReplyKind::Form,
            id: String::new(),
            // Meta's body is always "Sent", which tells the agent nothing.
            title: String::new(),
            data: part(reply.nfm_reply, "interactive.nfm_reply")?
                .response_json
                .map(form_answers),
        },
        "call_permission_reply" => {
            let permission = part(
                reply.call_permission_reply,
                "interactive.call_permission_reply",
            )?;
            let response = text(permission.response).unwrap_or_default();
            Reply {
                kind: ReplyKind::CallPermission,
                title: response.clone(),
                id: response,
                data: Some(raw.get().to_owned()),
            }
        }
        _ => Reply {
            kind: ReplyKind::Other,
            id: String::new(),
            title: kind,
            data: Some(raw.get().to_owned()),
        },
    })
}

/// The answers of a form as JSON text. Meta sends them as a string that holds JSON.
fn form_answers(raw: &RawValue) -> String {
    match Word::from_raw(raw) {
        Some(word) => word.0.into_owned(),
        None => raw.get().to_owned(),
    }
}

fn order(order: wire::Order<'_>) -> Content {
    let exact = |raw: Option<&RawValue>| text(raw.and_then(Word::from_raw)).unwrap_or_default();
    let items = order.product_items.into_iter().flatten();
    Content::Order {
        catalog_id: text(order.catalog_id).unwrap_or_default(),
        text: text(order.text),
        items: items
            .map(|item| OrderItem {
                product_id: exact(item.product_retailer_id),
                quantity: exact(item.quantity),
                price: exact(item.item_price),
                currency: exact(item.currency),
            })
            .collect(),
    }
}

fn system(notice: wire::System<'_>, identity: Option<wire::Identity<'_>>) -> SystemNotice {
    let sentence = text(notice.body).unwrap_or_default();
    let word = text(notice.kind).unwrap_or_default();
    let phone = notice.wa_id.or(notice.new_wa_id).as_ref().and_then(digits);
    let user_id = text(notice.user_id);
    match word.as_str() {
        "user_changed_number" | "customer_changed_number" | "user_changed_user_id"
            if phone.is_some() || user_id.is_some() =>
        {
            SystemNotice::NumberChanged {
                text: sentence,
                new_identity: ContactIdentity {
                    phone,
                    user_id,
                    parent_user_id: text(notice.parent_user_id),
                    ..ContactIdentity::default()
                },
            }
        }
        "customer_identity_changed" => SystemNotice::IdentityChanged {
            text: sentence,
            hash: identity
                .and_then(|identity| text(identity.hash))
                .or_else(|| text(notice.identity)),
        },
        _ => SystemNotice::Other {
            word,
            text: sentence,
        },
    }
}

fn edit(edit: wire::Edit<'_>, edits: usize) -> Result<Content, ItemProblem> {
    if edits > MAX_EDITS {
        return Err(ItemProblem::shape(format!(
            "edits nest more than {MAX_EDITS} deep"
        )));
    }
    let target = edit.original_message_id.as_ref();
    let target = message_id("edit.original_message_id", target)?;
    let raw = part(edit.message, "edit.message")?;
    let message: Message<'_> = object(raw)?;
    Ok(Content::Edit {
        target,
        replacement: Box::new(content(message, raw.get(), edits)?),
    })
}
