//! What is wrong with a flow's languages: texts that belong nowhere, are missing, or are too long.

use std::collections::{BTreeMap, BTreeSet};

use super::settings;
use crate::definition::{Definition, Language};
use crate::expression::{Kind, check};
use crate::limits::MAX_LANGUAGES;
use crate::problem::{Problem, nearest, quote};
use crate::scope::Scope;

/// How many places are compared with all others to guess what was meant: a definition full of unknown
/// ones must not cost their number squared.
const GUESSES: u32 = 10;

/// Checks them. `own` are the problems of the flow's own texts.
pub(super) fn check_all(
    definition: &Definition,
    scope: &Scope<'_>,
    own: &[Problem],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some(language) = &definition.language else {
        if !definition.translations.is_empty() {
            let message = "there are translations, and nothing says when to use them";
            let remedy =
                "add `language`, such as {\"default\": \"en\", \"from\": \"flow.language\"}";
            problems.push(Problem::error("", "language", message, remedy));
        }
        return problems;
    };
    spoken(language, scope, &mut problems);
    if definition.translations.len() > MAX_LANGUAGES {
        let message = format!("there are {} languages", definition.translations.len());
        let remedy = format!("use at most {MAX_LANGUAGES}");
        problems.push(Problem::error("", "translations", message, remedy));
        return problems;
    }
    let known = definition.texts().into_iter();
    let known: BTreeSet<String> = known.map(|(place, _)| place).collect();
    let own = own
        .iter()
        .map(|problem| (problem.place(), problem.message.clone()));
    let own: Told = own.collect();
    let mut guesses = GUESSES;
    for (tag, texts) in &definition.translations {
        tag_of("translations", tag, &mut problems);
        if tag.eq_ignore_ascii_case(&language.default) {
            let message = format!("`{}` is the language of the flow's own texts", quote(tag));
            let remedy = "change the texts themselves";
            problems.push(Problem::error(
                "",
                format!("translations.{tag}"),
                message,
                remedy,
            ));
        }
        places(&known, tag, texts, &mut guesses, &mut problems);
        lengths(definition, (tag, texts), (scope, &own), &mut problems);
    }
    problems
}

fn spoken(language: &Language, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    tag_of("language.default", &language.default, problems);
    match check(&language.from, scope) {
        Err(wrong) => {
            problems.push(Problem::error(
                "",
                "language.from",
                wrong.message,
                wrong.remedy,
            ));
        }
        Ok(checked) if !checked.kind.may_be(Kind::Text) => {
            let message = format!(
                "this gives {}, not the name of a language",
                checked.kind.name()
            );
            let remedy = "give a text such as \"de\"";
            problems.push(Problem::error("", "language.from", message, remedy));
        }
        Ok(_) => {}
    }
}

/// A language's name as BCP 47 writes it: `de`, `pt-BR`.
fn tag_of(field: &str, tag: &str, problems: &mut Vec<Problem>) {
    let mut parts = tag.split('-');
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let first = parts
        .next()
        .is_some_and(|part| (2..=3).contains(&part.len()) && letters(part));
    let plain = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !(first && parts.all(plain)) {
        let message = format!("`{}` is not the name of a language", quote(tag));
        problems.push(Problem::error(
            "",
            field,
            message,
            "write it like de or pt-BR",
        ));
    }
}

/// Texts for places that there are not, and places without a text.
fn places(
    known: &BTreeSet<String>,
    tag: &str,
    texts: &BTreeMap<String, String>,
    guesses: &mut u32,
    problems: &mut Vec<Problem>,
) {
    for place in texts.keys().filter(|place| !known.contains(*place)) {
        let meant = match guesses.checked_sub(1) {
            Some(left) => {
                *guesses = left;
                nearest(place, known.iter().map(String::as_str))
            }
            None => None,
        };
        let remedy = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "name a text, such as Menu.settings.prompt.text".to_owned(),
        };
        let field = format!("translations.{tag}.{}", quote(place));
        problems.push(Problem::error(
            "",
            field,
            "the flow has no text there",
            remedy,
        ));
    }
    let missing: Vec<&String> = known
        .iter()
        .filter(|place| !texts.contains_key(*place))
        .collect();
    if let Some(first) = missing.first() {
        let message = match missing.len() {
            1 => format!("{first} has no translation"),
            count => format!("{count} texts have no translation, {first} is the first"),
        };
        let remedy = "add them; until then the default language is spoken there";
        problems.push(Problem::warning(
            "",
            format!("translations.{tag}"),
            message,
            remedy,
        ));
    }
}

