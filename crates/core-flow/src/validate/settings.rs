//! What is wrong with one widget's settings: texts, choices, comparisons, and WhatsApp's limits.

use std::collections::{BTreeMap, BTreeSet};

use core_types::QueueId;

use super::is_name;
use crate::answer::normalise;
use crate::compile::body_limit;
use crate::definition::{Choice, CollectInput, RouteTo, Settings, Show, Split, Widget};
use crate::interpolation::{Piece, literal_chars, pieces, says_something};
use crate::limits::{
    BUTTON_ID, BUTTON_TITLE, BUTTONS, LIST_BUTTON, LIST_ROWS, MAX_CHOICES, MAX_EXITS, MAX_PRIORITY,
    MAX_RETRIES, MAX_SHARE, MAX_TIMEOUT, ROW_DESCRIPTION, ROW_ID, ROW_TITLE,
};
use crate::problem::{Problem, quote};
use crate::scope::Scope;

/// Checks the settings of `widget`.
pub(super) fn check(widget: &Widget, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    let mut checker = Checker {
        widget,
        scope,
        problems,
    };
    match &widget.settings {
        Settings::Start | Settings::End => {}
        Settings::SendMedia(settings) => checker.send_media(settings),
        Settings::SendTemplate(settings) => checker.send_template(settings),
        Settings::CollectInput(settings) => checker.collect_input(settings),
        Settings::Condition(settings) => checker.condition(settings),
        Settings::SetVariables(settings) => checker.set_variables(settings),
        Settings::BusinessHours(settings) => checker.hours(settings),
        Settings::Split(settings) => checker.split(settings),
        Settings::Wait(settings) => checker.seconds("seconds", settings.seconds),
        Settings::HttpCall(settings) => checker.http_call(settings),
        Settings::Script(settings) => checker.script(settings),
        Settings::RouteTo(settings) => checker.route_to(settings),
    }
}

/// Texts that may come out empty or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// Always says something by itself.
    Refused,
    /// May be made of variables only; sent only when they hold something.
    Warned,
    /// May be made of variables only; somebody else tells what that means.
    Allowed,
}

/// One widget's settings under the eye of [`check`].
pub(super) struct Checker<'c, 'd> {
    widget: &'c Widget,
    pub(super) scope: &'c Scope<'d>,
    problems: &'c mut Vec<Problem>,
}

impl Checker<'_, '_> {
    /// Tells of an error at `settings.<field>`.
    pub(super) fn error(
        &mut self,
        field: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let field = format!("settings.{field}");
        self.problems
            .push(Problem::error(&self.widget.name, field, message, remedy));
    }

    /// Tells of a warning at `settings.<field>`.
    pub(super) fn warning(
        &mut self,
        field: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let field = format!("settings.{field}");
        self.problems
            .push(Problem::warning(&self.widget.name, field, message, remedy));
    }

    /// A text with `{{…}}` in it.
    pub(super) fn text(&mut self, field: &str, text: &str, limit: usize, blank: Blank) {
        let cut = match pieces(text) {
            Ok(cut) => cut,
            Err(message) => {
                return self.error(field, message, "write variables as {{Widget.value}}");
            }
        };
        if text.trim().is_empty() {
            return self.error(
                field,
                "the text is empty",
                "write what the customer shall read",
            );
        }
        let length = literal_chars(&cut);
        if length > limit {
            let message = format!("the text has {length} characters; WhatsApp takes {limit}");
            self.error(field, message, "shorten it or send it in parts");
        }
        if !says_something(&cut) {
            let message = "the text is made of variables only and may come out empty";
            match blank {
                Blank::Refused => self.error(field, message, "add words of its own"),
                Blank::Warned => self.warning(field, message, "add words of its own"),
                Blank::Allowed => {}
            }
        }
        if text.contains(['\u{202A}', '\u{202B}', '\u{202D}', '\u{202E}']) {
            let message = "the text holds invisible marks that change the reading direction";
            self.warning(field, message, "remove them unless they are meant");
        }
        self.resolved(field, &cut);
    }

