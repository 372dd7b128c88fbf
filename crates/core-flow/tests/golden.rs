//! Golden scenarios: a flow, inputs, and everything the engine answers, as data in
//! `tests/golden/*.json`. `UPDATE_GOLDEN=1` writes what the engine answers now; read the
//! difference before it is committed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::{env, fs};

use core_flow::{Action, CompiledFlow, Definition, Effect, EffectKey, Input, Step, advance, check};
use core_types::{Content, Media, MediaKind, Reply, ReplyKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// When scenarios begin.
const START: i64 = 1_795_370_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What it shows.
    title: String,
    /// Path of the flow from the root of the repository, or the flow itself.
    flow: Value,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<String, String>,
    steps: Vec<Turn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    /// Seconds after the start of the scenario.
    at: u32,
    input: GoldenInput,
    /// What the engine answers.
    #[serde(default)]
    expect: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoldenInput {
    /// The first message, a text.
    Start(String),
    /// A text.
    Text(String),
    /// A tap: id and title.
    Tap(String, String),
    /// A list row chosen: id and title.
    Row(String, String),
    /// A picture with a caption, or a sticker where there is none.
    Media(Option<String>),
    /// Any content, as core-types writes it.
    Content(Box<Content>),
    TimedOut(u64),
    SendFailed(String),
}

fn text(body: &str) -> Content {
    Content::Text {
        body: body.to_owned(),
        preview_url: false,
    }
}

fn tap(kind: ReplyKind, id: &str, title: &str) -> Content {
    Content::Reply(Reply {
        kind,
        id: id.to_owned(),
        title: title.to_owned(),
        data: None,
    })
}

fn media(caption: Option<&String>) -> Content {
    Content::Media(Media {
        kind: if caption.is_some() {
            MediaKind::Image
        } else {
            MediaKind::Sticker
        },
        id: Some("1".into()),
        link: None,
        mime_type: None,
        sha256: None,
        caption: caption.cloned(),
        filename: None,
        voice: false,
        animated: false,
    })
}

impl GoldenInput {
    fn to_input(&self) -> Input {
        match self {
            Self::Start(body) => Input::Start(text(body)),
            Self::Text(body) => Input::Message(text(body)),
            Self::Tap(id, title) => Input::Message(tap(ReplyKind::Button, id, title)),
            Self::Row(id, title) => Input::Message(tap(ReplyKind::List, id, title)),
            Self::Media(caption) => Input::Message(media(caption.as_ref())),
            Self::Content(content) => Input::Message((**content).clone()),
            Self::TimedOut(wait) => Input::TimedOut { wait: *wait },
            Self::SendFailed(key) => Input::SendFailed {
                key: key.parse::<EffectKey>().expect("a key"),
            },
        }
    }
}

fn effect_to_json(effect: &Effect) -> Value {
    let key = effect.key.to_string();
    match &effect.action {
        Action::Send(content) => json!({"key": key, "send": content}),
        Action::RouteTo { queue, priority } => {
            json!({"key": key, "route_to": {"queue": queue, "priority": priority}})
        }
        Action::SetVariable { name, value } => {
            json!({"key": key, "set_variable": {"name": name, "value": value}})
        }
        Action::End { reason } => json!({"key": key, "end": reason}),
        Action::Call(request) => json!({"key": key, "call": request.url}),
    }
}

fn step_to_json(step: &Step<'_>, start: Timestamp) -> Value {
    let mut said = json!({
        "path": step.path,
        "effects": step.effects.iter().map(effect_to_json).collect::<Vec<_>>(),
        "session_bytes": step.session.len(),
    });
    match step.wait {
        Some(wait) => {
            said["wait"] = json!({
                "wait": wait.wait,
                "until": wait.until.map(|until| until.since(start).as_secs()),
            });
        }
        None => said["finished"] = json!(step.finished),
    }
    said
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn load(flow: &Value) -> Definition {
    let text = match flow {
        Value::String(path) => fs::read_to_string(root().join(path)).expect("the flow"),
        definition => definition.to_string(),
    };
    let (definition, problems) = check(&text);
    assert!(problems.is_empty(), "{problems:#?}");
    definition.expect("a definition without problems")
}

/// Plays a scenario; returns it with what the engine answers.
fn play(mut scenario: Scenario) -> Scenario {
    let flow = CompiledFlow::compile(&load(&scenario.flow), NonZeroU32::MIN).expect("it compiles");
    let start = Timestamp::from_seconds(START).expect("a time");
    let mut session: Option<Vec<u8>> = None;
    for turn in &mut scenario.steps {
        let now = start.plus(std::time::Duration::from_secs(turn.at.into()));
        let input = turn.input.to_input();
        let step =
            advance(&flow, session.as_deref(), &input, &scenario.facts, now).expect("a step");
        let again =
            advance(&flow, session.as_deref(), &input, &scenario.facts, now).expect("a step");
        assert_eq!(step, again, "the same step must give the same answer");
        turn.expect = step_to_json(&step, start);
        session = Some(step.session);
    }
    scenario
}

#[test]
fn scenarios_play_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let scenario: Scenario = serde_json::from_str(&written)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut played = serde_json::to_string_pretty(&play(scenario)).unwrap();
        played.push('\n');
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, played).unwrap();
        } else if played != written {
            let first = played.lines().zip(written.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{}: {first:#?}", file.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "played (left) is not as written (right); UPDATE_GOLDEN=1 rewrites:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn flows_in_the_repository_raise_no_alarm_and_are_in_canonical_form() {
    for entry in fs::read_dir(root().join("deploy/flows")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let (definition, problems) = check(&text);
        assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
        assert_eq!(definition.unwrap().to_json(), text, "{}", path.display());
    }
}

#[test]
fn the_example_in_the_manual_raises_no_alarm() {
    let manual = fs::read_to_string(root().join("docs/FLOWS.md")).unwrap();
    let (_, rest) = manual.split_once("```json").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_eq!(check(example).1, []);
}
