//! Reads a definition. Each widget is read on its own, so that one typing mistake does not hide
//! the others, and every problem names its line and column in the whole text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::definition::{Definition, Exits, Language, OwnVariable, Settings, Translations, Widget};
use crate::limits::{MAX_DEFINITION_BYTES, MAX_WIDGETS};
use crate::problem::{Problem, capped, nearest, quote};
use crate::source::{Place, Source};
use crate::validate::validate;

/// The version of the format this program writes, and the newest it reads.
pub const FORMAT: u64 = 1;

/// The words of `type`.
const TYPES: [&str; 13] = [
    "start",
    "send_media",
    "send_template",
    "collect_input",
    "condition",
    "set_variables",
    "business_hours",
    "split",
    "wait",
    "http_call",
    "script",
    "end",
    "route_to",
];

/// Reads and validates: the definition, if it could be read at all, and everything found.
pub fn check(text: &str) -> (Option<Definition>, Vec<Problem>) {
    match parse(text) {
        Ok(definition) => {
            let problems = validate(&definition);
            (Some(definition), problems)
        }
        Err(problems) => (None, problems),
    }
}

/// Reads a definition from JSON.
///
/// # Errors
/// Every problem found: one for the text as a whole, or one for each widget that cannot be read.
pub fn parse(text: &str) -> Result<Definition, Vec<Problem>> {
    let source = Source::new(text);
    let raw = read_flow(&source).map_err(|problem| vec![problem])?;
    let mut widgets = Vec::with_capacity(raw.widgets.len());
    let mut problems = Vec::new();
    for (position, widget) in raw.widgets.iter().enumerate() {
        match read_widget(&source, position, widget) {
            Ok(widget) => widgets.push(widget),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Definition {
            name: raw.name,
            start: raw.start,
            language: raw.language,
            variables: raw.variables,
            translations: raw.translations,
            widgets,
        })
    } else {
        Err(capped(problems))
    }
}

/// Only the version: what a newer format says besides is not ours to judge.
#[derive(Deserialize)]
struct Peek {
    format: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFlow<'t> {
    #[serde(rename = "format")]
    _format: u64,
    name: String,
    start: String,
    #[serde(default)]
    language: Option<Language>,
    #[serde(default)]
    variables: Vec<OwnVariable>,
    #[serde(default, deserialize_with = "translations")]
    translations: Translations,
    #[serde(borrow)]
    widgets: Vec<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWidget<'t> {
    name: String,
    r#type: String,
    #[serde(borrow, default)]
    settings: Option<&'t RawValue>,
    #[serde(default)]
    exits: Exits,
}

/// Settings of widgets that have none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn read_flow<'t>(source: &Source<'t>) -> Result<RawFlow<'t>, Problem> {
    let text = source.text();
    if text.len() > MAX_DEFINITION_BYTES {
        return Err(Problem::error(
            "",
            "",
            format!(
                "the definition has {} bytes; at most {MAX_DEFINITION_BYTES} are read",
                text.len()
            ),
            "split the flow into several",
        ));
    }
    if text.trim_ascii().is_empty() {
        return Err(Problem::error(
            "",
            "",
            "the definition is empty",
            "write a flow as described in docs/FLOWS.md",
        ));
    }
    let whole = Place {
        widget: "",
        field: "",
        json: text,
    };
    source.must_be_object(&whole)?;
    // A syntax error is reported by the full reading below, which says more.
    if let Ok(Peek {
        format: Some(found),
    }) = serde_json::from_str(text)
        && found != FORMAT
    {
        return Err(Problem::error(
            "",
            "format",
            format!("format {found} is not known; this program reads format {FORMAT}"),
            "use a newer Frontdesk, or export the flow in this format",
        ));
    }
    let raw: RawFlow<'t> =
        serde_json::from_str(text).map_err(|error| source.explain(&whole, &error))?;
    if raw.widgets.len() > MAX_WIDGETS {
        return Err(Problem::error(
            "",
            "widgets",
            format!(
                "the flow has {} widgets; at most {MAX_WIDGETS} are allowed",
                raw.widgets.len()
            ),
            "split the flow into several",
        ));
    }
    Ok(raw)
}

