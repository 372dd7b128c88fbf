//! Flows exported from Zoom Contact Center, widget by widget.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::zoom_file::{Canvas, File, State};
use super::zoom_script::{Names, script};
use super::{ImportError, Imported, Remark, Taken};
use crate::analysis::waits_behind;
use crate::definition::{
    Accept, Assignment, Branch, Choice, CollectInput, Condition, Definition, Exits, Operator,
    OwnVariable, Part, Prompt, Retries, SendMedia, SetVariables, Settings, Show, Translations,
    VariableType, Widget,
};
use crate::limits::{BUTTON_TITLE, BUTTONS, MAX_DEFINITION_BYTES, MAX_DIGITS, ROW_TITLE};

/// How long a question waits for which Zoom has no end: 23 hours, so that WhatsApp still takes what is
/// said then.
const NO_TIMEOUT: u32 = 82_800;

/// Reads a flow that Zoom exported.
///
/// # Errors
/// When the text is not one.
pub fn from_zoom(text: &str) -> Result<Imported, ImportError> {
    let wrong =
        |what: String| ImportError(format!("this is not a flow exported from Zoom: {what}"));
    if text.len() > MAX_DEFINITION_BYTES {
        return Err(wrong(format!("it has {} bytes", text.len())));
    }
    let file: File = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let canvas: Canvas = serde_json::from_str(&file.widgets)
        .map_err(|error| wrong(format!("`widgetsJson`: {error}")))?;
    let starts = canvas.state.iter().filter(|state| state.kind == "Start");
    let start = starts.map(|state| state.name.clone()).next();
    let start = start.ok_or_else(|| wrong("it has no widget of type Start".to_owned()))?;
    let mut reader = Reader {
        names: Names::of(&canvas.state),
        known: canvas
            .state
            .iter()
            .map(|state| state.name.clone())
            .collect(),
        widgets: Vec::new(),
        remarks: Vec::new(),
        end: None,
    };
    for state in &canvas.state {
        reader.widget(state);
    }
    Ok(reader.finish(file.name, &start))
}

/// A flow while it is read.
struct Reader {
    names: Names,
    known: BTreeSet<String>,
    widgets: Vec<Widget>,
    remarks: Vec<Remark>,
    /// The widget at which the engagement ends, once something leads to it.
    end: Option<String>,
}

impl Reader {
    fn finish(mut self, name: String, start: &str) -> Imported {
        if let Some(end) = self.end.take() {
            self.widgets.push(Widget {
                name: end,
                settings: Settings::End,
                exits: Exits::default(),
            });
        }
        for (theirs, ours) in self.names.given() {
            self.remarks.push(Remark {
                widget: String::new(),
                taken: Taken::Approximated,
                text: format!("nothing in it sets `{theirs}`; give {{{{{ours}}}}} a default"),
            });
        }
        let mut definition = Definition {
            name,
            start: self.names.widget(start),
            language: None,
            variables: self.names.variables(),
            translations: Translations::new(),
            widgets: self.widgets,
        };
        // The flow is over before a refusal can come.
        let waits = waits_behind(&definition);
        for (widget, waits) in definition.widgets.iter_mut().zip(waits) {
            if widget.settings.may_be_refused() && !waits {
                let failed = widget
                    .exits
                    .0
                    .iter_mut()
                    .filter(|(exit, _)| exit == "failed");
                failed.for_each(|(_, target)| *target = None);
            }
        }
        Imported {
            definition,
            remarks: self.remarks,
        }
    }

    fn remark(&mut self, state: &State, taken: Taken, text: impl Into<String>) {
        self.remarks.push(Remark {
            widget: state.name.clone(),
            taken,
            text: text.into(),
        });
    }

