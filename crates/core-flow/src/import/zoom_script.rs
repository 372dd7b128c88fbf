//! Zoom's names and scripts. Zoom has variables of groups (`global_custom.shop.orderId`) and of blocks
//! (`GetOrder.data`, what its script set); here both become the flow's own: `flow.shop_orderId`,
//! `flow.GetOrder_data`. What is shown somewhere is a text; what only scripts hand to each other may be
//! anything.

use std::collections::{BTreeMap, BTreeSet};

use super::zoom::own;
use super::zoom_file::State;
use crate::definition::{Code, OwnVariable, Script, VariableType};

const PRELUDE: &str = include_str!("zoom_prelude.js");
/// How Zoom's variables of groups begin.
const GLOBAL: &str = "global_custom.";

/// Zoom's names, by ours.
pub(super) struct Names {
    widgets: BTreeMap<String, String>,
    /// Every variable's name as Zoom writes it, with ours: `flow.shop_orderId`, `Ask.text`.
    variables: BTreeMap<String, String>,
    /// Types of the flow's own variables.
    own: BTreeMap<String, VariableType>,
    /// Variables of groups that something sets.
    set: BTreeSet<String>,
}

impl Names {
    /// The names of a flow's widgets, and of all variables that stand anywhere in it.
    pub(super) fn of(states: &[State]) -> Self {
        let mut names = Self {
            widgets: BTreeMap::new(),
            variables: BTreeMap::new(),
            own: BTreeMap::new(),
            set: BTreeSet::new(),
        };
        for state in states {
            let name = names.free(&plain(&state.name));
            names.widgets.insert(state.name.clone(), name);
        }
        for state in states {
            let script = state.properties["script"].as_str();
            match script {
                Some(script) => names.of_script(&state.name, script),
                None => names.of_question(&state.name),
            }
        }
        let mut shown = BTreeSet::new();
        for state in states {
            let mut properties = state.properties.clone();
            if let Some(fields) = properties.as_object_mut() {
                let script = fields.remove("script");
                let script = script.as_ref().and_then(serde_json::Value::as_str);
                names.globals(script.unwrap_or_default(), &mut BTreeSet::new());
            }
            let text = properties.to_string();
            let targets = properties["variables"].as_array().into_iter().flatten();
            let targets = targets.filter_map(|one| one["target"].as_str());
            let targets = targets.map(|target| target.trim_matches(['{', '}', ' ']).to_owned());
            names.set.extend(targets);
            names.globals(&text, &mut shown);
            let blocks = names
                .variables
                .keys()
                .filter(|name| text.contains(name.as_str()));
            shown.extend(blocks.cloned());
        }
        for name in shown {
            let ours = names.variables.get(&name);
            let ours = ours.and_then(|ours| ours.strip_prefix("flow."));
            if let Some(kind) = ours.and_then(|ours| names.own.get_mut(ours)) {
                *kind = VariableType::Text;
            }
        }
        names
    }

    fn of_script(&mut self, block: &str, script: &str) {
        let widget = self.widget(block);
        self.variables
            .insert(format!("{block}.value"), format!("{widget}.value"));
        let set = after(script, "global_var_set(").into_iter();
        self.set.extend(set.map(str::to_owned));
        for field in after(script, "var_set(") {
            let name = format!("{widget}_{}", plain(field));
            self.own.insert(name.clone(), VariableType::Json);
            self.variables
                .insert(format!("{block}.{field}"), format!("flow.{name}"));
        }
    }

    fn of_question(&mut self, block: &str) {
        let widget = self.widget(block);
        for (theirs, ours) in [("value", "value"), ("TextInput", "text")] {
            self.variables
                .insert(format!("{block}.{theirs}"), format!("{widget}.{ours}"));
        }
    }

