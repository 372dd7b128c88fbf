//! What a question shows, and what means which of its choices.

use core_types::{Button, InteractiveAction, ListRow, ListSection};

use crate::answer::normalise;
use crate::definition::{Choice, Prompt, Show};
use crate::limits::{BUTTONS_BODY, LIST_BODY, LOCATION_BODY, TEXT_BODY};

/// WhatsApp's limit for the body of a prompt, in characters.
pub(crate) fn body_limit(show: Show) -> usize {
    match show {
        Show::Text => TEXT_BODY,
        Show::Buttons => BUTTONS_BODY,
        Show::Location => LOCATION_BODY,
        Show::List => LIST_BODY,
    }
}

pub(super) fn action(prompt: &Prompt, choices: &[Choice]) -> Option<InteractiveAction> {
    let title = |choice: &Choice| choice.title.clone().unwrap_or_else(|| choice.value.clone());
    match prompt.show {
        Show::Text => None,
        Show::Location => Some(InteractiveAction::LocationRequest),
        Show::Buttons => Some(InteractiveAction::Buttons {
            buttons: choices
                .iter()
                .map(|choice| Button {
                    id: choice.value.clone(),
                    title: title(choice),
                })
                .collect(),
        }),
        Show::List => Some(InteractiveAction::List {
            button: prompt.list_button.clone().unwrap_or_default(),
            sections: vec![ListSection {
                title: String::new(),
                rows: choices
                    .iter()
                    .map(|choice| ListRow {
                        id: choice.value.clone(),
                        title: title(choice),
                        description: choice.description.clone(),
                    })
                    .collect(),
            }],
        }),
    }
}

/// Every text that means a choice, normalised and sorted. Of equal ones the first choice counts.
pub(crate) fn choice_keys(choices: &[Choice]) -> Box<[(Box<str>, u16)]> {
    let mut keys: Vec<(Box<str>, u16)> = Vec::new();
    for (position, choice) in (0_u16..).zip(choices) {
        let texts = [&choice.value]
            .into_iter()
            .chain(&choice.title)
            .chain(&choice.synonyms);
        keys.extend(texts.map(|text| (normalise(text).into(), position)));
    }
    keys.retain(|(key, _)| !key.is_empty());
    keys.sort();
    keys.dedup_by(|later, first| later.0 == first.0);
    keys.into()
}
