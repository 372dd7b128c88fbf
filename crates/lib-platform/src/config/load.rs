//! Loading: defaults, then the file, then the environment; all mistakes at once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::config::file::{self, Entry, Found};
use crate::config::key::Key;
use crate::config::kind::{Kind, Wrong};
use crate::config::problem::Problem;
use crate::config::settings::{Given, Origin, Settings};

/// What our variables begin with.
pub const PREFIX: &str = "FRONTDESK_";
/// Largest settings file, in bytes.
pub const MOST_FILE_BYTES: u64 = 1 << 20;
/// Largest file with a secret, in bytes.
const MOST_SECRET_BYTES: u64 = 64 << 10;

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The settings file, if one was named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// Variables with our prefix that are not settings of roles.
    pub other_variables: &'static [&'static str],
}

/// What loading found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What can be used.
    pub settings: Settings,
    /// Why the process must not start.
    pub problems: Vec<Problem>,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
    /// Keys that file and environment both name; the environment won.
    pub overridden: Vec<&'static str>,
}

/// A text on its way to a setting.
struct Text {
    text: String,
    origin: Origin,
}

/// Loads the settings that `role` uses (`None`: every role's), and names every mistake.
pub fn load(table: &[Key], role: Option<&str>, sources: &Sources) -> Outcome {
    let mut outcome = Outcome::default();
    let entries = from_file(table, sources, &mut outcome);
    let variables = from_env(table, sources, &mut outcome);
    for key in table.iter().filter(|key| key.is_used_by(role)) {
        let in_env = env_text(key, &variables, &mut outcome);
        let in_file = file_text(key, &entries, &mut outcome);
        if matches!((&in_env, &in_file), (Layer::Text(_), Layer::Text(_))) {
            outcome.overridden.push(key.name);
        }
        let text = match (in_env, in_file) {
            (Layer::Wrong, _) | (Layer::None, Layer::Wrong) => continue,
            (Layer::Text(text), _) | (Layer::None, Layer::Text(text)) => Some(text),
            (Layer::None, Layer::None) => key.default.map(|text| Text {
                text: text.to_owned(),
                origin: Origin::Default,
            }),
        };
        match text {
            Some(text) => take(key, text, &mut outcome),
            None if key.is_needed_by(role) => outcome.problems.push(missing(key, role)),
            None => {}
        }
    }
    outcome
}

/// What one layer says about a key.
enum Layer {
    None,
    Wrong,
    Text(Text),
}

fn take(key: &Key, text: Text, outcome: &mut Outcome) {
    match key.kind.read(&text.text) {
        Ok(value) => {
            let shown = key.kind.shown(&text.text);
            let given = Given {
                value,
                shown,
                origin: text.origin,
            };
            outcome.settings.given.insert(key.name, given);
        }
        Err(Wrong(code, problem)) => {
            let given = key.kind.shown(&text.text);
            let place = text.origin.to_string();
            outcome
                .problems
                .push(of_key(key, code, problem).given(given).at(place));
        }
    }
}

fn missing(key: &Key, role: Option<&str>) -> Problem {
    let who = role.map_or_else(|| key.needed_by.join(", "), str::to_owned);
    of_key(
        key,
        "config.missing",
        format!("missing, and {who} cannot start without it"),
    )
}

/// A problem of a key, with the remedy that always holds.
fn of_key(key: &Key, code: &'static str, problem: impl Into<String>) -> Problem {
    let mut problem = Problem::new(code, problem, key.remedy());
    problem.key = Some(key.name.to_owned());
    problem.env = Some(key.env());
    problem
}

impl Problem {
    /// A mistake of one key that only the whole shows, such as two addresses that are the same.
    pub fn of(key: &Key, code: &'static str, problem: impl Into<String>) -> Self {
        of_key(key, code, problem)
    }

    /// Says what was given; the text must be fit to be shown.
    #[must_use]
    pub fn given(mut self, given: impl Into<String>) -> Self {
        self.given = Some(given.into());
        self
    }