    /// Whether everything a text asks for is known.
    pub(super) fn resolved(&mut self, field: &str, cut: &[Piece<'_>]) {
        for piece in cut {
            match piece {
                Piece::Literal(_) => {}
                Piece::Placeholder(place) => {
                    if let Err(unresolved) = self.scope.variable(*place) {
                        self.error(field, unresolved.message, unresolved.remedy);
                    }
                }
                Piece::Expression(source) => self.expression(field, source),
            }
        }
    }

    /// An expression of whatever kind.
    pub(super) fn expression(&mut self, field: &str, source: &str) {
        if let Err(wrong) = crate::expression::check(source, self.scope) {
            self.error(field, wrong.message, wrong.remedy);
        }
    }

    /// A text that is taken as it stands.
    pub(super) fn fixed(&mut self, field: &str, text: &str, limit: usize) {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.error(
                field,
                "the text is empty",
                "write what the customer shall see",
            );
        } else if length > limit {
            let message = format!("the text has {length} characters; WhatsApp takes {limit}");
            self.error(field, message, "shorten it");
        } else if text.chars().any(char::is_control) {
            self.error(field, "the text holds a control character", "remove it");
        } else if text.contains("{{") {
            let message = "variables are not filled in here";
            self.warning(field, message, "put the variable into the prompt's text");
        }
    }

    fn collect_input(&mut self, settings: &CollectInput) {
        let CollectInput {
            prompt,
            choices,
            timeout_seconds,
            retries,
            ..
        } = settings;
        let limit = body_limit(prompt.show);
        self.text("prompt.text", &prompt.text, limit, Blank::Refused);
        if let Some(text) = &retries.text {
            self.text("retries.text", text, limit, Blank::Refused);
            if retries.count == 0 {
                let message = "the text is never said: the count is 0";
                self.warning("retries.text", message, "set the count to 1 or more");
            }
        }
        if retries.count > MAX_RETRIES {
            let message = format!("{} is too often", retries.count);
            self.error(
                "retries.count",
                message,
                format!("ask again 0 to {MAX_RETRIES} times"),
            );
        }
        self.seconds("timeout_seconds", *timeout_seconds);
        self.shown(settings);
        self.accept(settings);
        if choices.len() > MAX_CHOICES {
            let message = format!("there are {} choices", choices.len());
            return self.error("choices", message, format!("use at most {MAX_CHOICES}"));
        }
        self.ambiguous(choices);
    }

    fn seconds(&mut self, field: &str, seconds: u32) {
        if !(1..=MAX_TIMEOUT).contains(&seconds) {
            let message = format!("{seconds} seconds cannot be waited for");
            self.error(field, message, format!("use 1 to {MAX_TIMEOUT} seconds"));
        }
    }

