//! The languages a flow speaks, as they are written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Definition, Part, Settings, Widget};

/// In which language a conversation is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// The language of the widgets' own texts, such as `en`: what is said where there is no other.
    pub default: String,
    /// An expression that gives the language of a conversation, such as `flow.language`. It is asked
    /// whenever something is said.
    pub from: String,
}

/// For each language the texts that are said in it, by place: `Menu.settings.prompt.text`. A text
/// without a translation is said in the default language.
pub type Translations = BTreeMap<String, BTreeMap<String, String>>;

impl Widget {
    /// The texts that customers read, each with its place in the flow.
    pub(crate) fn texts(&mut self) -> Vec<(String, &mut String)> {
        let name = self.name.clone();
        let place = |field: &str| format!("{name}.settings.{field}");
        let mut texts = Vec::new();
        match &mut self.settings {
            Settings::SendMedia(settings) => {
                for (index, part) in settings.parts.iter_mut().enumerate() {
                    let (field, text) = match part {
                        Part::Text { text } => ("text", Some(text)),
                        Part::Image(file)
                        | Part::Video(file)
                        | Part::Audio(file)
                        | Part::Document(file)
                        | Part::Sticker(file) => ("caption", file.caption.as_mut()),
                        Part::Location(_) | Part::Contacts { .. } => continue,
                    };
                    let field = place(&format!("parts[{index}].{field}"));
                    texts.extend(text.map(|text| (field, text)));
                }
            }
            Settings::CollectInput(settings) => {
                texts.push((place("prompt.text"), &mut settings.prompt.text));
                let button = settings.prompt.list_button.as_mut();
                texts.extend(button.map(|text| (place("prompt.list_button"), text)));
                let again = settings.retries.text.as_mut();
                texts.extend(again.map(|text| (place("retries.text"), text)));
                for choice in &mut settings.choices {
                    let field = |part| place(&format!("choices[value {}].{part}", choice.value));
                    let (title, description) = (field("title"), field("description"));
                    texts.extend(choice.title.as_mut().map(|text| (title, text)));
                    texts.extend(choice.description.as_mut().map(|text| (description, text)));
                }
            }
            Settings::Start
            | Settings::Condition(_)
            | Settings::SetVariables(_)
            | Settings::BusinessHours(_)
            | Settings::Split(_)
            | Settings::Wait(_)
            | Settings::SendTemplate(_)
            | Settings::HttpCall(_)
            | Settings::Script(_)
            | Settings::End
            | Settings::RouteTo(_) => {}
        }
        texts
    }
}

impl Definition {
    /// The texts that customers read, each with its place, in the order of the widgets.
    pub fn texts(&self) -> Vec<(String, String)> {
        let mut widgets = self.widgets.clone();
        let texts = widgets.iter_mut().flat_map(Widget::texts);
        texts.map(|(place, text)| (place, text.clone())).collect()
    }

    /// The same flow with these texts in the places of its own.
    pub(crate) fn translated(&self, texts: &BTreeMap<String, String>) -> Self {
        let mut translated = self.clone();
        for widget in &mut translated.widgets {
            for (place, text) in widget.texts() {
                if let Some(other) = texts.get(&place) {
                    text.clone_from(other);
                }
            }
        }
        translated
    }
}