    /// Says something better than the general remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

fn from_file(table: &[Key], sources: &Sources, outcome: &mut Outcome) -> BTreeMap<String, Entry> {
    let Some(path) = &sources.file else {
        return BTreeMap::new();
    };
    let entries = file::read(path, MOST_FILE_BYTES, "the settings file")
        .and_then(|text| file::entries(path, &text));
    let entries = match entries {
        Ok(entries) => entries,
        Err(problem) => {
            outcome.problems.push(*problem);
            return BTreeMap::new();
        }
    };
    let mut known = BTreeMap::new();
    for entry in entries {
        let of_secret = entry.name.strip_suffix("_file");
        let is_known = table.iter().any(|key| {
            key.name == entry.name || (key.kind.is_secret() && Some(key.name) == of_secret)
        });
        if is_known {
            known.insert(entry.name.clone(), entry);
        } else {
            outcome.problems.push(unknown_key(table, &entry));
        }
    }
    known
}

fn unknown_key(table: &[Key], entry: &Entry) -> Problem {
    let dashed = entry.name.replace('-', "_");
    let near = nearest(&dashed, table.iter().map(|key| key.name));
    let remedy = near.map_or_else(
        || "remove it; `frontdesk config keys` lists what there is".to_owned(),
        |near| format!("did you mean `{near}`? `frontdesk config keys` lists what there is"),
    );
    let mut problem = Problem::new("config.unknown_key", "there is no such key", remedy);
    problem.key = Some(entry.name.clone());
    problem.at(&entry.place)
}

fn from_env(table: &[Key], sources: &Sources, outcome: &mut Outcome) -> BTreeMap<String, String> {
    let known: BTreeMap<String, &Key> = table
        .iter()
        .flat_map(|key| {
            [Some(key.env()), key.env_file()]
                .into_iter()
                .flatten()
                .map(move |env| (env, key))
        })
        .collect();
    let mut variables = BTreeMap::new();
    for (name, value) in &sources.env {
        let Some(name) = ours(name) else { continue };
        if sources.other_variables.contains(&name.as_str()) {
            continue;
        }
        let Some(key) = known.get(&name) else {
            let value = value.to_string_lossy();
            outcome
                .problems
                .push(unknown_variable(&known, sources, &name, &value));
            continue;
        };
        match value.to_str() {
            Some(value) if value.contains('\0') => outcome.problems.push(not_text(key, &name)),
            Some(value) => {
                variables.insert(name, value.to_owned());
            }
            None => outcome.problems.push(not_text(key, &name)),
        }
    }
    variables
}

fn ours(name: &OsStr) -> Option<String> {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX).then(|| name.into_owned())
}

fn not_text(key: &Key, name: &str) -> Problem {
    of_key(key, "config.encoding", "the value is not UTF-8 text").at(name)
}