    fn widget(&mut self, state: &State) {
        match state.kind.as_str() {
            "Start" => self.start(state),
            "SendMedia" => self.send_media(state),
            "CollectInput" => self.collect_input(state),
            "Condition" => self.condition(state),
            "SetVariables" => self.set_variables(state),
            "Variable" => self.script(state),
            other => {
                let text = format!("there is no widget like `{other}`; the engagement ends there");
                self.remark(state, Taken::LeftOut, text);
                self.put(&state.name, Settings::End, Vec::new());
            }
        }
    }

    fn put(&mut self, name: &str, settings: Settings, exits: Vec<(&str, Option<String>)>) {
        let exits = exits.into_iter();
        let exits = exits.map(|(exit, target)| (exit.to_owned(), target));
        let name = self.names.widget(name);
        self.widgets.push(Widget {
            name,
            settings,
            exits: Exits(exits.collect()),
        });
    }

    /// Where the exit for `event` leads.
    fn target(&mut self, state: &State, event: &str) -> Option<String> {
        let mut exits = state.transitions.iter();
        let found = exits.find(|exit| exit.event == event);
        self.leads(found.and_then(|exit| exit.next.as_deref()))
    }

    /// The widget an exit leads to; where Zoom's leads nowhere, the engagement ends.
    fn leads(&mut self, next: Option<&str>) -> Option<String> {
        if let Some(next) = next.filter(|next| self.known.contains(*next)) {
            return Some(self.names.widget(next));
        }
        if self.end.is_none() {
            self.end = Some(self.names.beside("The", "end"));
        }
        self.end.clone()
    }

    fn start(&mut self, state: &State) {
        let next = state.transitions.first();
        let next = next.and_then(|exit| self.leads(exit.next.as_deref()));
        self.put(&state.name, Settings::Start, vec![("next", next)]);
        if state.transitions.len() > 1 {
            let text = "it has several channels; the first one's way is taken";
            self.remark(state, Taken::Approximated, text);
        }
    }

    fn send_media(&mut self, state: &State) {
        let chats = state.properties["chatList"].as_array();
        let mut parts = Vec::new();
        for chat in chats.into_iter().flatten() {
            let text = delta(&chat["text"]);
            if !text.trim().is_empty() {
                parts.push(Part::Text {
                    text: self.names.text(text.trim_end()),
                });
            }
            let asset = chat["asset_id"].as_str().unwrap_or_default();
            if !asset.is_empty() {
                let text = "an asset of Zoom's library is not in the export; send it as a link";
                self.remark(state, Taken::LeftOut, text);
            }
        }
        let next = self.target(state, "next");
        let mut exits = state.transitions.iter();
        let failed = exits.find(|exit| exit.event == "sendMediaFailed" && exit.next.is_some());
        let failed = failed.and_then(|exit| self.leads(exit.next.as_deref()));
        if parts.is_empty() {
            let text = "it says nothing that was exported; a text stands in its place";
            self.remark(state, Taken::Approximated, text);
            parts.push(Part::Text {
                text: "…".to_owned(),
            });
        }
        let settings = Settings::SendMedia(SendMedia { parts });
        self.put(
            &state.name,
            settings,
            vec![("next", next), ("failed", failed)],
        );
    }