/// Problems that were told, by place and words.
type Told = BTreeSet<(String, String)>;

/// Texts that are wrong in this language and not in the flow's own.
fn lengths(
    definition: &Definition,
    (tag, texts): (&str, &BTreeMap<String, String>),
    (scope, own): (&Scope<'_>, &Told),
    problems: &mut Vec<Problem>,
) {
    let translated = definition.translated(texts);
    let mut found = Vec::new();
    for (widget, before) in translated.widgets.iter().zip(&definition.widgets) {
        if widget != before {
            settings::check(widget, scope, &mut found);
        }
    }
    let is_new = |it: &Problem| !own.contains(&(it.place(), it.message.clone()));
    let new = found.into_iter().filter(is_new);
    problems.extend(new.map(|problem| Problem {
        field: format!("translations.{tag}.{}", problem.place()),
        widget: String::new(),
        ..problem
    }));
}

#[cfg(test)]
mod tests {
    use crate::check;

    const SOUND: &str = r#"{"format":1,"name":"Test","start":"Start",
        "language":{"default":"en","from":"flow.language"},
        "variables":[{"name":"language","type":"text","default":"en"}],
        "translations":{"de":{
            "Menu.settings.prompt.text":"Was darf es sein?",
            "Menu.settings.choices[value 1].title":"Verkauf",
            "Hello.settings.parts[0].text":"Hallo {{contact.display_name}}!"}},
        "widgets":[
        {"name":"Start","type":"start","exits":{"next":"Hello"}},
        {"name":"Hello","type":"send_media","settings":{"parts":[
            {"type":"text","text":"Hello {{contact.display_name}}!"}]},"exits":{"next":"Menu","failed":null}},
        {"name":"Menu","type":"collect_input","settings":{
            "prompt":{"text":"What is it about?","show":"buttons"},
            "choices":[{"value":"1","title":"Sales"}],"timeout_seconds":60},
         "exits":{"match":"Queue","no_match":"Queue","timeout":"Queue"}},
        {"name":"Queue","type":"route_to","settings":{"queue":"sales"}}]}"#;

    #[test]
    fn a_sound_flow_raises_no_alarm() {
        let (definition, problems) = check(SOUND);
        assert_eq!(problems, []);
        let definition = definition.unwrap();
        assert_eq!(crate::parse(&definition.to_json()).unwrap(), definition);
    }

    /// What is replaced, by what; the place and words of the problem that is told.
    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (
            "\"language\":{\"default\":\"en\",\"from\":\"flow.language\"},",
            "",
            "language",
            "nothing says when",
        ),
        (
            "\"default\":\"en\",\"from\"",
            "\"default\":\"English\",\"from\"",
            "language.default",
            "`English` is not the name",
        ),
        (
            "\"from\":\"flow.language\"",
            "\"from\":\"flow.langauge\"",
            "language.from",
            "no variable `langauge`",
        ),
        (
            "\"from\":\"flow.language\"",
            "\"from\":\"1 + 1\"",
            "language.from",
            "gives a number",
        ),
        ("\"de\":{", "\"d\":{", "translations", "`d` is not the name"),
        ("\"de\":{", "\"en\":{", "translations.en", "own texts"),
        (
            "\"Menu.settings.prompt.text\"",
            "\"Menu.settings.prompt.txt\"",
            "translations.de.Menu.settings.prompt.txt",
            "no text there",
        ),
        (
            "\"Menu.settings.prompt.text\":\"Was darf es sein?\",",
            "",
            "translations.de",
            "Menu.settings.prompt.text has no translation",
        ),
        (
            "Verkauf",
            "Verkauf und alles andere",
            "translations.de.Menu.settings.choices[0].title",
            "has 24 characters",
        ),
        (
            "Hallo {{contact.display_name}}",
            "Hallo {{contact.displayname}}",
            "translations.de.Hello.settings.parts[0].text",
            "not a variable",
        ),
        (
            "Was darf es sein?",
            " ",
            "translations.de.Menu.settings.prompt.text",
            "is empty",
        ),
    ];

    #[test]
    fn every_seeded_mistake_is_found() {
        crate::validate::tests::are_found(SOUND, MISTAKES);
    }
}
