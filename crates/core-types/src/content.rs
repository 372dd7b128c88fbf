//! What a message says, in either direction. Meta's spelling of it is `core-whatsapp`'s business;
//! limits on lengths are checked there too.

use serde::{Deserialize, Serialize};

use crate::contact::ContactIdentity;
use crate::id::WhatsAppMessageId;
use crate::template::TemplateSend;

/// The content of one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text {
        /// What it says; at most 4,096 characters when sent.
        body: String,
        /// Whether WhatsApp shows a preview of the first link (sending only).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        preview_url: bool,
    },
    /// Image, video, audio, document or sticker.
    Media(Media),
    /// A place.
    Location(Location),
    /// Address cards.
    Contacts {
        /// At least one card.
        cards: Vec<ContactCard>,
        /// `contact_request` when the customer answered a request for the number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
    /// Buttons, a list or another prompt to tap on (sending only).
    Interactive(Interactive),
    /// An approved template (sending only).
    Template(TemplateSend),
    /// A tap on a button or list row, or a submitted form (receiving only).
    Reply(Reply),
    /// An emoji on another message; no emoji means it was taken away.
    Reaction {
        /// The message reacted to.
        target: WhatsAppMessageId,
        /// The emoji, or `None` when removed.
        emoji: Option<String>,
    },
    /// A basket from the catalogue.
    Order {
        /// The catalogue.
        catalog_id: String,
        /// The customer's note.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// What is ordered.
        items: Vec<OrderItem>,
    },
    /// WhatsApp itself says something about the customer.
    System(SystemNotice),
    /// The customer changed an earlier message.
    Edit {
        /// The message changed.
        target: WhatsAppMessageId,
        /// Its new content.
        replacement: Box<Content>,
    },
    /// The customer deleted an earlier message.
    Revoke {
        /// The message deleted.
        target: WhatsAppMessageId,
    },
    /// Something WhatsApp does not pass on to businesses.
    Unsupported {
        /// WhatsApp's word for it, such as `poll_creation`.
        kind: String,
    },
    /// A type Frontdesk does not know yet; its bytes are kept.
    Unknown {
        /// Meta's word for the type.
        kind: String,
        /// The message exactly as it came, as JSON text.
        raw: String,
    },
}

/// The kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// JPEG or PNG.
    Image,
    /// MP4 or 3GP.
    Video,
    /// AAC, AMR, MP3, MP4 audio, OGG.
    Audio,
    /// Any file.
    Document,
    /// WebP.
    Sticker,
}

impl MediaKind {
    /// Meta's word: `image`, `video`, `audio`, `document`, `sticker`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Sticker => "sticker",
        }
    }
}

/// One piece of media. Received media has an `id`; sent media an `id` or a `link`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Meta's media id; ids from webhooks live 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Public HTTPS address (sending), or Meta's short-lived address (receiving).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Such as `audio/ogg; codecs=opus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Base64 SHA-256 of the file, from Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Text under it; image, video and document only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Documents only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Audio only: a voice note.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voice: bool,
    /// Stickers only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub animated: bool,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A link about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An address card, reduced to what desks use; the whole card stays in `raw`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The full name.
    pub name: String,
    /// Phone numbers as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// The card exactly as it came, as JSON text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub raw: String,
}

/// A message that asks for a tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interactive {
    /// Shown on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<InteractiveHeader>,
    /// The text; required by WhatsApp.
    pub body: String,
    /// Small print, at most 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// What can be tapped.
    pub action: InteractiveAction,
}

/// The top of an interactive message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InteractiveHeader {
    /// At most 60 characters.
    Text(String),
    /// Not for lists.
    Media(Media),
}

/// What can be tapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InteractiveAction {
    /// One to three reply buttons.
    Buttons {
        /// In order.
        buttons: Vec<Button>,
    },
    /// A list of at most 10 rows in all.
    List {
        /// Text of the button that opens it, at most 20 characters.
        button: String,
        /// In order; titles are required when there is more than one.
        sections: Vec<ListSection>,
    },
    /// A button that opens a web page.
    Link {
        /// At most 20 characters.
        text: String,
        /// Where it goes.
        url: String,
    },
    /// A button by which the customer sends a place.
    LocationRequest,
}

