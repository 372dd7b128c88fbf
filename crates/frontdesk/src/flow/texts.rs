//! `frontdesk flow texts`: what there is to translate.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::source::Flow;
use crate::cli::FlowTextsArgs;
use crate::terminal::print_line;

/// Prints the texts.
pub(super) fn run(args: &FlowTextsArgs) -> anyhow::Result<()> {
    let flow = Flow::read(&args.file)?;
    let Some(definition) = flow.definition else {
        let first = flow.problems.first().context("a flow that was read")?;
        bail!("{}: {first}", args.file.display());
    };
    let there = args.missing.as_ref().and_then(|tag| {
        let mut languages = definition.translations.iter();
        let found = languages.find(|(own, _)| own.eq_ignore_ascii_case(tag));
        found.map(|(_, texts)| texts.clone())
    });
    let there = there.unwrap_or_default();
    let texts = definition.texts().into_iter();
    let lacking = texts.filter(|(place, _)| !there.contains_key(place));
    let object: Map<String, Value> = lacking.map(|(place, text)| (place, text.into())).collect();
    print_line(&serde_json::to_string_pretty(&object)?)?;
    Ok(())
}