    /// Notes the variables of groups that stand in `text`, also in `found`.
    fn globals(&mut self, text: &str, found: &mut BTreeSet<String>) {
        for (at, _) in text.match_indices(GLOBAL) {
            let rest = &text[at + GLOBAL.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
            let rest = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            let Some((group, name)) = rest.split_once('.') else {
                continue;
            };
            let theirs = format!("{GLOBAL}{group}.{name}");
            let ours = plain(&format!("{group}_{name}"));
            self.own.entry(ours.clone()).or_insert(VariableType::Json);
            self.variables
                .insert(theirs.clone(), format!("flow.{ours}"));
            found.insert(theirs);
        }
    }

    /// Our name of a widget.
    pub(super) fn widget(&self, name: &str) -> String {
        self.widgets
            .get(name)
            .cloned()
            .unwrap_or_else(|| plain(name))
    }

    /// A new widget's name beside another's.
    pub(super) fn beside(&mut self, name: &str, what: &str) -> String {
        let name = self.free(&format!("{}_{what}", self.widget(name)));
        self.widgets.insert(format!("{name} {what}"), name.clone());
        name
    }

    fn free(&self, name: &str) -> String {
        let taken = |name: &str| self.widgets.values().any(|own| own == name);
        let mut numbered = (2..).map(|number| format!("{name}_{number}"));
        if taken(name) {
            numbered.find(|name| !taken(name)).unwrap_or_default()
        } else {
            name.to_owned()
        }
    }

    /// A text with our names in its `{{…}}`; a name nobody knows stays as it is, and is found when the flow
    /// is checked.
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once("{{") {
            out.push_str(before);
            let Some((inside, behind)) = inside.split_once("}}") else {
                out.push_str("{ {");
                rest = inside;
                continue;
            };
            let name = inside.trim();
            let ours = self.variables.get(name).map_or(name, String::as_str);
            out.push_str("{{");
            out.push_str(ours);
            out.push_str("}}");
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    /// Variables of groups that nothing in the flow sets, with ours.
    pub(super) fn given(&self) -> Vec<(String, String)> {
        let given = self.variables.iter().filter(|(theirs, ours)| {
            theirs.starts_with(GLOBAL) && ours.starts_with("flow.") && !self.set.contains(*theirs)
        });
        given
            .map(|(theirs, ours)| (theirs.clone(), ours.clone()))
            .collect()
    }

    /// The flow's own variables.
    pub(super) fn variables(&self) -> Vec<OwnVariable> {
        own(&self.own)
    }
}

/// A script that finds Zoom's functions around it.
pub(super) fn script(state: &State, names: &Names) -> Script {
    let code = state.properties["script"].as_str().unwrap_or_default();
    let used = names
        .variables
        .iter()
        .filter(|(theirs, _)| code.contains(theirs.as_str()));
    let used: serde_json::Map<String, serde_json::Value> = used
        .map(|(theirs, ours)| (theirs.clone(), ours.as_str().into()))
        .collect();
    let block = format!("flow.{}_", names.widget(&state.name));
    let mut lines = vec![
        format!("const zoom_names = {};", serde_json::Value::Object(used)),
        format!("const zoom_block = {};", serde_json::Value::from(block)),
    ];
    lines.extend(PRELUDE.lines().map(str::to_owned));
    lines.extend(code.lines().map(str::to_owned));
    Script {
        code: Code::Lines(lines),
        exits: Vec::new(),
    }
}

/// Texts that stand right behind `call`, in quotes.
fn after<'t>(text: &'t str, call: &str) -> Vec<&'t str> {
    let found = text.match_indices(call).filter_map(|(at, _)| {
        // `global_var_set(` ends so, too.
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let rest = text[at + call.len()..].trim_start();
        let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
        rest[1..].split(quote).next()
    });
    found.collect()
}

/// A name of letters, digits and `_` that begins with a letter.
fn plain(name: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut plain: String = name.chars().take(40).map(good).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
        plain.insert(0, 'W');
    }
    plain
}
