//! What a message says.

use core_types::{
    ContactCard, Content, Location, Media, MediaKind, OrderItem, Reply, ReplyKind, SystemNotice,
};

use super::{FieldError, id, identity_from_proto, required, some, text};
use crate::common as pb;
use crate::common::content::Content as Kind;

/// How deep an edit may hold another edit. WhatsApp sends one level; the limit keeps a hostile
/// caller from making us recurse.
const MAX_EDITS: usize = 3;

impl From<MediaKind> for pb::MediaKind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Image => Self::Image,
            MediaKind::Video => Self::Video,
            MediaKind::Audio => Self::Audio,
            MediaKind::Document => Self::Document,
            MediaKind::Sticker => Self::Sticker,
        }
    }
}

impl From<&Media> for pb::Media {
    fn from(media: &Media) -> Self {
        Self {
            kind: pb::MediaKind::from(media.kind).into(),
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

impl TryFrom<pb::Media> for Media {
    type Error = FieldError;

    fn try_from(media: pb::Media) -> Result<Self, FieldError> {
        let kind = match pb::MediaKind::try_from(media.kind) {
            Ok(pb::MediaKind::Image) => MediaKind::Image,
            Ok(pb::MediaKind::Video) => MediaKind::Video,
            Ok(pb::MediaKind::Audio) => MediaKind::Audio,
            Ok(pb::MediaKind::Document) => MediaKind::Document,
            Ok(pb::MediaKind::Sticker) => MediaKind::Sticker,
            Ok(pb::MediaKind::Unspecified) => return Err(FieldError::new("kind", "must be set")),
            Err(_) => return Err(FieldError::new("kind", "is not a known kind of media")),
        };
        Ok(Self {
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
}

impl From<&Location> for pb::Location {
    fn from(place: &Location) -> Self {
        Self {
            latitude: place.latitude,
            longitude: place.longitude,
            name: text(place.name.as_ref()),
            address: text(place.address.as_ref()),
            url: text(place.url.as_ref()),
        }
    }
}

impl TryFrom<pb::Location> for Location {
    type Error = FieldError;

    fn try_from(place: pb::Location) -> Result<Self, FieldError> {
        // The log stores content as JSON, which has no infinity. Odd but finite degrees pass:
        // customers may send them.
        for (field, degrees) in [("latitude", place.latitude), ("longitude", place.longitude)] {
            if !degrees.is_finite() {
                return Err(FieldError::new(field, "must be a finite number of degrees"));
            }
        }
        Ok(Self {
            latitude: place.latitude,
            longitude: place.longitude,
            name: some(place.name),
            address: some(place.address),
            url: some(place.url),
        })
    }
}

impl From<&ContactCard> for pb::ContactCard {
    fn from(card: &ContactCard) -> Self {
        Self {
            name: card.name.clone(),
            phones: card.phones.clone(),
            emails: card.emails.clone(),
            raw: card.raw.clone(),
        }
    }
}

impl From<pb::ContactCard> for ContactCard {
    fn from(card: pb::ContactCard) -> Self {
        Self {
            name: card.name,
            phones: card.phones,
            emails: card.emails,
            raw: card.raw,
        }
    }
}

impl From<&Reply> for pb::Reply {
    fn from(reply: &Reply) -> Self {
        let kind = match reply.kind {
            ReplyKind::Button => pb::ReplyKind::Button,
            ReplyKind::List => pb::ReplyKind::List,
            ReplyKind::TemplateButton => pb::ReplyKind::TemplateButton,
            ReplyKind::Form => pb::ReplyKind::Form,
            ReplyKind::CallPermission => pb::ReplyKind::CallPermission,
            ReplyKind::Other => pb::ReplyKind::Other,
        };
        Self {
            kind: kind.into(),
            id: reply.id.clone(),
            title: reply.title.clone(),
            data: text(reply.data.as_ref()),
        }
    }
}

impl TryFrom<pb::Reply> for Reply {
    type Error = FieldError;

    fn try_from(reply: pb::Reply) -> Result<Self, FieldError> {
        let kind = match pb::ReplyKind::try_from(reply.kind) {
            Ok(pb::ReplyKind::Button) => ReplyKind::Button,
            Ok(pb::ReplyKind::List) => ReplyKind::List,
            Ok(pb::ReplyKind::TemplateButton) => ReplyKind::TemplateButton,
            Ok(pb::ReplyKind::Form) => ReplyKind::Form,
            Ok(pb::ReplyKind::CallPermission) => ReplyKind::CallPermission,
            Ok(pb::ReplyKind::Other) => ReplyKind::Other,
            Ok(pb::ReplyKind::Unspecified) => return Err(FieldError::new("kind", "must be set")),
            Err(_) => return Err(FieldError::new("kind", "is not a known kind of reply")),
        };
        Ok(Self {
            kind,
            id: reply.id,
            title: reply.title,
            data: some(reply.data),
        })
    }
}

impl From<&SystemNotice> for pb::SystemNotice {
    fn from(notice: &SystemNotice) -> Self {
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
        Self {
            text: text.clone(),
            kind: Some(kind),
        }
    }
}

impl TryFrom<pb::SystemNotice> for SystemNotice {
    type Error = FieldError;

    fn try_from(notice: pb::SystemNotice) -> Result<Self, FieldError> {
        use pb::system_notice::Kind;
        let text = notice.text;
        Ok(match required("kind", notice.kind)? {
            Kind::NumberChanged(identity) => Self::NumberChanged {
                text,
                new_identity: identity_from_proto(identity),
            },
            Kind::IdentityChanged(hash) => Self::IdentityChanged {
                text,
                hash: some(hash),
            },
            Kind::Other(word) => Self::Other { word, text },
        })
    }
}

impl From<&Content> for pb::Content {
    fn from(content: &Content) -> Self {
        let kind = match content {
            Content::Text { body, preview_url } => Kind::Text(pb::Text {
                body: body.clone(),
                preview_url: *preview_url,
            }),
            Content::Media(media) => Kind::Media(media.into()),
            Content::Location(place) => Kind::Location(place.into()),
            Content::Contacts { cards, origin } => Kind::Contacts(pb::Contacts {
                cards: cards.iter().map(Into::into).collect(),
                origin: text(origin.as_ref()),
            }),
            Content::Interactive(interactive) => Kind::Interactive(interactive.into()),
            Content::Template(template) => Kind::Template(template.into()),
            Content::Reply(reply) => Kind::Reply(reply.into()),
            Content::Reaction { target, emoji } => Kind::Reaction(pb::Reaction {
                target: target.to_string(),
                emoji: text(emoji.as_ref()),
            }),
            Content::Order {
                catalog_id,
                text: note,
                items,
            } => Kind::Order(pb::Order {
                catalog_id: catalog_id.clone(),
                text: text(note.as_ref()),
                items: items.iter().map(item_to_proto).collect(),
            }),
            Content::System(notice) => Kind::System(notice.into()),
            Content::Edit {
                target,
                replacement,
            } => Kind::Edit(Box::new(pb::Edit {
                target: target.to_string(),
                replacement: Some(Box::new(replacement.as_ref().into())),
            })),
            Content::Revoke { target } => Kind::Revoke(pb::Revoke {
                target: target.to_string(),
            }),
            Content::Unsupported { kind } => {
                Kind::Unsupported(pb::Unsupported { kind: kind.clone() })
            }
            Content::Unknown { kind, raw } => Kind::Unknown(pb::Unknown {
                kind: kind.clone(),
                raw: raw.clone(),
            }),
        };
        Self {
            content: Some(kind),
        }
    }
}

impl TryFrom<pb::Content> for Content {
    type Error = FieldError;

    fn try_from(content: pb::Content) -> Result<Self, FieldError> {
        content_at(content, 0)
    }
}

fn content_at(content: pb::Content, edits: usize) -> Result<Content, FieldError> {
    Ok(match required("content", content.content)? {
        Kind::Text(text) => Content::Text {
            body: text.body,
            preview_url: text.preview_url,
        },
        Kind::Media(media) => {
            Content::Media(Media::try_from(media).map_err(|error| error.within("media"))?)
        }
        Kind::Location(place) => {
            Content::Location(Location::try_from(place).map_err(|error| error.within("location"))?)
        }
        Kind::Contacts(contacts) => Content::Contacts {
            cards: contacts.cards.into_iter().map(Into::into).collect(),
            origin: some(contacts.origin),
        },
        Kind::Interactive(interactive) => Content::Interactive(
            interactive
                .try_into()
                .map_err(|error: FieldError| error.within("interactive"))?,
        ),
        Kind::Template(template) => Content::Template(
            template
                .try_into()
                .map_err(|error: FieldError| error.within("template"))?,
        ),
        Kind::Reply(reply) => {
            Content::Reply(Reply::try_from(reply).map_err(|error| error.within("reply"))?)
        }
        Kind::Reaction(reaction) => Content::Reaction {
            target: id("reaction.target", reaction.target)?,
            emoji: some(reaction.emoji),
        },
        Kind::Order(order) => Content::Order {
            catalog_id: order.catalog_id,
            text: some(order.text),
            items: order.items.into_iter().map(item_from_proto).collect(),
        },
        Kind::System(notice) => {
            Content::System(SystemNotice::try_from(notice).map_err(|error| error.within("system"))?)
        }
        Kind::Edit(edit) => edit_from_proto(*edit, edits + 1)?,
        Kind::Revoke(revoke) => Content::Revoke {
            target: id("revoke.target", revoke.target)?,
        },
        Kind::Unsupported(unsupported) => Content::Unsupported {
            kind: unsupported.kind,
        },
        Kind::Unknown(unknown) => Content::Unknown {
            kind: unknown.kind,
            raw: unknown.raw,
        },
    })
}

fn edit_from_proto(edit: pb::Edit, edits: usize) -> Result<Content, FieldError> {
    if edits > MAX_EDITS {
        return Err(FieldError::new(
            "edit",
            format!("edits nest at most {MAX_EDITS} deep"),
        ));
    }
    let replacement = required("edit.replacement", edit.replacement)?;
    Ok(Content::Edit {
        target: id("edit.target", edit.target)?,
        replacement: Box::new(
            content_at(*replacement, edits).map_err(|error| error.within("edit.replacement"))?,
        ),
    })
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
