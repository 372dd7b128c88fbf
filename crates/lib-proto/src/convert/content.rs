//! What a message says, to and from the wire.

use core_types::{
    Button, ContactCard, Content, Interactive, InteractiveAction, InteractiveHeader, ListRow,
    ListSection, Location, Media, MediaKind, OrderItem, Reply, ReplyKind, SystemNotice,
    WhatsAppMessageId,
};

use super::{FieldError, identity_from_proto, required, some, text};
use crate::common as pb;
use pb::content::Content as Wire;

impl From<&Content> for pb::Content {
    fn from(content: &Content) -> Self {
        Self {
            content: Some(content_body(content)),
        }
    }
}

fn content_body(content: &Content) -> Wire {
    match content {
        Content::Text { body, preview_url } => Wire::Text(pb::Text {
            body: body.clone(),
            preview_url: *preview_url,
        }),
        Content::Media(media) => Wire::Media(media.into()),
        Content::Location(place) => Wire::Location(pb::Location {
            latitude: place.latitude,
            longitude: place.longitude,
            name: text(place.name.as_ref()),
            address: text(place.address.as_ref()),
            url: text(place.url.as_ref()),
        }),
        Content::Contacts { cards, origin } => Wire::Contacts(pb::Contacts {
            cards: cards.iter().map(card_to_proto).collect(),
            origin: text(origin.as_ref()),
        }),
        Content::Interactive(interactive) => Wire::Interactive(interactive.into()),
        Content::Template(template) => Wire::Template(template.into()),
        Content::Reply(reply) => Wire::Reply(reply_to_proto(reply)),
        Content::Reaction { target, emoji } => Wire::Reaction(pb::Reaction {
            target: target.to_string(),
            emoji: text(emoji.as_ref()),
        }),
        Content::Order {
            catalog_id,
            text: note,
            items,
        } => Wire::Order(pb::Order {
            catalog_id: catalog_id.clone(),
            text: text(note.as_ref()),
            items: items.iter().map(item_to_proto).collect(),
        }),
        Content::System(notice) => Wire::System(notice_to_proto(notice)),
        Content::Edit {
            target,
            replacement,
        } => Wire::Edit(Box::new(pb::Edit {
            target: target.to_string(),
            replacement: Some(Box::new(replacement.as_ref().into())),
        })),
        Content::Revoke { target } => Wire::Revoke(pb::Revoke {
            target: target.to_string(),
        }),
        Content::Unsupported { kind } => Wire::Unsupported(pb::Unsupported { kind: kind.clone() }),
        Content::Unknown { kind, raw } => Wire::Unknown(pb::Unknown {
            kind: kind.clone(),
            raw: raw.clone(),
        }),
    }
}

/// A message's content from the wire. Deeply nested edits are refused by the decoder before this.
///
/// # Errors
/// Names the field that is missing or cannot be used.
pub fn content_from_proto(content: pb::Content) -> Result<Content, FieldError> {
    Ok(match required("content", content.content)? {
        Wire::Text(text) => Content::Text {
            body: text.body,
            preview_url: text.preview_url,
        },
        Wire::Media(media) => Content::Media(media_from_proto(media)?),
        Wire::Location(place) => Content::Location(location_from_proto(place)?),
        Wire::Contacts(contacts) => Content::Contacts {
            cards: contacts.cards.into_iter().map(card_from_proto).collect(),
            origin: some(contacts.origin),
        },
        Wire::Interactive(interactive) => {
            Content::Interactive(interactive_from_proto(interactive)?)
        }
        Wire::Template(template) => Content::Template(
            super::template_from_proto(template).map_err(|e| e.within("template"))?,
        ),
        Wire::Reply(reply) => Content::Reply(reply_from_proto(reply)?),
        Wire::Reaction(reaction) => Content::Reaction {
            target: wamid("reaction.target", &reaction.target)?,
            emoji: some(reaction.emoji),
        },
        Wire::Order(order) => Content::Order {
            catalog_id: order.catalog_id,
            text: some(order.text),
            items: order.items.into_iter().map(item_from_proto).collect(),
        },
        Wire::System(notice) => Content::System(notice_from_proto(notice)?),
        Wire::Edit(edit) => {
            let replacement = required("edit.replacement", edit.replacement)?;
            let inner =
                content_from_proto(*replacement).map_err(|e| e.within("edit.replacement"))?;
            Content::Edit {
                target: wamid("edit.target", &edit.target)?,
                replacement: Box::new(inner),
            }
        }
        Wire::Revoke(revoke) => Content::Revoke {
            target: wamid("revoke.target", &revoke.target)?,
        },
        Wire::Unsupported(other) => Content::Unsupported { kind: other.kind },
        Wire::Unknown(other) => Content::Unknown {
            kind: other.kind,
            raw: other.raw,
        },
    })
}

