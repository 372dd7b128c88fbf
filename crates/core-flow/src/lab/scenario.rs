//! A conversation as data: what the customer does, and what the flow must answer.

use std::collections::BTreeMap;
use std::fmt;

use core_types::Content;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::lab::call::{Answered, ShownCall, Stub};
use crate::lab::shown::Shown;
use crate::lab::span::Span;

/// The scenarios of one flow: one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The flow's file, as seen from this one's folder.
    pub flow: String,
    /// Calls that are answered in the same way in every scenario.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Stub>,
    /// What is played, each from the start.
    pub scenarios: Vec<Scenario>,
}

impl Suite {
    /// A scenario with the calls that are answered in every one of its file behind its own.
    #[must_use]
    pub fn whole(&self, scenario: &Scenario) -> Scenario {
        let mut whole = scenario.clone();
        whole.calls.extend_from_slice(&self.calls);
        whole
    }
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a few words; unique in its file.
    pub title: String,
    /// When it begins, in RFC 3339. Absent: a Monday morning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What is known of the customer: `display_name: Maria` is `{{contact.display_name}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contact: BTreeMap<String, String>,
    /// The exit taken at a split, by the split's name; otherwise chance decides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, String>,
    /// Calls that are answered in the same way each time. One that is not here is answered by the
    /// next `answer`, or by nothing when time passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Stub>,
    /// What happens, in order. The customer's first line begins the session.
    pub steps: Vec<Line>,
}

/// One line of a conversation. `customer`, `wait`, `unsent` and `answer` are what happens to the flow;
/// all others are what the flow does about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The customer writes or taps.
    Customer(Said),
    /// Time passes. Waits that end meanwhile end at their time.
    Wait(Span),
    /// WhatsApp refuses a message of the flow, counted from 1 in what the flow said last.
    Unsent(u32),
    /// The other system answers the call the flow waits for.
    Answer(Box<Answered>),
    /// The flow asks another system.
    Call(ShownCall),
    /// The flow sends a message.
    Flow(Shown),
    /// A variable gets a value, by its full name.
    Set(BTreeMap<String, String>),
    /// The engagement goes to a queue, which ends the flow's part.
    Route(Routed),
    /// The flow ends without a queue, at this exit: `Menu/timeout`.
    End(String),
}

impl Line {
    /// Whether it happens to the flow, and is not its answer.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Customer(_) | Self::Wait(_) | Self::Unsent(_) | Self::Answer(_)
        )
    }
}

/// What the customer does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Said {
    /// Writes a text.
    Text(String),
    /// Something else.
    Act(Box<Act>),
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the customer writes, or one of tap, image, sticker, content")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Said, E> {
        Ok(Said::Text(text.to_owned()))
    }

    // YAML reads `+49…`, `0x1F` and `007` as numbers: what the customer wrote is lost by then.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Said, E> {
        unquoted(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Said, E> {
        unquoted(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Said, E> {
        unquoted(number)
    }

    fn visit_bool<E: de::Error>(self, word: bool) -> Result<Said, E> {
        unquoted(word)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Said, E> {
        unquoted("null")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Said, A::Error> {
        let act = Act::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Said::Act(Box::new(act)))
    }
}

fn unquoted<E: de::Error>(read: impl fmt::Display) -> Result<Said, E> {
    Err(E::custom(format!(
        "`{read}` is no text; put what the customer writes into quotes: '{read}'"
    )))
}

/// What a customer does other than writing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Taps the button or chooses the row with this title or id, of those shown last.
    Tap(String),
    /// Sends a picture with a caption.
    Image(String),
    /// Sends a place: `latitude,longitude` in degrees.
    Place(String),
    /// Sends a sticker.
    Sticker(String),
    /// Any other content.
    Content(Box<Content>),
}

/// Where an engagement goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routed {
    /// The queue's id.
    pub queue: String,
    /// Higher is served first; 0 is normal.
    #[serde(default, skip_serializing_if = "is_normal")]
    pub priority: i32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_normal(priority: &i32) -> bool {
    *priority == 0
}
