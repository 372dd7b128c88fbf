//! A message as the customer sees it: short enough to be read in a scenario, and complete, so that
//! two messages are shown alike only when they are alike.

use core_types::{
    Content, InteractiveAction, Media, MediaKind, TemplateHeaderParameter, TemplateSend,
};
use serde::{Deserialize, Serialize};

/// A message of the flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shown {
    /// A text.
    Text(String),
    /// A message with parts.
    Parts(Box<ShownParts>),
}

/// The parts of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownParts {
    /// Address of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Address of a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// Address of an audio file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// Address of a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Address of a sticker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticker: Option<String>,
    /// Name of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The text, or the caption under what is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Reply buttons; `id: title` where the two differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<String>,
    /// A list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ShownList>,
    /// Whether there is a button by which the customer sends a place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub place_button: bool,
    /// An approved template: `name, language`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What the template's header and its body's places are filled with; `name: text` where places
    /// have names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Anything else, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// A list to choose from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownList {
    /// Text of the button that opens it.
    pub button: String,
    /// The rows: `id: title`, or the title alone where the two are the same, and ` | description`.
    pub rows: Vec<String>,
}

impl From<&Content> for Shown {
    fn from(content: &Content) -> Self {
        match content {
            Content::Text { body, .. } => Self::Text(body.clone()),
            Content::Media(media) => file(media),
            Content::Template(template) => self::template(template),
            Content::Interactive(message)
                if message.header.is_none() && message.footer.is_none() =>
            {
                interactive(content, &message.body, &message.action)
            }
            other => whole(other),
        }
    }
}

fn whole(content: &Content) -> Shown {
    Shown::Parts(Box::new(ShownParts {
        content: Some(content.clone()),
        ..ShownParts::default()
    }))
}

fn file(media: &Media) -> Shown {
    let Some(link) = media.link.clone() else {
        return whole(&Content::Media(media.clone()));
    };
    let mut parts = ShownParts {
        filename: media.filename.clone(),
        text: media.caption.clone(),
        ..ShownParts::default()
    };
    let place = match media.kind {
        MediaKind::Image => &mut parts.image,
        MediaKind::Video => &mut parts.video,
        MediaKind::Audio => &mut parts.audio,
        MediaKind::Document => &mut parts.document,
        MediaKind::Sticker => &mut parts.sticker,
    };
    *place = Some(link);
    Shown::Parts(Box::new(parts))
}

fn interactive(content: &Content, body: &str, action: &InteractiveAction) -> Shown {
    let mut parts = ShownParts {
        text: Some(body.to_owned()),
        ..ShownParts::default()
    };
    match action {
        InteractiveAction::Buttons { buttons } => {
            let named = buttons
                .iter()
                .map(|button| named(&button.id, &button.title));
            parts.buttons = named.collect();
        }
        InteractiveAction::List { button, sections } => match sections.as_slice() {
            [section] if section.title.is_empty() => {
                let rows = section.rows.iter().map(|row| {
                    let title = named(&row.id, &row.title);
                    match &row.description {
                        Some(description) => format!("{title} | {description}"),
                        None => title,
                    }
                });
                parts.list = Some(ShownList {
                    button: button.clone(),
                    rows: rows.collect(),
                });
            }
            _ => return whole(content),
        },
        InteractiveAction::LocationRequest => parts.place_button = true,
        InteractiveAction::Link { .. } => return whole(content),
    }
    Shown::Parts(Box::new(parts))
}

fn template(template: &TemplateSend) -> Shown {
    let place = |name: &Option<String>, text: &String| match name {
        Some(name) => format!("{name}: {text}"),
        None => text.clone(),
    };
    let mut parts = ShownParts {
        template: Some(format!("{}, {}", template.name, template.language)),
        ..ShownParts::default()
    };
    match &template.header {
        Some(TemplateHeaderParameter::Text(name, text)) => parts.places.push(place(name, text)),
        Some(TemplateHeaderParameter::Media(media)) => {
            let link = media.link.clone();
            match media.kind {
                MediaKind::Image => parts.image = link,
                MediaKind::Video => parts.video = link,
                _ => parts.document = link,
            }
        }
        None => {}
    }
    let body = template.body.iter();
    parts
        .places
        .extend(body.map(|(name, text)| place(name, text)));
    let buttons = template.buttons.iter();
    let buttons =
        buttons.map(|button| format!("{} {}: {}", button.index, button.kind, button.value));
    parts.buttons = buttons.collect();
    Shown::Parts(Box::new(parts))
}

fn named(id: &str, title: &str) -> String {
    if id == title {
        title.to_owned()
    } else {
        format!("{id}: {title}")
    }
}