    fn collect_input(&mut self, state: &State) {
        let properties = &state.properties;
        let prompt = properties["promtSMSText"].as_str().map(str::to_owned);
        let prompt = prompt.filter(|text| !text.trim().is_empty());
        let prompt = prompt.unwrap_or_else(|| delta(&properties["promptText"]));
        let prompt = self.names.text(prompt.trim_end());
        let timeout_seconds = self.patience(state);
        let timeout = self.target(state, "timeout");
        let has_no_match = state.transitions.iter().any(|exit| exit.event == "noMatch");
        let no_match = if has_no_match {
            self.target(state, "noMatch")
        } else {
            timeout.clone()
        };
        let kind = properties["collectType"].as_str().unwrap_or_default();
        let mut question = CollectInput {
            prompt: Prompt {
                text: prompt,
                show: Show::Text,
                list_button: None,
            },
            choices: Vec::new(),
            accept: Accept::default(),
            timeout_seconds,
            retries: Retries::default(),
        };
        let matched = match kind {
            "textinput" => self.target(state, "endOfInput"),
            "digitInput" | "ivrMenu" => {
                question.accept = digits(properties);
                let mut events = ["endOfInput", "Match"].into_iter();
                let event = events.find(|event| {
                    let mut exits = state.transitions.iter();
                    exits.any(|exit| exit.event == *event)
                });
                self.target(state, event.unwrap_or("endOfInput"))
            }
            _ => None,
        };
        let choices: Vec<(String, Option<String>)> = state
            .transitions
            .iter()
            .filter(|exit| exit.event == "Match")
            .map(|exit| {
                let title = exit.title.clone().unwrap_or_default();
                (title, self.leads(exit.next.as_deref()))
            })
            .collect();
        let matched = if matched.is_none() && !choices.is_empty() {
            Some(self.choices(state, &mut question, choices))
        } else {
            matched
        };
        let exits = vec![
            ("match", matched),
            ("no_match", no_match),
            ("timeout", timeout),
        ];
        self.put(&state.name, Settings::CollectInput(question), exits);
    }

    /// How long a question waits; where Zoom has no end, a day.
    fn patience(&mut self, state: &State) -> u32 {
        let seconds = state.properties["timeoutInterval"].as_u64().unwrap_or(0);
        if state.properties["enableTimeout"] == Value::Bool(true) && seconds > 0 {
            return u32::try_from(seconds).unwrap_or(NO_TIMEOUT);
        }
        let text = "it waits without an end; here it waits 23 hours";
        self.remark(state, Taken::Approximated, text);
        NO_TIMEOUT
    }

    /// Choices with a way of their own each: a question, and behind it a condition.
    fn choices(
        &mut self,
        state: &State,
        question: &mut CollectInput,
        choices: Vec<(String, Option<String>)>,
    ) -> String {
        let longest = choices.iter().map(|(title, _)| title.chars().count()).max();
        let longest = longest.unwrap_or(0);
        question.prompt.show = if choices.len() <= BUTTONS && longest <= BUTTON_TITLE {
            Show::Buttons
        } else if longest <= ROW_TITLE {
            question.prompt.list_button = Some("Choose".to_owned());
            Show::List
        } else {
            let text = "its choices are too long for buttons; they are to be written";
            self.remark(state, Taken::Approximated, text);
            Show::Text
        };
        question.choices = choices
            .iter()
            .map(|(title, _)| Choice {
                value: title.clone(),
                title: Some(title.clone()).filter(|_| question.prompt.show != Show::Text),
                description: None,
                synonyms: Vec::new(),
            })
            .collect();
        let name = self.names.beside(&state.name, "choice");
        let mut exits: Vec<(String, Option<String>)> = Vec::new();
        let branches = choices.iter().enumerate().map(|(at, (title, target))| {
            let exit = format!("choice_{}", at + 1);
            exits.push((exit.clone(), target.clone()));
            Branch {
                exit,
                operator: Some(Operator::Equals),
                value: Some(title.clone()),
                ..Branch::default()
            }
        });
        let condition = Condition {
            variable: Some(format!("{{{{{}.value}}}}", self.names.widget(&state.name))),
            branches: branches.collect(),
        };
        // A choice is one of these: nothing else comes here.
        let nowhere = self.leads(None);
        exits.push(("no_match".to_owned(), nowhere));
        self.widgets.push(Widget {
            name: name.clone(),
            settings: Settings::Condition(condition),
            exits: Exits(exits),
        });
        name
    }