/// Meta's id of a message in `field`.
///
/// # Errors
/// When it is empty, over 256 bytes, or holds white space.
pub(super) fn wamid(field: &str, value: &str) -> Result<WhatsAppMessageId, FieldError> {
    WhatsAppMessageId::new(value).map_err(|error| FieldError::new(field, error.to_string()))
}

impl From<&Media> for pb::Media {
    fn from(media: &Media) -> Self {
        let kind = match media.kind {
            MediaKind::Image => pb::MediaKind::Image,
            MediaKind::Video => pb::MediaKind::Video,
            MediaKind::Audio => pb::MediaKind::Audio,
            MediaKind::Document => pb::MediaKind::Document,
            MediaKind::Sticker => pb::MediaKind::Sticker,
        };
        Self {
            kind: kind.into(),
            id: text(media.id.as_ref()),
            link: text(media.link.as_ref()),
            mime_type: text(media.mime_type.as_ref()),
            sha256: text(media.sha256.as_ref()),
            caption: text(media.caption.as_ref()),
            filename: text(media.filename.as_ref()),
            voice: media.voice,
            animated: media.animated,
        }
    }
}

/// Media from the wire.
///
/// # Errors
/// When its kind is not one of ours.
pub fn media_from_proto(media: pb::Media) -> Result<Media, FieldError> {
    let kind = match media.kind() {
        pb::MediaKind::Image => MediaKind::Image,
        pb::MediaKind::Video => MediaKind::Video,
        pb::MediaKind::Audio => MediaKind::Audio,
        pb::MediaKind::Document => MediaKind::Document,
        pb::MediaKind::Sticker => MediaKind::Sticker,
        pb::MediaKind::Unspecified => {
            return Err(FieldError::new(
                "media.kind",
                "must be image, video, audio, document or sticker",
            ));
        }
    };
    Ok(Media {
        kind,
        id: some(media.id),
        link: some(media.link),
        mime_type: some(media.mime_type),
        sha256: some(media.sha256),
        caption: some(media.caption),
        filename: some(media.filename),
        voice: media.voice,
        animated: media.animated,
    })
}

fn location_from_proto(place: pb::Location) -> Result<Location, FieldError> {
    if !(-90.0..=90.0).contains(&place.latitude) || !(-180.0..=180.0).contains(&place.longitude) {
        return Err(FieldError::new(
            "location",
            "latitude must be within -90 and 90, longitude within -180 and 180",
        ));
    }
    Ok(Location {
        latitude: place.latitude,
        longitude: place.longitude,
        name: some(place.name),
        address: some(place.address),
        url: some(place.url),
    })
}

fn card_to_proto(card: &ContactCard) -> pb::ContactCard {
    pb::ContactCard {
        name: card.name.clone(),
        phones: card.phones.clone(),
        emails: card.emails.clone(),
        raw: card.raw.clone(),
    }
}

fn card_from_proto(card: pb::ContactCard) -> ContactCard {
    ContactCard {
        name: card.name,
        phones: card.phones,
        emails: card.emails,
        raw: card.raw,
    }
}

fn item_to_proto(item: &OrderItem) -> pb::OrderItem {
    pb::OrderItem {
        product_id: item.product_id.clone(),
        quantity: item.quantity.clone(),
        price: item.price.clone(),
        currency: item.currency.clone(),
    }
}

fn item_from_proto(item: pb::OrderItem) -> OrderItem {
    OrderItem {
        product_id: item.product_id,
        quantity: item.quantity,
        price: item.price,
        currency: item.currency,
    }
}

impl From<&Interactive> for pb::Interactive {
    fn from(interactive: &Interactive) -> Self {
        use pb::interactive::{Action, Header};
        let header = interactive.header.as_ref().map(|header| match header {
            InteractiveHeader::Text(text) => Header::HeaderText(text.clone()),
            InteractiveHeader::Media(media) => Header::HeaderMedia(media.into()),
        });
        let action = match &interactive.action {
            InteractiveAction::Buttons { buttons } => Action::Buttons(pb::Buttons {
                buttons: buttons
                    .iter()
                    .map(|button| pb::Button {
                        id: button.id.clone(),
                        title: button.title.clone(),
                    })
                    .collect(),
            }),
            InteractiveAction::List { button, sections } => Action::List(pb::ListMenu {
                button: button.clone(),
                sections: sections.iter().map(section_to_proto).collect(),
            }),
            InteractiveAction::Link { text, url } => Action::Link(pb::LinkButton {
                text: text.clone(),
                url: url.clone(),
            }),
            InteractiveAction::LocationRequest => Action::LocationRequest(pb::LocationRequest {}),
        };
        Self {
            header,
            body: interactive.body.clone(),
            footer: text(interactive.footer.as_ref()),
            action: Some(action),
        }
    }
}

