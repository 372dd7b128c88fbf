//! The shape of a file that Zoom's flow editor exports: a JSON object whose `widgetsJson` is another JSON
//! text with the widgets under `state`.

use serde::Deserialize;
use serde_json::Value;

/// The file.
#[derive(Deserialize)]
pub(super) struct File {
    #[serde(rename = "flowName")]
    pub(super) name: String,
    #[serde(rename = "widgetsJson")]
    pub(super) widgets: String,
}

/// What `widgetsJson` holds.
#[derive(Deserialize)]
pub(super) struct Canvas {
    pub(super) state: Vec<State>,
}

/// A widget.
#[derive(Deserialize)]
pub(super) struct State {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) properties: Value,
    #[serde(default)]
    pub(super) transitions: Vec<Transition>,
}

/// An exit.
#[derive(Deserialize)]
pub(super) struct Transition {
    pub(super) event: String,
    #[serde(default, rename = "friendlyName")]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) next: Option<String>,
    #[serde(default, rename = "conditionList")]
    pub(super) conditions: Vec<Compared>,
}

/// A comparison of a condition's exit.
#[derive(Deserialize)]
pub(super) struct Compared {
    #[serde(default)]
    pub(super) value: String,
    #[serde(default)]
    pub(super) operator: String,
}