fn read_widget(source: &Source<'_>, position: usize, json: &RawValue) -> Result<Widget, Problem> {
    let field = format!("widgets[{position}]");
    let place = Place {
        widget: "",
        field: &field,
        json: json.get(),
    };
    source.must_be_object(&place)?;
    let raw: RawWidget<'_> =
        serde_json::from_str(json.get()).map_err(|error| source.explain(&place, &error))?;
    let settings = read_settings(source, json.get(), &raw)?;
    Ok(Widget {
        name: raw.name,
        settings,
        exits: raw.exits,
    })
}

fn read_settings(
    source: &Source<'_>,
    json: &str,
    raw: &RawWidget<'_>,
) -> Result<Settings, Problem> {
    let kind = raw.r#type.as_str();
    match kind {
        "start" => settings::<Nothing>(source, json, raw).map(|_| Settings::Start),
        "send_media" => settings(source, json, raw).map(Settings::SendMedia),
        "collect_input" => settings(source, json, raw).map(Settings::CollectInput),
        "condition" => settings(source, json, raw).map(Settings::Condition),
        "set_variables" => settings(source, json, raw).map(Settings::SetVariables),
        "business_hours" => settings(source, json, raw).map(Settings::BusinessHours),
        "split" => settings(source, json, raw).map(Settings::Split),
        "wait" => settings(source, json, raw).map(Settings::Wait),
        "send_template" => {
            settings(source, json, raw).map(|template| Settings::SendTemplate(Box::new(template)))
        }
        "script" => settings(source, json, raw).map(|script| Settings::Script(Box::new(script))),
        "http_call" => settings(source, json, raw).map(|call| Settings::HttpCall(Box::new(call))),
        "end" => settings::<Nothing>(source, json, raw).map(|_| Settings::End),
        "route_to" => settings(source, json, raw).map(Settings::RouteTo),
        _ => {
            let remedy = match nearest(kind, TYPES) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("use one of {}", TYPES.join(", ")),
            };
            let message = format!(
                "{}: there is no widget type `{}`",
                source.position(json),
                quote(kind)
            );
            Err(Problem::error(&quote(&raw.name), "type", message, remedy))
        }
    }
}

/// The settings of `raw`, whose whole text is `json`.
fn settings<T: DeserializeOwned>(
    source: &Source<'_>,
    json: &str,
    raw: &RawWidget<'_>,
) -> Result<T, Problem> {
    let name = quote(&raw.name);
    let mut place = Place {
        widget: &name,
        field: "settings",
        json,
    };
    let Some(settings) = raw.settings else {
        return serde_json::from_str("{}").map_err(|error| source.explain(&place, &error));
    };
    place.json = settings.get();
    source.must_be_object(&place)?;
    serde_json::from_str(settings.get()).map_err(|error| source.explain(&place, &error))
}

/// Translations; a language or a text that is written twice is a mistake.
fn translations<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Translations, D::Error> {
    let languages: Once<Once<String>> = Deserialize::deserialize(from)?;
    let languages = languages.0.into_iter();
    Ok(languages.map(|(tag, texts)| (tag, texts.0)).collect())
}

