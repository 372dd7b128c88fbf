//! A flow as it is written: plain data, in the order of the file. Nothing here is known to be
//! right yet; see [`crate::validate`].

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::parse::FORMAT;

mod accept;
mod call;
mod condition;
mod hours;
mod part;
mod script;
mod template;
mod translation;
mod variable;

pub use self::accept::Accept;
pub use self::call::{Header, HttpCall, Method, Saving};
pub(crate) use self::condition::Compared;
pub use self::condition::{Branch, Comparison, Condition, Operator};
pub use self::hours::{BusinessHours, Closure, Opening, Weekday};
pub use self::part::{CardPart, Degrees, MediaPart, Part, PlacePart};
pub use self::script::{Code, Script};
pub use self::template::{
    SendTemplate, TemplateButton, TemplateButtonKind, TemplateHeader, TemplateValue,
};
pub use self::translation::{Language, Translations};
pub use self::variable::{Assignment, OwnVariable, SetVariables, VariableType};

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// Name of the widget it begins with, a [`Settings::Start`].
    pub start: String,
    /// In which language a conversation is held; absent where the flow speaks one only.
    pub language: Option<Language>,
    /// The flow's own variables, in the order of the file: sessions remember them by position.
    pub variables: Vec<OwnVariable>,
    /// What is said in other languages.
    pub translations: Translations,
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
    /// `send_template`: sends an approved template. Exits `next`, `failed`.
    SendTemplate(Box<SendTemplate>),
    /// `collect_input`: asks and waits. Exits `match`, `no_match`, `timeout`.
    CollectInput(CollectInput),
    /// `condition`: chooses an exit by a variable. One exit per branch, and `no_match`.
    Condition(Condition),
    /// `set_variables`: gives the flow's own variables values. Exits `next`, `failed`.
    SetVariables(SetVariables),
    /// `business_hours`: asks whether it is open now. Exits `open`, `closed`.
    BusinessHours(BusinessHours),
    /// `split`: sends shares of the customers different ways. One exit per way.
    Split(Split),
    /// `wait`: lets time pass. Exits `next`, `message`.
    Wait(Pause),
    /// `http_call`: asks another system. Exits `next`, `failed`, `timeout`.
    HttpCall(Box<HttpCall>),
    /// `script`: runs JavaScript. Exits `next`, `failed`, and its own.
    Script(Box<Script>),
    /// `end`: the flow's part is over, and nobody else has one. No exits.
    End,
    /// `route_to`: hands the engagement to a queue, which ends the flow's part. No exits.
    RouteTo(RouteTo),
}

impl Settings {
    /// Whether `exit` may be null without ending the flow: what it is for is passed over then.
    pub fn may_pass_over(&self, exit: &str) -> bool {
        match self {
            Self::SendMedia(_) | Self::SendTemplate(_) | Self::SetVariables(_) => exit == "failed",
            Self::Wait(_) => exit == "message",
            Self::Start
            | Self::CollectInput(_)
            | Self::Condition(_)
            | Self::BusinessHours(_)
            | Self::Split(_)
            | Self::HttpCall(_)
            | Self::Script(_)
            | Self::End
            | Self::RouteTo(_) => false,
        }
    }

    /// Whether it sends something without waiting, so that its refusal comes later, if at all.
    pub(crate) fn may_be_refused(&self) -> bool {
        matches!(self, Self::SendMedia(_) | Self::SendTemplate(_))
    }

    /// The word in the definition's `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::SendMedia(_) => "send_media",
            Self::SendTemplate(_) => "send_template",
            Self::CollectInput(_) => "collect_input",
            Self::Condition(_) => "condition",
            Self::SetVariables(_) => "set_variables",
            Self::BusinessHours(_) => "business_hours",
            Self::Split(_) => "split",
            Self::Wait(_) => "wait",
            Self::HttpCall(_) => "http_call",
            Self::Script(_) => "script",
            Self::End => "end",
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

/// Settings of `collect_input`. Sets `{{<widget>.value}}` and `{{<widget>.text}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectInput {
    /// The question.
    pub prompt: Prompt,
    /// What counts as an answer. None at all means: what is accepted does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// What counts as an answer where there are no choices; any text by default.
    #[serde(default, skip_serializing_if = "Accept::is_default")]
    pub accept: Accept,
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
    /// None: a button by which the customer sends a place; for questions that accept one.
    Location,
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

/// Settings of `split`. A customer takes the same way each time, until the ways change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Two or more.
    pub ways: Vec<Way>,
}

/// One way of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// The exit taken.
    pub exit: String,
    /// Its share, in parts of the sum of all shares: 1 to 10,000.
    pub share: u32,
}

/// Settings of `wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// How long: 1 second to 7 days.
    pub seconds: u32,
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
        let mut fields = serializer.serialize_struct("Definition", 7)?;
        fields.serialize_field("format", &FORMAT)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("start", &self.start)?;
        if let Some(language) = &self.language {
            fields.serialize_field("language", language)?;
        }
        if !self.variables.is_empty() {
            fields.serialize_field("variables", &self.variables)?;
        }
        if !self.translations.is_empty() {
            fields.serialize_field("translations", &self.translations)?;
        }
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
            Settings::Start | Settings::End => {}
            Settings::SetVariables(settings) => fields.serialize_field("settings", settings)?,
            Settings::BusinessHours(settings) => fields.serialize_field("settings", settings)?,
            Settings::Split(settings) => fields.serialize_field("settings", settings)?,
            Settings::Wait(settings) => fields.serialize_field("settings", settings)?,
            Settings::HttpCall(settings) => fields.serialize_field("settings", settings)?,
            Settings::Script(settings) => fields.serialize_field("settings", settings)?,
            Settings::SendMedia(settings) => fields.serialize_field("settings", settings)?,
            Settings::SendTemplate(settings) => fields.serialize_field("settings", settings)?,
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
