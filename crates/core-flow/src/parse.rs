//! Reads a definition. Each widget is read on its own, so that one typing mistake does not hide
//! the others, and every problem names its line and column in the whole text.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::definition::{Definition, Exits, Settings, Widget};
use crate::limits::{MAX_DEFINITION_BYTES, MAX_WIDGETS};
use crate::problem::{Problem, nearest, quote};
use crate::validate::validate;

/// The version of the format this program writes, and the newest it reads.
pub const FORMAT: u64 = 1;

/// The words of `type`.
const TYPES: [&str; 5] = [
    "start",
    "send_media",
    "collect_input",
    "condition",
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
    let raw = read_flow(text).map_err(|problem| vec![problem])?;
    let mut widgets = Vec::with_capacity(raw.widgets.len());
    let mut problems = Vec::new();
    for (position, widget) in raw.widgets.iter().enumerate() {
        match read_widget(text, position, widget) {
            Ok(widget) => widgets.push(widget),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(Definition {
            name: raw.name,
            start: raw.start,
            widgets,
        })
    } else {
        Err(problems)
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

fn read_flow(text: &str) -> Result<RawFlow<'_>, Problem> {
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
    object(text, (0, ""), "", text)?;
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
    let raw: RawFlow<'_> =
        serde_json::from_str(text).map_err(|error| explain(text, (0, ""), "", &error))?;
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

fn read_widget(text: &str, position: usize, json: &RawValue) -> Result<Widget, Problem> {
    let place = format!("widgets[{position}]");
    let base = offset_in(text, json.get());
    object(text, (base, &place), "", json.get())?;
    let raw: RawWidget<'_> = serde_json::from_str(json.get())
        .map_err(|error| explain(text, (base, &place), "", &error))?;
    let settings = read_settings(text, base, &raw)?;
    Ok(Widget {
        name: raw.name,
        settings,
        exits: raw.exits,
    })
}

fn read_settings(text: &str, base: usize, raw: &RawWidget<'_>) -> Result<Settings, Problem> {
    let kind = raw.r#type.as_str();
    match kind {
        "start" => settings::<Nothing>(text, base, raw).map(|_| Settings::Start),
        "send_media" => settings(text, base, raw).map(Settings::SendMedia),
        "collect_input" => settings(text, base, raw).map(Settings::CollectInput),
        "condition" => settings(text, base, raw).map(Settings::Condition),
        "route_to" => settings(text, base, raw).map(Settings::RouteTo),
        _ => {
            let remedy = match nearest(kind, TYPES) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("use one of {}", TYPES.join(", ")),
            };
            let (line, column) = position_of(text, base);
            Err(Problem::error(
                &raw.name,
                "type",
                format!(
                    "line {line}, column {column}: there is no widget type `{}`",
                    quote(kind)
                ),
                remedy,
            ))
        }
    }
}

fn settings<T: DeserializeOwned>(
    text: &str,
    base: usize,
    raw: &RawWidget<'_>,
) -> Result<T, Problem> {
    match raw.settings {
        Some(json) => {
            let place = (offset_in(text, json.get()), "settings");
            object(text, place, &raw.name, json.get())?;
            serde_json::from_str(json.get())
                .map_err(|error| explain(text, place, &raw.name, &error))
        }
        None => serde_json::from_str("{}")
            .map_err(|error| explain(text, (base, "settings"), &raw.name, &error)),
    }
}

/// Serde would take a list of values for an object.
fn object(
    text: &str,
    (base, field): (usize, &str),
    widget: &str,
    json: &str,
) -> Result<(), Problem> {
    if !json.trim_ascii_start().starts_with(['[', '"']) {
        return Ok(());
    }
    let (line, column) = position_of(text, base);
    let message = format!("line {line}, column {column}: this is not an object");
    Err(Problem::error(
        widget,
        field,
        message,
        "write it as {\"…\": …}",
    ))
}

/// Where `part`, a slice of `text`, begins in it.
fn offset_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(text.as_ptr() as usize)
        .min(text.len())
}

/// Line and column, from 1, of a byte offset. Columns count bytes, as serde_json's do.
fn position_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    (line, column)
}

/// Puts serde's words into a problem: position in the whole text, what is wrong, what to do.
fn explain(
    text: &str,
    (base, field): (usize, &str),
    widget: &str,
    error: &serde_json::Error,
) -> Problem {
    let (base_line, base_column) = position_of(text, base);
    let line = base_line + error.line().max(1) - 1;
    let column = match error.line() {
        0 | 1 => base_column + error.column().max(1) - 1,
        _ => error.column(),
    };
    let said = error.to_string();
    let what = said.rfind(" at line ").map_or(&*said, |end| &said[..end]);
    let remedy = match error.classify() {
        Category::Syntax if what.contains("recursion limit") => {
            "nest less deeply; a flow needs a handful of levels".to_owned()
        }
        Category::Syntax => {
            "write plain JSON: no comments, no trailing commas, texts in double quotes".to_owned()
        }
        Category::Eof => "the text ends too early; close every bracket and quote".to_owned(),
        Category::Data | Category::Io => remedy_for(what),
    };
    Problem::error(
        widget,
        field,
        format!("line {line}, column {column}: {}", quote_long(what)),
        remedy,
    )
}

/// Serde's messages repeat input of any length.
fn quote_long(what: &str) -> String {
    what.chars()
        .take(300)
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

fn remedy_for(what: &str) -> String {
    let words: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
    let meant = || nearest(words.first()?, words.get(1..)?.iter().copied());
    if what.starts_with("unknown field") || what.starts_with("unknown variant") {
        return match meant() {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "remove it, or use one of the names docs/FLOWS.md describes".to_owned(),
        };
    }
    if what.starts_with("missing field") {
        return "add it; docs/FLOWS.md describes every field".to_owned();
    }
    if what.starts_with("duplicate") {
        return "keep one of the two".to_owned();
    }
    "give it the type and range docs/FLOWS.md describes".to_owned()
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