/// A map in which nothing stands twice.
struct Once<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Once<V> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnceVisitor<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for OnceVisitor<V> {
            type Value = Once<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<V>, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if all.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate `{}`", quote(&name))));
                    }
                    all.insert(name, value);
                }
                Ok(Once(all))
            }
        }
        deserializer.deserialize_map(OnceVisitor(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Exits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExitsVisitor;
        impl<'de> Visitor<'de> for ExitsVisitor {
            type Value = Exits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of exit names and the widgets they lead to")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Exits, A::Error> {
                let mut exits = Exits::default();
                while let Some((name, target)) = map.next_entry::<String, Option<String>>()? {
                    if exits.get(&name).is_some() {
                        return Err(A::Error::custom(format!(
                            "duplicate exit `{}`",
                            quote(&name)
                        )));
                    }
                    // More is refused by validation; looking each up must stay cheap.
                    if exits.0.len() > 4 * crate::limits::MAX_EXITS {
                        return Err(A::Error::custom("too many exits"));
                    }
                    exits.0.push((name, target));
                }
                Ok(exits)
            }
        }
        deserializer.deserialize_map(ExitsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_problem(text: &str) -> Problem {
        parse(text).unwrap_err().remove(0)
    }

    #[test]
    fn problems_name_line_column_and_remedy() {
        let text = "{\"format\":1,\"name\":\"x\",\"start\":\"Start\",\"widgets\":[\n\
                    {\"name\":\"A\",\"type\":\"route_to\",\"settings\":{\n  \"queu\":\"q\"}}]}";
        let problem = first_problem(text);
        assert_eq!(
            (problem.widget.as_str(), problem.field.as_str()),
            ("A", "settings")
        );
        assert!(
            problem
                .message
                .starts_with("line 3, column 8: unknown field `queu`"),
            "{problem}"
        );
        assert_eq!(problem.remedy, "did you mean `queue`?");
    }

    #[test]
    fn every_broken_widget_is_reported() {
        let text = r#"{"format":1,"name":"x","start":"S","widgets":[
            {"name":"A","type":"rout_to"},{"name":"B","type":"collect_input"},{"nam":"C"}]}"#;
        let problems = parse(text).unwrap_err();
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[0].remedy, "did you mean `route_to`?");
        assert!(problems[1].message.contains("missing field `prompt`"));
        assert_eq!(problems[2].field, "widgets[2]");
    }

    #[test]
    fn texts_that_are_no_flow_end_in_one_clear_problem() {
        let cases = [
            ("", "is empty"),
            ("[]", "not an object"),
            ("{}", "missing field `format`"),
            ("// hi\n{}", "expected value"),
            (r#"{"format":99,"nodes":[]}"#, "format 99 is not known"),
            (r#"{"format":1,"format":1}"#, "duplicate field `format`"),
            (
                r#"{"format":1,"name":"a","start":"S","widgets":[],}"#,
                "trailing comma",
            ),
        ];
        for (text, expected) in cases {
            let problem = first_problem(text);
            assert!(problem.message.contains(expected), "{text}: {problem}");
            assert!(!problem.remedy.is_empty());
        }
    }

    #[test]
    fn bombs_are_refused_within_bounds() {
        for deep in ["[".repeat(500_000), r#"{"widgets":"#.repeat(90_000)] {
            assert!(first_problem(&deep).message.contains("line 1"));
        }
        let nested = format!(
            r#"{{"format":1,"name":"x","start":"S","widgets":[{{"name":"A","type":"send_media","settings":{{"parts":{}}}}}]}}"#,
            "[".repeat(10_000) + &"]".repeat(10_000)
        );
        assert!(parse(&nested).is_err());
        let long = " ".repeat(10 << 20);
        assert!(first_problem(&long).message.contains("at most 1048576"));
        let many = format!(
            r#"{{"format":1,"name":"x","start":"S","widgets":[{}]}}"#,
            vec!["{}"; 10_000].join(",")
        );
        assert!(first_problem(&many).message.contains("10000 widgets"));
    }

    #[test]
    fn thousands_of_unknown_names_are_told_in_hundreds() {
        let exits: Vec<String> = (0..60).map(|n| format!(r#""e{n}":"Nobody{n}""#)).collect();
        let widget = |n| {
            let exits = exits.join(",");
            format!(r#"{{"name":"W{n}","type":"start","exits":{{{exits}}}}}"#)
        };
        let widgets: Vec<String> = (0..700).map(widget).collect();
        let text = format!(
            r#"{{"format":1,"name":"x","start":"W0","widgets":[{}]}}"#,
            widgets.join(",")
        );
        let (definition, problems) = check(&text);
        assert!(definition.is_some(), "{:?}", problems.first());
        assert_eq!(problems.len(), 501);
        assert!(problems[500].message.contains("more problems"));
    }

    #[test]
    fn an_exit_named_twice_is_refused() {
        let text = r#"{"format":1,"name":"x","start":"S","widgets":[
            {"name":"S","type":"start","exits":{"next":"A","next":"B"}}]}"#;
        assert!(
            first_problem(text)
                .message
                .contains("duplicate exit `next`")
        );
    }
}
