//! The widget that sends an approved template, as it is written.

use serde::{Deserialize, Serialize};

/// Settings of `send_template`. WhatsApp takes a template whenever it comes, also long after the
/// customer has written; its category and the customer's country make its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendTemplate {
    /// The approved name: small letters, digits and `_`.
    pub template: String,
    /// Its language as Meta writes it: `en_US`.
    pub language: String,
    /// What the header needs, where it needs something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<TemplateHeader>,
    /// What the body's places are filled with, in order. May hold `{{…}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<TemplateValue>,
    /// What buttons need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButton>,
}

/// What fills one place of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TemplateValue {
    /// The next place, where places are numbered.
    Next(String),
    /// The place of that name.
    Named {
        /// Which.
        name: String,
        /// What stands there.
        text: String,
    },
}

/// What a template's header needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateHeader {
    /// The header's one place.
    Text(TemplateValue),
    /// Address of an image.
    Image(String),
    /// Address of a video.
    Video(String),
    /// Address of a document.
    Document(String),
}

/// What a template's button needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateButton {
    /// Position of the button, from 0.
    pub index: u8,
    /// What it is.
    pub kind: TemplateButtonKind,
    /// The end of its address, what a tap on it sends back, or the code. May hold `{{…}}`.
    pub value: String,
}

/// What a template's button is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateButtonKind {
    /// Opens an address.
    Url,
    /// Answers.
    QuickReply,
    /// Copies a code.
    CopyCode,
}

impl TemplateButtonKind {
    /// Meta's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::QuickReply => "quick_reply",
            Self::CopyCode => "copy_code",
        }
    }
}

impl TemplateValue {
    /// Name of the place, where it has one, and what stands there.
    pub(crate) fn parts(&self) -> (Option<&str>, &str) {
        match self {
            Self::Next(text) => (None, text),
            Self::Named { name, text } => (Some(name), text),
        }
    }
}

impl SendTemplate {
    /// Every text of it that may hold `{{…}}`, with its place in the settings.
    pub(crate) fn texts(&self) -> Vec<(String, &str)> {
        let mut texts = Vec::new();
        if let Some(TemplateHeader::Text(value)) = &self.header {
            texts.push(("header.text".to_owned(), value.parts().1));
        }
        let body = self.body.iter().enumerate();
        texts.extend(body.map(|(at, value)| (format!("body[{at}]"), value.parts().1)));
        let buttons = self.buttons.iter().enumerate();
        texts.extend(
            buttons.map(|(at, button)| (format!("buttons[{at}].value"), button.value.as_str())),
        );
        texts
    }
}
