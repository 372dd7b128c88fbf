//! What is wrong with what a question accepts.

use super::settings::Checker;
use crate::accept::MEDIA;
use crate::definition::{Accept, CollectInput, Show};
use crate::limits::{MAX_ANSWER, MAX_DIGITS};

impl Checker<'_, '_> {
    /// Bounds in order, and one way of answering only.
    pub(super) fn accept(&mut self, settings: &CollectInput) {
        let accept = &settings.accept;
        if !settings.choices.is_empty() && *accept != Accept::default() {
            let message = "there are choices: nothing but them is accepted";
            self.error("accept", message, "remove it, or the choices");
        }
        if settings.prompt.show == Show::Location {
            if *accept != (Accept::Location {}) {
                let message = "the button asks for a place, and the question does not take one";
                let remedy = "write \"accept\": {\"type\": \"location\"}";
                self.error("prompt.show", message, remedy);
            }
            if !settings.choices.is_empty() {
                let message = "a question for a place has no choices";
                self.error("choices", message, "remove them, or show buttons or a list");
            }
        }
        match accept {
            Accept::Text { least, most } => self.length(*least, *most, MAX_ANSWER as u32),
            Accept::Digits {
                least,
                most,
                finish,
            } => {
                self.length(*least, *most, MAX_DIGITS);
                self.finish(finish.as_deref());
            }
            Accept::Number {
                least: Some(least),
                most: Some(most),
                ..
            } if least > most => {
                let message = format!("no number is at least {least} and at most {most}");
                self.error("accept", message, "swap the two");
            }
            Accept::Media { kinds } => {
                let once = |kind| kinds.iter().filter(|one| *one == kind).count() <= 1;
                if kinds.is_empty() || !kinds.iter().all(once) {
                    let words: Vec<&str> = MEDIA.iter().map(|kind| kind.word()).collect();
                    let remedy = format!("name each once, of {}", words.join(", "));
                    self.error("accept.kinds", "no kind, or one named twice", remedy);
                }
            }
            Accept::Number { .. }
            | Accept::Email {}
            | Accept::Phone {}
            | Accept::Url {}
            | Accept::Date { .. }
            | Accept::Time {}
            | Accept::Location {} => {}
        }
    }

    fn length(&mut self, least: u32, most: u32, longest: u32) {
        if least == 0 || most > longest || least > most {
            let message = format!("no answer is {least} to {most} long");
            self.error(
                "accept",
                message,
                format!("use 1 to {longest}, the smaller first"),
            );
        }
    }

    fn finish(&mut self, finish: Option<&str>) {
        let Some(finish) = finish else {
            return;
        };
        let mut signs = finish.chars();
        let one = signs.next().zip(signs.next()).is_none();
        if finish.is_empty() || !one || finish.chars().all(char::is_alphanumeric) {
            let message = "the sign at the end is not one sign";
            self.error(
                "accept.finish",
                message,
                "use one that is no digit and no letter, such as #",
            );
        }
    }
}
