//! How large a compiled flow may become.

use crate::definition::{Definition, Settings};
use crate::limits::MAX_EXPRESSIONS;
use crate::problem::Problem;

/// Expressions take room, and a flow has as many times more of them as it has languages.
pub(crate) fn too_many_expressions(definition: &Definition) -> Option<Problem> {
    let in_text = |text: &str| text.matches("{{").count();
    let texts: usize = definition
        .texts()
        .iter()
        .map(|(_, text)| in_text(text))
        .sum();
    let languages = definition.translations.values();
    let spoken = languages.clone().count();
    let translated = languages.flat_map(|texts| texts.values());
    let translated: usize = translated.map(|text| in_text(text)).sum();
    let widgets = definition.widgets.iter();
    let others: usize = widgets
        .map(|widget| match &widget.settings {
            Settings::Condition(condition) => condition.branches.len(),
            Settings::SetVariables(settings) => settings.set.len(),
            Settings::SendTemplate(settings) => {
                let texts = settings.texts();
                texts.iter().map(|(_, text)| in_text(text)).sum()
            }
            Settings::HttpCall(settings) => {
                let texts = settings.texts();
                let texts = texts.iter().map(|(_, text)| in_text(text));
                texts.sum::<usize>() + settings.save.len()
            }
            _ => 0,
        })
        .sum();
    let all = (texts + others) * (spoken + 1) + translated;
    (all > MAX_EXPRESSIONS).then(|| {
        let message =
            format!("the flow has about {all} variables and expressions in all languages");
        let remedy = format!("use at most {MAX_EXPRESSIONS}, or split the flow");
        Problem::error("", "", message, remedy)
    })
}
