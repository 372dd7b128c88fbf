//! Approved templates: what must be filled in, whether it is, and the text the customer then reads.
//! Source: `whatsapp-cloud-api.md`, sections 2.3 and 5.2.

mod fill;
mod parse;
mod placeholder;
#[cfg(test)]
mod tests;

use core_types::{MediaKind, TemplateSend};

use crate::send::LimitProblem;
use placeholder::Pattern;

/// A template as Meta approved it, ready to check what is sent with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    named: bool,
    header: Option<Header>,
    body: Pattern,
    body_examples: Vec<String>,
    footer: String,
    buttons: Vec<Button>,
    /// Parts that need parameters Frontdesk cannot give, in words.
    unsupported: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Header {
    Text(Pattern, Vec<String>),
    Media(MediaKind, String),
}

#[derive(Clone, Debug, PartialEq)]
struct Button {
    text: String,
    kind: ButtonKind,
    example: String,
}

#[derive(Clone, Debug, PartialEq)]
enum ButtonKind {
    /// A payload may be given.
    QuickReply,
    /// An address; with a variable at its end a suffix must be given.
    Url { address: String, variable: bool },
    /// A code must be given.
    CopyCode,
    /// A one-time password: sent as a `url` parameter, whatever the button does with it.
    OneTimePassword,
    /// Nothing to give: phone number, form, catalogue, ….
    Fixed,
}

/// One thing to fill in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Parameter {
    /// `header`, `body` or `button`.
    pub component: String,
    /// `1`, `2`, … or the name; for buttons the index from 0; for header media empty.
    pub name: String,
    /// `text`, `image`, `video`, `document`, `url`, `copy_code` or `quick_reply`.
    pub kind: String,
    /// The example it was approved with; empty when there is none.
    pub example: String,
    /// Quick replies may be left out.
    pub required: bool,
}

/// Why a definition cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not JSON, or a part of the wrong type.
    #[error("the components cannot be read: {0}")]
    Malformed(String),
    /// A template has exactly one body.
    #[error("the template has {0} bodies; it must have one")]
    Bodies(usize),
    /// `{{1}}` and `{{name}}` in one template, or the other than the format says.
    #[error("the variable `{{{{{0}}}}}` does not fit the parameter format `{1}`")]
    MixedVariables(String, &'static str),
    /// `{{1}} {{3}}`.
    #[error("the numbered variables must count up from 1 without a gap")]
    Gap,
    /// Neither `positional` nor `named`.
    #[error("`{0}` is not a parameter format; use positional or named")]
    Format(String),
}

impl Definition {
    /// Reads Meta's `components` (a JSON list). `parameter_format` is `positional` or `named` in
    /// any case; empty means positional.
    ///
    /// # Errors
    /// When the components are not what Meta hands out: see [`DefinitionError`].
    pub fn parse(components_json: &str, parameter_format: &str) -> Result<Self, DefinitionError> {
        parse::definition(components_json, parameter_format)
    }

    /// The body with its placeholders.
    pub fn body(&self) -> &str {
        self.body.text()
    }

    /// Everything that can be filled in, in the order header, body, buttons.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Vec::new();
        match &self.header {
            None => {}
            Some(Header::Text(pattern, examples)) => {
                all.extend(text_parameters("header", pattern, examples));
            }
            Some(Header::Media(kind, example)) => {
                all.push(parameter(
                    "header",
                    String::new(),
                    kind.word(),
                    example,
                    true,
                ));
            }
        }
        all.extend(text_parameters("body", &self.body, &self.body_examples));
        for (index, button) in self.buttons.iter().enumerate() {
            let (kind, required) = match &button.kind {
                ButtonKind::QuickReply => ("quick_reply", false),
                ButtonKind::Url { variable: true, .. } | ButtonKind::OneTimePassword => {
                    ("url", true)
                }
                ButtonKind::CopyCode => ("copy_code", true),
                ButtonKind::Url { .. } | ButtonKind::Fixed => continue,
            };
            let name = index.to_string();
            all.push(parameter("button", name, kind, &button.example, required));
        }
        all
    }

    /// Checks the parameters of `send` against this template and fills them in.
    ///
    /// # Errors
    /// Every problem, each with its field: a parameter missing or too many, a wrong name, an empty
    /// one, line breaks, tabs or more than three spaces, a text that gets too long, a header
    /// without its media, a button that is not there or wants something else.
    pub fn check(&self, send: &TemplateSend) -> Result<String, Vec<LimitProblem>> {
        fill::check(self, send)
    }
}

fn parameter(
    component: &str,
    name: String,
    kind: &str,
    example: &str,
    required: bool,
) -> Parameter {
    Parameter {
        component: component.to_owned(),
        name,
        kind: kind.to_owned(),
        example: example.to_owned(),
        required,
    }
}

fn text_parameters(component: &str, pattern: &Pattern, examples: &[String]) -> Vec<Parameter> {
    let variables = pattern.variables().iter().enumerate();
    variables
        .map(|(index, name)| {
            let example = examples.get(index).map_or("", String::as_str);
            parameter(component, name.clone(), "text", example, true)
        })
        .collect()
}