    /// Buttons and lists, against WhatsApp's limits.
    fn shown(&mut self, settings: &CollectInput) {
        let CollectInput {
            prompt, choices, ..
        } = settings;
        match (&prompt.list_button, prompt.show) {
            (Some(button), Show::List) => self.fixed("prompt.list_button", button, LIST_BUTTON),
            (None, Show::List) => {
                let message = "the list has no button that opens it";
                self.error("prompt.list_button", message, "add a text such as `Choose`");
            }
            (Some(_), Show::Text | Show::Buttons | Show::Location) => {
                let message = "only a list has this button";
                self.error("prompt.list_button", message, "remove it or show a list");
            }
            (None, Show::Text | Show::Buttons | Show::Location) => {}
        }
        let (most, title, id) = match prompt.show {
            Show::Text | Show::Location => (usize::MAX, usize::MAX, BUTTON_ID),
            Show::Buttons => (BUTTONS, BUTTON_TITLE, BUTTON_ID),
            Show::List => (LIST_ROWS, ROW_TITLE, ROW_ID),
        };
        let shown = matches!(prompt.show, Show::Buttons | Show::List);
        if shown && !(1..=most).contains(&choices.len()) {
            let message = format!("there are {} choices to show", choices.len());
            self.error("choices", message, format!("WhatsApp shows 1 to {most}"));
        }
        let mut titles = BTreeSet::new();
        for (index, choice) in choices.iter().enumerate().take(MAX_CHOICES) {
            let place = format!("choices[{index}]");
            self.fixed(&format!("{place}.value"), &choice.value, id);
            if let Some(text) = &choice.title {
                self.fixed(&format!("{place}.title"), text, title);
            } else if shown {
                let field = format!("{place}.title");
                self.error(&field, "a choice that is shown needs a title", "add one");
            }
            if shown && !titles.insert(&choice.title) && choice.title.is_some() {
                let field = format!("{place}.title");
                self.error(
                    &field,
                    "another choice has this title",
                    "make titles different",
                );
            }
            match (&choice.description, prompt.show) {
                (None, _) => {}
                (Some(text), Show::List) => {
                    self.fixed(&format!("{place}.description"), text, ROW_DESCRIPTION);
                }
                (Some(_), Show::Text | Show::Buttons | Show::Location) => {
                    let field = format!("{place}.description");
                    self.error(&field, "only list rows have a description", "remove it");
                }
            }
        }
    }

    /// One text that would mean two choices.
    fn ambiguous(&mut self, choices: &[Choice]) {
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for (index, choice) in choices.iter().enumerate() {
            let texts = [("value", &choice.value)]
                .into_iter()
                .chain(choice.title.iter().map(|title| ("title", title)))
                .chain(choice.synonyms.iter().map(|text| ("synonyms", text)));
            for (part, text) in texts {
                let field = format!("choices[{index}].{part}");
                let key = normalise(text);
                if key.is_empty() {
                    if part == "synonyms" {
                        self.error(&field, "a synonym is empty", "remove it");
                    }
                    continue;
                }
                let owner = *owners.entry(key.clone()).or_insert(index);
                if owner != index {
                    self.error(
                        &field,
                        format!("`{}` also means choices[{owner}]", quote(&key)),
                        "make the answers different; case, spaces and punctuation do not count",
                    );
                }
            }
        }
    }

    fn split(&mut self, settings: &Split) {
        if !(2..=MAX_EXITS).contains(&settings.ways.len()) {
            let message = format!("there are {} ways", settings.ways.len());
            self.error("ways", message, format!("give 2 to {MAX_EXITS}"));
        }
        let mut seen = BTreeSet::new();
        for (index, way) in settings.ways.iter().enumerate().take(MAX_EXITS) {
            let field = format!("ways[{index}]");
            if !is_name(&way.exit) || !seen.insert(way.exit.as_str()) {
                let message = format!("`{}` cannot name this way", quote(&way.exit));
                let remedy = "use letters, digits and _, and each name once";
                self.error(&format!("{field}.exit"), message, remedy);
            }
            if !(1..=MAX_SHARE).contains(&way.share) {
                let message = format!("{} is no share", way.share);
                let remedy = format!("use 1 to {MAX_SHARE}; a way nobody takes can be removed");
                self.error(&format!("{field}.share"), message, remedy);
            }
        }
    }

    fn route_to(&mut self, settings: &RouteTo) {
        if let Err(error) = QueueId::new(&settings.queue) {
            self.error(
                "queue",
                error.to_string(),
                "use the id of a queue, such as `sales`",
            );
        }
        if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&settings.priority) {
            let message = format!("{} is not a priority", settings.priority);
            let remedy = format!("use -{MAX_PRIORITY} to {MAX_PRIORITY}; 0 is normal");
            self.error("priority", message, remedy);
        }
    }
}
