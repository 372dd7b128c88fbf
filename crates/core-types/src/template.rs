//! What an agent, a flow or a campaign fills in when it sends an approved template.

use serde::{Deserialize, Serialize};

use crate::content::Media;

/// A template to send, with its parameters. Checked against the approved template before it is
/// queued; see `frontdesk.templates.v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSend {
    /// The approved name: lower-case letters, digits, underscore.
    pub name: String,
    /// Language in Meta's underscore form: `en_US`.
    pub language: String,
    /// Header parameter, where the template has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<TemplateHeaderParameter>,
    /// Body parameters in order; names are set when the template's parameters are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<(Option<String>, String)>,
    /// Button parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButtonParameter>,
    /// The text the customer will read, filled in by the registry when it checked the parameters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rendered: String,
    /// `marketing`, `utility` or `authentication`, as approved when it was checked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
}

/// The parameter of a template's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateHeaderParameter {
    /// The header's one text variable, with its name where parameters are named.
    Text(Option<String>, String),
    /// An image, video or document.
    Media(Media),
}

/// The parameter of one button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateButtonParameter {
    /// Position of the button, from 0.
    pub index: u8,
    /// `url`, `quick_reply` or `copy_code`.
    pub kind: String,
    /// Suffix of the URL, payload of the reply, or the code.
    pub value: String,
}
