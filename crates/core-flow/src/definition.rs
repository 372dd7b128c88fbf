//! A flow as it is written: plain data, in the order of the file. Nothing here is known to be
//! right yet; see [`crate::validate`].

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::parse::FORMAT;

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// Name of the widget it begins with, a [`Settings::Start`].
    pub start: String,
    /// In the order of the file. The order has no meaning, but a published version keeps it:
    /// sessions remember widgets by position.
    pub widgets: Vec<Widget>,
}

/// One widget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widget {
    /// Unique in the flow: a letter, then letters, digits and `_`; at most 64.
    pub name: String,
    /// What it does.
    pub settings: Settings,
    /// Where it leads.
    pub exits: Exits,
}

/// Named exits, each to a widget or, as `None`, to the end of the flow. In the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exits(pub Vec<(String, Option<String>)>);

impl Exits {
    /// The exit called `name`: `None` when there is none, `Some(None)` when it ends the flow.
    pub fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0
            .iter()
            .find(|(exit, _)| exit == name)
            .map(|(_, target)| target.as_deref())
    }
}

/// What a widget does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// `start`: where the flow begins. Exit `next`.
    Start,
    /// `send_media`: sends messages. Exits `next`, `failed`.
    SendMedia(SendMedia),
    /// `collect_input`: asks and waits. Exits `match`, `no_match`, `timeout`.
    CollectInput(CollectInput),
    /// `condition`: chooses an exit by a variable. One exit per branch, and `no_match`.
    Condition(Condition),
    /// `route_to`: hands the engagement to a queue, which ends the flow's part. No exits.
    RouteTo(RouteTo),
}

impl Settings {
    /// The word in the definition's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::SendMedia(_) => "send_media",
            Self::CollectInput(_) => "collect_input",
            Self::Condition(_) => "condition",
            Self::RouteTo(_) => "route_to",
        }
    }
}

/// Settings of `send_media`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendMedia {
    /// One to ten messages, sent in this order.
    pub parts: Vec<Part>,
}

/// One message of `send_media`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Text.
    Text {
        /// What it says; may hold `{{…}}`.
        text: String,
    },
    /// JPEG or PNG.
    Image(MediaPart),
    /// MP4 or 3GP.
    Video(MediaPart),
    /// AAC, AMR, MP3, MP4 audio or OGG. No caption.
    Audio(MediaPart),
    /// Any file.
    Document(MediaPart),
    /// WebP. No caption.
    Sticker(MediaPart),
}

/// A file at a public address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaPart {
    /// `https://…`; WhatsApp fetches it.
    pub link: String,
    /// Text under an image, video or document; may hold `{{…}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Name the customer sees; documents only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// Settings of `collect_input`. Sets `{{<widget>.value}}` and `{{<widget>.text}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectInput {
    /// The question.
    pub prompt: Prompt,
    /// What counts as an answer. None at all means: any text does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// How long to wait for an answer: 1 second to 7 days.
    pub timeout_seconds: u32,
    /// What to do about an answer that matches no choice.
    #[serde(default, skip_serializing_if = "Retries::is_default")]
    pub retries: Retries,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What it says; may hold `{{…}}`.
    pub text: String,
    /// How the choices are shown.
    #[serde(default, skip_serializing_if = "Show::is_text")]
    pub show: Show,
    /// Text of the button that opens the list; with `"show": "list"` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_button: Option<String>,
}

/// How the choices of a question are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// Not at all: the text says what to write.
    #[default]
    Text,
    /// As one to three reply buttons.
    Buttons,
    /// As a list of one to ten rows.
    List,
}

impl Show {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

/// One answer the question accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What `{{<widget>.value}}` becomes; the id of its button or row. Matches when written.
    pub value: String,
    /// What its button or row says. Matches when written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Second line of its row; lists only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Other texts that mean it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
}

/// How often a question is asked again, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// 0 to 10.
    pub count: u8,
    /// Said instead of the prompt's text; the buttons or the list stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Retries {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Settings of `condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// One variable: `{{Menu.value}}`.
    pub variable: String,
    /// Tried in this order; the first that holds gives the exit.
    pub branches: Vec<Branch>,
}

/// One comparison of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The exit taken. Several branches may share one.
    pub exit: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; absent for `is_set` and `is_empty`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a condition compares. Texts are compared normalised (see [`crate::normalise`]); an unset
/// variable is an empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The texts are the same.
    Equals,
    /// They are not.
    NotEquals,
    /// The variable holds the value somewhere.
    Contains,
    /// The variable begins with the value.
    StartsWith,
    /// Both are numbers and the variable's is greater.
    GreaterThan,
    /// Both are numbers and the variable's is less.
    LessThan,
    /// The variable holds something.
    IsSet,
    /// The variable holds nothing.
    IsEmpty,
}

impl Operator {
    /// Whether the branch has a value to compare with.
    pub fn takes_value(self) -> bool {
        !matches!(self, Self::IsSet | Self::IsEmpty)
    }

    /// Whether it compares numbers.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::GreaterThan | Self::LessThan)
    }
}

/// Settings of `route_to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTo {
    /// Id of the queue.
    pub queue: String,
    /// Higher is served first; −100 to 100, 0 is normal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

impl Definition {
    /// The flow in Frontdesk's format, as indented JSON with a line feed at its end.
    pub fn to_json(&self) -> String {
        // Maps with text keys, texts and whole numbers: there is nothing JSON cannot hold.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl Serialize for Definition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Definition", 4)?;
        fields.serialize_field("format", &FORMAT)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("start", &self.start)?;
        fields.serialize_field("widgets", &self.widgets)?;
        fields.end()
    }
}

impl Serialize for Widget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Widget", 4)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("type", self.settings.kind())?;
        match &self.settings {
            Settings::Start => {}
            Settings::SendMedia(settings) => fields.serialize_field("settings", settings)?,
            Settings::CollectInput(settings) => fields.serialize_field("settings", settings)?,
            Settings::Condition(settings) => fields.serialize_field("settings", settings)?,
            Settings::RouteTo(settings) => fields.serialize_field("settings", settings)?,
        }
        if !self.exits.0.is_empty() {
            fields.serialize_field("exits", &self.exits)?;
        }
        fields.end()
    }
}

impl Serialize for Exits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut exits = serializer.serialize_map(Some(self.0.len()))?;
        for (name, target) in &self.0 {
            exits.serialize_entry(name, target)?;
        }
        exits.end()
    }
}