/// A reply button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Comes back when tapped; at most 256 characters.
    pub id: String,
    /// At most 20 characters.
    pub title: String,
}

/// Rows under one heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSection {
    /// At most 24 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// In order.
    pub rows: Vec<ListRow>,
}

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRow {
    /// Comes back when chosen; at most 200 characters.
    pub id: String,
    /// At most 24 characters.
    pub title: String,
    /// At most 72 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What kind of tap a reply was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// A free-form reply button.
    Button,
    /// A list row.
    List,
    /// A quick-reply button of a template.
    TemplateButton,
    /// A submitted form (WhatsApp Flow, address, …).
    Form,
    /// The answer to a request to call.
    CallPermission,
    /// Another interactive reply Frontdesk does not know; `data` holds it.
    Other,
}

/// The customer's tap or form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What was tapped.
    pub kind: ReplyKind,
    /// Id of the button or row, or payload of the template button; empty for forms.
    pub id: String,
    /// What the customer saw.
    pub title: String,
    /// The form's answers or the whole reply, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// One line of an order. Numbers stay text: Meta sends them as number or string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The product.
    pub product_id: String,
    /// How many.
    pub quantity: String,
    /// Price of one.
    pub price: String,
    /// ISO 4217 code.
    pub currency: String,
}

/// WhatsApp's own notices about a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SystemNotice {
    /// The customer has a new phone number, and with it a new user id.
    NumberChanged {
        /// WhatsApp's sentence.
        text: String,
        /// Who the customer is from now on.
        new_identity: ContactIdentity,
    },
    /// The customer's encryption identity changed: perhaps another person holds the phone.
    IdentityChanged {
        /// WhatsApp's sentence.
        text: String,
        /// Hash of the new identity key.
        hash: Option<String>,
    },
    /// Another notice.
    Other {
        /// Meta's word for it.
        word: String,
        /// WhatsApp's sentence.
        text: String,
    },
}

impl Content {
    /// Whether this opens or renews the customer-service window when the customer sends it.
    /// Notices by WhatsApp itself do not (`whatsapp-cloud-api.md`, section 3).
    pub fn is_customer_message(&self) -> bool {
        !matches!(self, Self::System(_))
    }

    /// One line a person reads: the text, or what kind of thing it is.
    pub fn summary(&self) -> String {
        match self {
            Self::Text { body, .. } => body.clone(),
            Self::Media(media) => match &media.caption {
                Some(caption) => format!("[{}] {caption}", media.kind.word()),
                None => format!("[{}]", media.kind.word()),
            },
            Self::Location(place) => {
                format!("[location] {}", place.name.as_deref().unwrap_or("a place"))
            }
            Self::Contacts { cards, .. } => format!("[contacts] {}", cards.len()),
            Self::Interactive(interactive) => interactive.body.clone(),
            Self::Template(template) if template.rendered.is_empty() => {
                format!("[template {}]", template.name)
            }
            Self::Template(template) => template.rendered.clone(),
            Self::Reply(reply) if reply.title.is_empty() => "[form]".to_owned(),
            Self::Reply(reply) => reply.title.clone(),
            Self::Reaction { emoji, .. } => match emoji {
                Some(emoji) => format!("[reaction] {emoji}"),
                None => "[reaction removed]".to_owned(),
            },
            Self::Order { items, .. } => format!("[order] {} items", items.len()),
            Self::System(
                SystemNotice::NumberChanged { text, .. }
                | SystemNotice::IdentityChanged { text, .. }
                | SystemNotice::Other { text, .. },
            ) => format!("[system] {text}"),
            Self::Edit { replacement, .. } => format!("[edited] {}", replacement.summary()),
            Self::Revoke { .. } => "[deleted a message]".to_owned(),
            Self::Unsupported { kind } => format!("[unsupported: {kind}]"),
            Self::Unknown { kind, .. } => format!("[unknown: {kind}]"),
        }
    }
}
