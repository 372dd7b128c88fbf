//! Calls made ready to run.

use std::time::Duration;

use super::{Compiler, Exit, OwnPlace, Segment, Text};
use crate::definition::{HttpCall, Method, Widget};
use crate::expression::{Expression, Kind};
use crate::problem::Problem;
use crate::scope::ValueField;

/// An HTTP Call widget.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Text,
    pub(crate) headers: Box<[(Box<str>, Text)]>,
    pub(crate) body: Option<Body>,
    pub(crate) credential: Option<Box<str>>,
    pub(crate) patience: Duration,
    pub(crate) retries: u8,
    pub(crate) save: Box<[Kept]>,
    /// Whether anything reads the status; otherwise it is not kept.
    pub(crate) keep_status: bool,
    /// `Widget.status`.
    pub(crate) status: Box<str>,
    pub(crate) next: Exit,
    pub(crate) failed: Exit,
    pub(crate) timeout: Exit,
}

/// What a call sends.
#[derive(Debug)]
pub(crate) enum Body {
    /// A text.
    Text(Text),
    /// JSON.
    Json(Template),
}

/// JSON with variables in it.
#[derive(Debug)]
pub(crate) enum Template {
    /// The same each time.
    Fixed(serde_json::Value),
    /// A text.
    Text(Text),
    /// What one variable or expression stands for.
    Value(Segment, Kind),
    List(Box<[Template]>),
    Map(Box<[(Box<str>, Template)]>),
}

/// What is kept of an answer in one variable.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) place: OwnPlace,
    pub(crate) from: Expression,
}

impl Compiler<'_> {
    pub(super) fn call(&mut self, widget: &Widget, settings: &HttpCall) -> Result<Call, Problem> {
        let headers = settings.headers.iter().enumerate().map(|(at, header)| {
            let field = format!("settings.headers[{at}].value");
            let value = self.text(widget, &field, &header.value)?;
            Ok((header.name.as_str().into(), value))
        });
        Ok(Call {
            method: settings.method,
            headers: headers.collect::<Result<_, Problem>>()?,
            url: self.text(widget, "settings.url", &settings.url)?,
            body: match &settings.body {
                None => None,
                Some(serde_json::Value::String(text)) => {
                    Some(Body::Text(self.text(widget, "settings.body", text)?))
                }
                Some(value) => Some(Body::Json(self.template(widget, value)?)),
            },
            credential: settings.credential.as_deref().map(Into::into),
            patience: Duration::from_secs(u64::from(settings.timeout_seconds)),
            retries: settings.retries,
            save: self.savings(widget, settings)?,
            keep_status: false,
            status: format!("{}.{}", widget.name, ValueField::Status.name()).into(),
            next: self.exit(widget, "next")?,
            failed: self.exit(widget, "failed")?,
            timeout: self.exit(widget, "timeout")?,
        })
    }

    /// How deep it goes has been bounded when the definition was read.
    fn template(
        &mut self,
        widget: &Widget,
        value: &serde_json::Value,
    ) -> Result<Template, Problem> {
        Ok(match value {
            serde_json::Value::String(text) if text.contains("{{") => {
                let mut text = self.text(widget, "settings.body", text)?;
                match &mut *text.0 {
                    [Segment::Variable(variable)] => {
                        let kind = self.scope.kind(variable);
                        Template::Value(Segment::Variable(variable.clone()), kind)
                    }
                    [Segment::Expression(_)] => match text.0.into_iter().next() {
                        Some(only) => Template::Value(only, Kind::Any),
                        None => Template::Fixed(serde_json::Value::Null),
                    },
                    _ => Template::Text(text),
                }
            }
            serde_json::Value::Array(items) => {
                let items = items.iter().map(|item| self.template(widget, item));
                Template::List(items.collect::<Result<_, Problem>>()?)
            }
            serde_json::Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| Ok((name.as_str().into(), self.template(widget, field)?)));
                Template::Map(fields.collect::<Result<_, Problem>>()?)
            }
            fixed => Template::Fixed(fixed.clone()),
        })
    }

    fn savings(&mut self, widget: &Widget, settings: &HttpCall) -> Result<Box<[Kept]>, Problem> {
        let save = settings.save.iter().enumerate().map(|(at, saving)| {
            let field = |part: &str| format!("settings.save[{at}].{part}");
            let place = self.place_of(widget, &field("variable"), &saving.variable)?;
            let from = self
                .scope
                .of_response(|scope| Expression::compile(&saving.expression, scope));
            let from = from.map_err(|wrong| {
                Problem::error(
                    &widget.name,
                    field("expression"),
                    wrong.message,
                    wrong.remedy,
                )
            })?;
            Ok(Kept { place, from })
        });
        save.collect()
    }
}