fn section_to_proto(section: &ListSection) -> pb::ListSection {
    let row = |row: &ListRow| pb::ListRow {
        id: row.id.clone(),
        title: row.title.clone(),
        description: text(row.description.as_ref()),
    };
    pb::ListSection {
        title: section.title.clone(),
        rows: section.rows.iter().map(row).collect(),
    }
}

fn section_from_proto(section: pb::ListSection) -> ListSection {
    let row = |row: pb::ListRow| ListRow {
        id: row.id,
        title: row.title,
        description: some(row.description),
    };
    ListSection {
        title: section.title,
        rows: section.rows.into_iter().map(row).collect(),
    }
}

fn interactive_from_proto(interactive: pb::Interactive) -> Result<Interactive, FieldError> {
    use pb::interactive::{Action, Header};
    let header = match interactive.header {
        None => None,
        Some(Header::HeaderText(text)) => Some(InteractiveHeader::Text(text)),
        Some(Header::HeaderMedia(media)) => Some(InteractiveHeader::Media(
            media_from_proto(media).map_err(|error| error.within("interactive.header"))?,
        )),
    };
    let action = match required("interactive.action", interactive.action)? {
        Action::Buttons(buttons) => InteractiveAction::Buttons {
            buttons: buttons
                .buttons
                .into_iter()
                .map(|button| Button {
                    id: button.id,
                    title: button.title,
                })
                .collect(),
        },
        Action::List(list) => InteractiveAction::List {
            button: list.button,
            sections: list.sections.into_iter().map(section_from_proto).collect(),
        },
        Action::Link(link) => InteractiveAction::Link {
            text: link.text,
            url: link.url,
        },
        Action::LocationRequest(pb::LocationRequest {}) => InteractiveAction::LocationRequest,
    };
    Ok(Interactive {
        header,
        body: interactive.body,
        footer: some(interactive.footer),
        action,
    })
}

fn reply_to_proto(reply: &Reply) -> pb::Reply {
    let kind = match reply.kind {
        ReplyKind::Button => pb::ReplyKind::Button,
        ReplyKind::List => pb::ReplyKind::List,
        ReplyKind::TemplateButton => pb::ReplyKind::TemplateButton,
        ReplyKind::Form => pb::ReplyKind::Form,
        ReplyKind::CallPermission => pb::ReplyKind::CallPermission,
        ReplyKind::Other => pb::ReplyKind::Other,
    };
    pb::Reply {
        kind: kind.into(),
        id: reply.id.clone(),
        title: reply.title.clone(),
        data: text(reply.data.as_ref()),
    }
}

fn reply_from_proto(reply: pb::Reply) -> Result<Reply, FieldError> {
    let kind = match reply.kind() {
        pb::ReplyKind::Button => ReplyKind::Button,
        pb::ReplyKind::List => ReplyKind::List,
        pb::ReplyKind::TemplateButton => ReplyKind::TemplateButton,
        pb::ReplyKind::Form => ReplyKind::Form,
        pb::ReplyKind::CallPermission => ReplyKind::CallPermission,
        pb::ReplyKind::Other => ReplyKind::Other,
        pb::ReplyKind::Unspecified => return Err(FieldError::new("reply.kind", "must be set")),
    };
    Ok(Reply {
        kind,
        id: reply.id,
        title: reply.title,
        data: some(reply.data),
    })
}

fn notice_to_proto(notice: &SystemNotice) -> pb::SystemNotice {
    use pb::system_notice::Kind;
    let (text, kind) = match notice {
        SystemNotice::NumberChanged { text, new_identity } => {
            (text, Kind::NumberChanged(new_identity.into()))
        }
        SystemNotice::IdentityChanged { text, hash } => (
            text,
            Kind::IdentityChanged(hash.clone().unwrap_or_default()),
        ),
        SystemNotice::Other { word, text } => (text, Kind::Other(word.clone())),
    };
    pb::SystemNotice {
        text: text.clone(),
        kind: Some(kind),
    }
}

fn notice_from_proto(notice: pb::SystemNotice) -> Result<SystemNotice, FieldError> {
    use pb::system_notice::Kind;
    let text = notice.text;
    Ok(match required("system.kind", notice.kind)? {
        Kind::NumberChanged(identity) => SystemNotice::NumberChanged {
            text,
            new_identity: identity_from_proto(identity),
        },
        Kind::IdentityChanged(hash) => SystemNotice::IdentityChanged {
            text,
            hash: some(hash),
        },
        Kind::Other(word) => SystemNotice::Other { word, text },
    })
}