fn unknown_variable(
    known: &BTreeMap<String, &Key>,
    sources: &Sources,
    name: &str,
    value: &str,
) -> Problem {
    // Kubernetes describes each Service of the namespace in variables of this form.
    let service_link = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ["tcp://", "udp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
        || name.contains("_TCP_");
    let others = sources.other_variables.iter().copied();
    let near = nearest(name, known.keys().map(String::as_str).chain(others));
    let remedy = if service_link {
        "set `enableServiceLinks: false` in the pod: Kubernetes makes variables of each Service, \
         and this one looks like a setting"
            .to_owned()
    } else if let Some(near) = near {
        format!("did you mean {near}? `frontdesk config keys` lists what there is")
    } else {
        "remove it; `frontdesk config keys` lists what there is".to_owned()
    };
    let mut problem = Problem::new(
        "config.unknown_variable",
        "there is no such setting",
        remedy,
    );
    problem.env = Some(name.to_owned());
    problem
}

/// The candidate closest to `word`, if one is close enough to be what was meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = (word.len() / 4).clamp(1, 4);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

fn env_text(key: &Key, variables: &BTreeMap<String, String>, outcome: &mut Outcome) -> Layer {
    let given = |name: &String| variables.get(name).filter(|value| !value.is_empty());
    let env = key.env();
    let in_file = key
        .env_file()
        .and_then(|name| given(&name).map(|path| (name, path)));
    match (given(&env), in_file) {
        (Some(_), Some((name, _))) => twice(key, &env, &name, outcome),
        (Some(text), None) => Layer::Text(Text {
            text: text.clone(),
            origin: Origin::Env(env),
        }),
        (None, Some((name, path))) => secret_file(key, Path::new(path), Origin::Env(name), outcome),
        (None, None) => Layer::None,
    }
}

fn file_text(key: &Key, entries: &BTreeMap<String, Entry>, outcome: &mut Outcome) -> Layer {
    let value = entries.get(key.name);
    let path_key = format!("{}_file", key.name);
    let path = key
        .kind
        .is_secret()
        .then(|| entries.get(&path_key))
        .flatten();
    match (value, path) {
        (Some(value), Some(path)) => twice(key, &value.place, &path.place, outcome),
        (Some(value), None) => match text_of(&key.kind, &value.found) {
            Ok(text) if text.is_empty() => Layer::None,
            Ok(text) => Layer::Text(Text {
                text,
                origin: Origin::File(value.place.clone()),
            }),
            Err(found) => {
                let problem = format!("{found} stands where {} belongs", wanted(&key.kind));
                outcome
                    .problems
                    .push(of_key(key, "config.type", problem).at(&value.place));
                Layer::Wrong
            }
        },
        (None, Some(path)) => match &path.found {
            Found::Text(text) if text.is_empty() => Layer::None,
            Found::Text(text) => secret_file(
                key,
                Path::new(text),
                Origin::File(path.place.clone()),
                outcome,
            ),
            _ => {
                let problem = "the path of a file belongs here, in quotes";
                outcome
                    .problems
                    .push(of_key(key, "config.type", problem).at(&path.place));
                Layer::Wrong
            }
        },
        (None, None) => Layer::None,
    }
}

fn twice(key: &Key, one: &str, other: &str, outcome: &mut Outcome) -> Layer {
    let problem = format!("given both as value ({one}) and as file ({other})");
    let remedy = "remove one of the two";
    outcome
        .problems
        .push(of_key(key, "secret.twice", problem).remedy(remedy));
    Layer::Wrong
}

/// Reads a file with one secret; the line break at its end does not belong to it.
fn secret_file(key: &Key, path: &Path, origin: Origin, outcome: &mut Outcome) -> Layer {
    let text = match file::read(path, MOST_SECRET_BYTES, "the file with the secret") {
        Ok(text) => text,
        Err(found) => {
            let given = found.place.clone().unwrap_or_default();
            let problem = of_key(key, found.code, found.problem).given(given);
            outcome
                .problems
                .push(problem.remedy(found.remedy).at(origin.to_string()));
            return Layer::Wrong;
        }
    };
    if file::is_world_readable(path) {
        outcome.warnings.push(
            of_key(
                key,
                "secret.readable",
                format!(
                    "{} can be read by every user of the machine",
                    path.display()
                ),
            )
            .remedy("chmod 0400 (in Kubernetes: defaultMode 0440 and fsGroup)")
            .at(origin.to_string()),
        );
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
    if text.is_empty() {
        let problem = format!("{} is empty", path.display());
        outcome
            .problems
            .push(of_key(key, "config.missing", problem).at(origin.to_string()));
        return Layer::Wrong;
    }
    Layer::Text(Text { text, origin })
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "`true` or `false` without quotes",
        Kind::Integer { .. } => "a number without quotes",
        Kind::Secrets { .. } => "text, or a list of texts, in quotes",
        _ => "text in quotes",
    }
}

/// The text of a value from the file, or what stands there instead.
fn text_of(kind: &Kind, found: &Found) -> Result<String, String> {
    match (kind, found) {
        (Kind::Bool, Found::Bool(flag)) => Ok(flag.to_string()),
        (Kind::Integer { .. }, Found::Number(written)) => Ok(written.clone()),
        (Kind::Secrets { .. }, Found::Texts(texts)) => Ok(texts.join(",")),
        // An empty text is the same as nothing, whatever belongs there.
        (_, Found::Text(text)) if text.is_empty() => Ok(String::new()),
        (Kind::Bool | Kind::Integer { .. }, Found::Text(_)) => Err("text".to_owned()),
        (_, Found::Text(text)) => Ok(text.clone()),
        (_, Found::Number(written)) if kind.is_secret() => {
            Err(format!("a number of {} characters", written.len()))
        }
        (_, Found::Number(written)) => Err(format!("the number {written}")),
        (_, Found::Bool(flag)) => Err(flag.to_string()),
        (_, Found::Texts(_)) => Err("a list".to_owned()),
        (_, Found::Other(what)) => Err((*what).to_owned()),
    }
}
