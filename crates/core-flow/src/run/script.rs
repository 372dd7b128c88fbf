//! Runs scripts: hands in what is known, keeps what they set, and waits for what they ask.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::typed;
use super::{Halt, MAX_HELD, Onward, Run, spread};
use crate::compile::{Exit, ScriptNode};
use crate::definition::Method;
use crate::expression::from_json;
use crate::limits::{MAX_CALL_BODY, MAX_EVALUATIONS, MAX_HEADERS, MAX_SCRIPT_CALLS, MAX_URL};
use crate::scope::{FACTS, ValueField, ValueKey, Variable};
use crate::script::{self, Answer, Ask, Given, Outcome, Said};
use crate::step::{Action, Called, Failure, Payload, Request, Step};

/// What one run of a script costs of a step's budget, in expressions.
const COST: u32 = MAX_EVALUATIONS / 20;
/// How long an answer may take unless a script says otherwise, and at most, in seconds.
const PATIENCE: f64 = 10.0;
const MOST_PATIENCE: f64 = 30.0;
/// Most bytes of a script's answers that a session keeps.
const MAX_ANSWERS: usize = 128 << 10;
/// Longest line of a log in the record, in characters.
const MAX_LOG: usize = 1_000;

/// What has to be kept of a script that waits for an answer, so that it does the same again.
#[derive(Serialize, Deserialize)]
struct Kept {
    now: i64,
    seed: u32,
    /// What was known of the customer when it began.
    facts: BTreeMap<String, String>,
    /// The question it waits with, by its mark.
    asked: u64,
    answers: Vec<Answer>,
}

impl<'f, 's> Run<'f, 's> {
    /// Begins a script.
    pub(super) fn script(self, widget: u16, node: &'f ScriptNode) -> Result<Halt<'f, 's>, Failure> {
        let whose = self.facts.fact("conversation.id").unwrap_or_default();
        let sprint = self.sprint.to_string();
        let kept = Kept {
            now: self.now.as_micros() / 1_000,
            seed: spread(&[&node.name, whose, &sprint]) as u32,
            facts: FACTS
                .iter()
                .filter_map(|fact| Some(((*fact).to_owned(), self.facts.fact(fact)?.to_owned())))
                .collect(),
            asked: 0,
            answers: Vec::new(),
        };
        self.run_script(widget, node, kept)
    }