    fn condition(&mut self, state: &State) {
        let variable = state.properties["variable"].as_str().unwrap_or_default();
        let variable = self.names.text(variable);
        let (mut branches, mut exits) = (Vec::new(), Vec::new());
        for (at, found) in state.transitions.iter().enumerate() {
            if found.event != "Match" {
                continue;
            }
            let exit = format!("match_{}", at + 1);
            let mut comparisons = found.conditions.iter();
            let compared = comparisons.next();
            let operator = compared.and_then(|one| operator(&one.operator));
            if comparisons.next().is_some() || operator.is_none() {
                let title = found.title.as_deref().unwrap_or_default();
                let text = format!("`{title}` compares in a way that is not read; it never holds");
                self.remark(state, Taken::LeftOut, text);
            }
            if let (Some(compared), Some(operator)) = (compared, operator) {
                let takes_value = !matches!(operator, Operator::IsSet | Operator::IsEmpty);
                branches.push(Branch {
                    exit: exit.clone(),
                    operator: Some(operator),
                    value: takes_value.then(|| compared.value.clone()),
                    ..Branch::default()
                });
                exits.push((exit, self.leads(found.next.as_deref())));
            }
        }
        exits.push(("no_match".to_owned(), self.target(state, "noMatch")));
        let name = self.names.widget(&state.name);
        self.widgets.push(Widget {
            name,
            settings: Settings::Condition(Condition {
                variable: Some(variable),
                branches,
            }),
            exits: Exits(exits),
        });
    }

    fn set_variables(&mut self, state: &State) {
        let given = state.properties["variables"].as_array();
        let mut set = Vec::new();
        for one in given.into_iter().flatten() {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let target = self.names.text(text("target"));
            if !target.starts_with("{{flow.") {
                let what = format!("`{}` cannot be set by a flow", text("target"));
                self.remark(state, Taken::LeftOut, what);
                continue;
            }
            set.push(Assignment {
                variable: target,
                value: Some(self.names.text(text("source"))),
                expression: None,
            });
        }
        let next = self.target(state, "next");
        if set.is_empty() {
            let text = "nothing in it can be set; it is passed over";
            self.remark(state, Taken::LeftOut, text);
        }
        let exits = vec![("next", next), ("failed", None)];
        self.put(
            &state.name,
            Settings::SetVariables(SetVariables { set }),
            exits,
        );
    }

    fn script(&mut self, state: &State) {
        let (next, failed) = (self.target(state, "Success"), self.target(state, "Fail"));
        let settings = Settings::Script(Box::new(script(state, &self.names)));
        self.put(
            &state.name,
            settings,
            vec![("next", next), ("failed", failed)],
        );
    }
}

/// The words of a text with formats (a Quill delta).
fn delta(text: &Value) -> String {
    let pieces = text["ops"].as_array();
    let pieces = pieces.into_iter().flatten();
    pieces
        .filter_map(|piece| piece["insert"].as_str())
        .collect()
}

fn digits(properties: &Value) -> Accept {
    let most = properties["numberOfDigits"].as_u64();
    let most = most
        .and_then(|most| u32::try_from(most).ok())
        .filter(|most| *most > 0);
    let finish = properties["finishOnKey"].as_str();
    Accept::Digits {
        least: 1,
        most: most.unwrap_or(MAX_DIGITS).min(MAX_DIGITS),
        finish: finish.filter(|key| !key.is_empty()).map(str::to_owned),
    }
}

/// Zoom's words for comparisons.
fn operator(word: &str) -> Option<Operator> {
    Some(match word {
        "Equal to" => Operator::Equals,
        "Not equal to" => Operator::NotEquals,
        "Contains" => Operator::Contains,
        "Starts with" => Operator::StartsWith,
        "Greater than" => Operator::GreaterThan,
        "Less than" => Operator::LessThan,
        "Is set" | "Is not empty" => Operator::IsSet,
        "Is empty" => Operator::IsEmpty,
        _ => return None,
    })
}

/// A flow's own variables, from their types by name.
pub(super) fn own(variables: &BTreeMap<String, VariableType>) -> Vec<OwnVariable> {
    let variables = variables.iter();
    variables
        .map(|(name, kind)| OwnVariable {
            name: name.clone(),
            r#type: *kind,
            default: None,
            masked: false,
        })
        .collect()
}