    /// Goes on with a script once what it asked has come to something; `None` stands for silence.
    pub(crate) fn script_answered(
        self,
        node: &'f ScriptNode,
        called: Option<&Called>,
    ) -> Result<Step<'f>, Failure> {
        let widget = self.waiting.widget;
        let text = self.waiting.get(key(widget)).unwrap_or_default();
        let kept = serde_json::from_str::<Kept>(text);
        let mut kept = kept.map_err(|_| crate::session::SessionError::Bad("script"))?;
        kept.answers.push(answer(kept.asked, called));
        match self.run_script(widget, node, kept)? {
            Ok(step) => Ok(step),
            Err(onward) => onward.run.play(onward.exit),
        }
    }

    fn run_script(
        mut self,
        widget: u16,
        node: &'f ScriptNode,
        mut kept: Kept,
    ) -> Result<Halt<'f, 's>, Failure> {
        self.waiting.remove(key(widget));
        if !self.flow.runs_scripts {
            let exit = self.failed_script(node, "this installation runs no scripts", &[]);
            return Ok(Err(Box::new(Onward { run: self, exit })));
        }
        self.evaluated.set(self.evaluated.get() + COST);
        self.has_budget()?;
        let names = &self.flow.script_names;
        let variables = names.reads.iter().map(|(name, variable, kind)| {
            let value = match variable {
                Variable::Fact(fact) => kept.facts.get(&**fact).map_or("", String::as_str),
                other => self.value(other),
            };
            (name.to_string(), typed(value, *kind))
        });
        let given = Given {
            variables: variables.collect(),
            own: names.own.keys().map(|name| &**name).collect(),
            answers: &kept.answers,
            now: kept.now,
            seed: kept.seed,
        };
        let outcome = script::run(&node.code, &given);
        let exit = match outcome {
            Outcome::Asks(ask) => match self.asked(widget, ask, &mut kept) {
                Ok((request, text)) => {
                    let patience = request.patience;
                    self.waiting.set(key(widget), Cow::Owned(text));
                    self.effect(Action::Call(Box::new(request)));
                    return self.rest(patience).map(Ok);
                }
                Err(reason) => self.failed_script(node, &reason, &[]),
            },
            Outcome::Done(said) => self.said(node, &said),
            Outcome::Failed(reason, log) => self.failed_script(node, &reason, &log),
        };
        Ok(Err(Box::new(Onward { run: self, exit })))
    }

    /// The question as a call, and what the session keeps until it is answered.
    fn asked(&self, widget: u16, ask: Ask, kept: &mut Kept) -> Result<(Request, String), String> {
        if kept.answers.len() >= MAX_SCRIPT_CALLS {
            return Err(format!("it asks more than {MAX_SCRIPT_CALLS} times"));
        }
        kept.asked = ask.mark();
        let text = serde_json::to_string(kept).map_err(|error| error.to_string())?;
        if text.len() > MAX_ANSWERS || self.held() + text.len() > MAX_HELD {
            return Err("the answers it has had are too large to be kept".to_owned());
        }
        Ok((request(widget, ask)?, text))
    }

    /// Keeps what a script set, all or nothing, and finds its exit.
    fn said(&mut self, node: &'f ScriptNode, said: &Said) -> &'f Exit {
        let mut values = Vec::with_capacity(said.set.len());
        for (name, value) in &said.set {
            let own = self.flow.script_names.own.get(name.as_str());
            let text = own.and_then(|own| own.kind.kept_value(&from_json(value)));
            let Some((own, text)) = own.zip(text) else {
                let reason = format!("what it sets {name} to is not of the variable's type");
                return self.failed_script(node, &reason, &said.log);
            };
            values.push((own, text));
        }
        let value = said.exit.as_deref().unwrap_or_default();
        let own_value = ValueKey {
            position: node.position,
            field: ValueField::Value,
        };
        let set = values.iter().map(|(own, text)| (own.key, text.clone()));
        if !self.keep_all(set.chain([(own_value, value.to_owned())])) {
            return self.failed_script(node, "what it sets is too large to be kept", &said.log);
        }
        for (own, text) in values {
            self.tell(own, text);
        }
        self.note(node, "value", value);
        self.note(node, "log", &said.log.join("\n"));
        let named = said.exit.as_deref();
        let mut exits = node.exits.iter();
        match named {
            Some("failed") => &node.failed,
            Some(name) => exits.find(|exit| exit.name() == name).unwrap_or(&node.next),
            None => &node.next,
        }
    }

    fn failed_script(&mut self, node: &'f ScriptNode, reason: &str, log: &[String]) -> &'f Exit {
        self.note(node, "log", &log.join("\n"));
        self.note(node, "error", reason);
        &node.failed
    }

    /// For the record: `Script.error`.
    fn note(&mut self, node: &ScriptNode, field: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.effect(Action::SetVariable {
            name: format!("{}.{field}", node.name),
            value: text.chars().take(MAX_LOG).collect(),
        });
    }
}

/// Where a session keeps a script that waits.
fn key(widget: u16) -> ValueKey {
    ValueKey {
        position: widget,
        field: ValueField::Script,
    }
}

fn answer(of: u64, called: Option<&Called>) -> Answer {
    let failed = |reason: &str| Answer {
        of,
        status: 0,
        text: String::new(),
        failed: Some(reason.to_owned()),
    };
    match called {
        None => failed("no answer in time"),
        Some(Called::Failed(reason)) => failed(reason),
        Some(Called::Answered { status, saved }) => match saved.as_deref() {
            Some([text]) => Answer {
                of,
                status: *status,
                text: text.clone(),
                failed: None,
            },
            _ => failed("the answer is too large for a script"),
        },
    }
}

/// A question as a call.
fn request(widget: u16, ask: Ask) -> Result<Request, String> {
    let method = match ask.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => return Err("it asks with a method that is none".to_owned()),
    };
    let is_web = ask.url.starts_with("https://") || ask.url.starts_with("http://");
    if !is_web || ask.url.len() > MAX_URL || ask.url.chars().any(char::is_control) {
        return Err("it asks at an address that is none".to_owned());
    }
    let length = ask.body.as_ref().map_or(0, String::len);
    if length > MAX_CALL_BODY || ask.headers.len() > MAX_HEADERS {
        return Err("what it sends is too large".to_owned());
    }
    let headers = ask.headers.into_iter();
    let headers = headers.filter(|(name, _)| !crate::validate::is_of_http(name));
    let seconds = ask.timeout.filter(|seconds| seconds.is_finite());
    let seconds = seconds.unwrap_or(PATIENCE).clamp(1.0, MOST_PATIENCE);
    Ok(Request {
        widget,
        method,
        url: ask.url,
        headers: headers
            .map(|(name, value)| (name, value.replace(|c: char| c.is_control(), " ")))
            .collect(),
        body: ask.body.map(|text| Payload {
            content_type: if ask.json {
                "application/json".to_owned()
            } else {
                "text/plain; charset=utf-8".to_owned()
            },
            text,
        }),
        credential: ask.credential,
        patience: Duration::from_secs(seconds as u64),
        retries: 0,
    })
}
