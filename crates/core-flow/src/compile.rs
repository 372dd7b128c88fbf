//! A definition made ready to run: names are positions, texts are cut into segments, choices are
//! normalised and sorted. All reading of texts happens here, once per published version.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use core_types::{ContactCard, Content, Location, Media, MediaKind, QueueId};

use crate::definition::{
    BusinessHours, CardPart, CollectInput, Definition, MediaPart, OwnVariable, Part, PlacePart,
    RouteTo, SendMedia, Settings, Split, Widget,
};
use crate::expression::Expression;
use crate::hours::Hours;
use crate::interpolation::{Piece, Placeholder, pieces};
use crate::limits::MAX_STEPS_PER_SPRINT;
use crate::problem::Problem;
use crate::scope::{Scope, ValueField, ValueKey, Variable};

mod assignment;
mod call;
mod condition;
mod node;
mod question;
mod script;
mod size;
mod template;

pub(crate) use self::call::{Body, Call, Template};
pub(crate) use self::condition::{is_below_zero, number};
pub(crate) use self::node::{
    Assigned, Assignments, Exit, Message, Node, OwnPlace, Pause, Question, Rule, Segment, Source,
    Switch, Test, Text, Ways,
};
use self::question::action;
pub(crate) use self::question::{body_limit, choice_keys};
pub(crate) use self::script::{ScriptNames, ScriptNode};
pub(crate) use self::size::too_many_expressions;
pub(crate) use self::template::{Header, TemplateMessage};

/// A flow's widgets in another language, with its name.
type Spoken = (Box<str>, Box<[Node]>);

/// A published version, ready to run. Immutable; share it.
#[derive(Debug)]
pub struct CompiledFlow {
    pub(crate) version: u32,
    pub(crate) entry: Exit,
    pub(crate) nodes: Box<[Node]>,
    /// The widgets in other languages, by the language's name in small letters.
    pub(crate) languages: Box<[Spoken]>,
    /// The language of the widgets' own texts, in small letters.
    pub(crate) default_language: Box<str>,
    /// Gives the language of a conversation; only where there are others.
    pub(crate) language: Option<Expression>,
    /// What scripts may read and set.
    pub(crate) script_names: ScriptNames,
    /// What the flow's own variables hold until they are set.
    pub(crate) defaults: Box<[Box<str>]>,
    pub(crate) step_budget: u32,
    pub(crate) runs_scripts: bool,
}

impl CompiledFlow {
    /// Makes `definition` ready to run as its published `version`.
    ///
    /// A definition without errors in [`crate::validate`] always compiles. The reverse does not
    /// hold: rules may become stricter, and what was published must go on running.
    ///
    /// # Errors
    /// With the first problem that makes it impossible.
    pub fn compile(definition: &Definition, version: NonZeroU32) -> Result<Self, Problem> {
        let mut compiler = Compiler {
            scope: Scope::new(definition),
            used: BTreeSet::new(),
        };
        too_many_expressions(definition).map_or(Ok(()), Err)?;
        let start = compiler
            .scope
            .target(&definition.start)
            .map_err(|error| Problem::error("", "start", error.message, error.remedy))?;
        let script_names = compiler.script_names(definition);
        let mut nodes = compiler.nodes(definition)?;
        let (language, mut languages) = compiler.languages(definition)?;
        // What only a translation reads is kept as well.
        compiler.keep(&mut nodes);
        for (_, nodes) in &mut languages {
            compiler.keep(nodes);
        }
        let first = usize::from(start);
        let Some(Node::Start { next }) = nodes.get(first) else {
            return Err(Problem::error(
                "",
                "start",
                format!("`{}` is not a start widget", definition.start),
                "name the widget of type `start`",
            ));
        };
        Ok(Self {
            version: version.get(),
            entry: Exit {
                target: next.target,
                label: next.label.clone(),
            },
            nodes,
            languages,
            default_language: definition
                .language
                .as_ref()
                .map_or_else(Box::default, |language| {
                    language.default.to_ascii_lowercase().into()
                }),
            language,
            script_names,
            defaults: definition.variables.iter().map(default_of).collect(),
            step_budget: MAX_STEPS_PER_SPRINT,
            runs_scripts: true,
        })
    }

    /// The same flow with another number of widgets it may pass between an input and a wait.
    #[must_use]
    pub fn with_step_budget(self, step_budget: u32) -> Self {
        Self {
            step_budget,
            ..self
        }
    }

    /// Whether it runs JavaScript.
    pub fn has_scripts(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| matches!(node, Node::Script(_)))
    }

    /// The same flow where no scripts are run: each leaves by `failed`.
    #[must_use]
    pub fn without_scripts(self) -> Self {
        Self {
            runs_scripts: false,
            ..self
        }
    }

    /// The published version this is.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The widgets in the language called `tag`, or in the one nearest to it: `de-AT` is spoken as
    /// `de` where there is nothing nearer.
    pub(crate) fn in_language(&self, tag: &str) -> &[Node] {
        let tag = tag.trim().to_ascii_lowercase().replace('_', "-");
        let look = |tag: &str| {
            let mut languages = self.languages.iter();
            let found = languages.find(|(own, _)| **own == *tag);
            found.map(|(_, nodes)| &**nodes)
        };
        let mut near = &*tag;
        loop {
            if *near == *self.default_language {
                return &self.nodes;
            }
            match (look(near), near.rsplit_once('-')) {
                (Some(nodes), _) => return nodes,
                (None, Some((shorter, _))) => near = shorter,
                (None, None) => return &self.nodes,
            }
        }
    }

    /// How many widgets it has.
    pub fn widgets(&self) -> usize {
        self.nodes.len()
    }
}

/// What compiling needs to know on the way.
struct Compiler<'d> {
    scope: Scope<'d>,
    /// Answers that something reads.
    used: BTreeSet<ValueKey>,
}

impl Compiler<'_> {
    fn nodes(&mut self, definition: &Definition) -> Result<Box<[Node]>, Problem> {
        let widgets = definition.widgets.iter();
        widgets.map(|widget| self.node(widget)).collect()
    }

    fn languages(
        &mut self,
        definition: &Definition,
    ) -> Result<(Option<Expression>, Box<[Spoken]>), Problem> {
        let Some(language) = definition.language.as_ref() else {
            return Ok((None, Box::default()));
        };
        let from = Expression::compile(&language.from, &self.scope)
            .map_err(|wrong| Problem::error("", "language.from", wrong.message, wrong.remedy))?;
        self.reads(&from);
        let languages = definition.translations.iter().map(|(tag, texts)| {
            let nodes = self.nodes(&definition.translated(texts))?;
            Ok((tag.to_ascii_lowercase().into(), nodes))
        });
        let languages = languages.collect::<Result<Box<[Spoken]>, Problem>>()?;
        Ok((Some(from).filter(|_| !languages.is_empty()), languages))
    }

    /// Lets questions keep what something reads.
    fn keep(&self, nodes: &mut [Node]) {
        for (position, node) in (0..).zip(nodes) {
            let used = |field| self.used.contains(&ValueKey { position, field });
            match node {
                Node::Collect(question) => {
                    question.keep_value = used(ValueField::Value);
                    question.keep_text = used(ValueField::Text);
                }
                Node::Call(call) => call.keep_status = used(ValueField::Status),
                _ => {}
            }
        }
    }

    fn node(&mut self, widget: &Widget) -> Result<Node, Problem> {
        Ok(match &widget.settings {
            Settings::Start => Node::Start {
                next: self.exit(widget, "next")?,
            },
            Settings::SendMedia(settings) => self.send(widget, settings)?,
            Settings::SendTemplate(settings) => {
                Node::Template(Box::new(self.template_message(widget, settings)?))
            }
            Settings::CollectInput(settings) => {
                Node::Collect(Box::new(self.question(widget, settings)?))
            }
            Settings::Condition(settings) => {
                Node::Condition(Box::new(self.switch(widget, settings)?))
            }
            Settings::SetVariables(settings) => {
                Node::Set(Box::new(self.assignments(widget, settings)?))
            }
            Settings::BusinessHours(settings) => Node::Hours {
                hours: Box::new(hours(widget, settings)?),
                open: self.exit(widget, "open")?,
                closed: self.exit(widget, "closed")?,
            },
            Settings::Split(settings) => Node::Split(Box::new(self.ways(widget, settings)?)),
            Settings::Wait(settings) => Node::Pause(Pause {
                span: Duration::from_secs(u64::from(settings.seconds)),
                next: self.exit(widget, "next")?,
                message: Some(self.exit(widget, "message")?).filter(|exit| exit.target.is_some()),
            }),
            Settings::Script(settings) => Node::Script(Box::new(self.script(widget, settings)?)),
            Settings::HttpCall(settings) => Node::Call(Box::new(self.call(widget, settings)?)),
            Settings::End => Node::End {
                label: label(widget, "ended"),
            },
            Settings::RouteTo(RouteTo { queue, priority }) => Node::Route {
                queue: QueueId::new(queue).map_err(|error| {
                    let remedy = "use the id of a queue, such as `sales`";
                    Problem::error(&widget.name, "settings.queue", error.to_string(), remedy)
                })?,
                priority: *priority,
                label: label(widget, "routed"),
            },
        })
    }

    fn exit(&self, widget: &Widget, name: &str) -> Result<Exit, Problem> {
        let field = || format!("exits.{name}");
        let target = match widget.exits.get(name) {
            None => {
                let message = format!("the exit `{name}` is missing");
                let remedy = "add it, with the widget it leads to or null";
                return Err(Problem::error(&widget.name, field(), message, remedy));
            }
            Some(None) => None,
            Some(Some(target)) => Some(self.scope.target(target).map_err(|error| {
                Problem::error(&widget.name, field(), error.message, error.remedy)
            })?),
        };
        Ok(Exit {
            target,
            label: label(widget, name),
        })
    }

    fn text(&mut self, widget: &Widget, field: &str, text: &str) -> Result<Text, Problem> {
        let cut = pieces(text).map_err(|message| {
            Problem::error(&widget.name, field, message, "write {{Widget.value}}")
        })?;
        let segments = cut.into_iter().map(|piece| {
            Ok(match piece {
                Piece::Literal(literal) => Segment::Literal(literal.into()),
                Piece::Placeholder(place) => {
                    Segment::Variable(self.variable(widget, field, place)?)
                }
                Piece::Expression(source) => {
                    Segment::Expression(Box::new(self.expression(widget, field, source)?))
                }
            })
        });
        Ok(Text(segments.collect::<Result<_, Problem>>()?))
    }

    fn variable(
        &mut self,
        widget: &Widget,
        field: &str,
        place: Placeholder<'_>,
    ) -> Result<Variable, Problem> {
        let variable = self
            .scope
            .variable(place)
            .map_err(|error| Problem::error(&widget.name, field, error.message, error.remedy))?;
        if let Variable::Answer(key) = &variable {
            self.used.insert(*key);
        }
        Ok(variable)
    }

    fn expression(
        &mut self,
        widget: &Widget,
        field: &str,
        source: &str,
    ) -> Result<Expression, Problem> {
        let expression = Expression::compile(source, &self.scope)
            .map_err(|wrong| Problem::error(&widget.name, field, wrong.message, wrong.remedy))?;
        self.reads(&expression);
        Ok(expression)
    }

    /// What `expression` reads has to be kept.
    fn reads(&mut self, expression: &Expression) {
        for variable in expression.variables() {
            if let Variable::Answer(key) = variable {
                self.used.insert(*key);
            }
        }
    }

    fn send(&mut self, widget: &Widget, settings: &SendMedia) -> Result<Node, Problem> {
        let parts = settings.parts.iter().enumerate().map(|(index, part)| {
            let (kind, media) = match part {
                Part::Text { text } => {
                    let field = format!("settings.parts[{index}].text");
                    return Ok(Message::Text(self.text(widget, &field, text)?));
                }
                Part::Location(place) => return Ok(Message::Fixed(Box::new(location(place)))),
                Part::Contacts { cards } => return Ok(Message::Fixed(Box::new(contacts(cards)))),
                Part::Image(media) => (MediaKind::Image, media),
                Part::Video(media) => (MediaKind::Video, media),
                Part::Audio(media) => (MediaKind::Audio, media),
                Part::Document(media) => (MediaKind::Document, media),
                Part::Sticker(media) => (MediaKind::Sticker, media),
            };
            let field = format!("settings.parts[{index}].caption");
            let caption = media.caption.as_deref();
            Ok(Message::Media {
                media: Box::new(file(kind, media)),
                caption: caption
                    .map(|caption| self.text(widget, &field, caption))
                    .transpose()?,
            })
        });
        let parts = parts.collect::<Result<_, Problem>>()?;
        Ok(Node::Send {
            parts,
            next: self.exit(widget, "next")?,
            failed: Some(self.exit(widget, "failed")?).filter(|exit| exit.target.is_some()),
        })
    }

    fn question(&mut self, widget: &Widget, settings: &CollectInput) -> Result<Question, Problem> {
        let CollectInput {
            prompt,
            choices,
            accept,
            timeout_seconds,
            retries,
        } = settings;
        let again = retries.text.as_deref();
        Ok(Question {
            prompt: self.text(widget, "settings.prompt.text", &prompt.text)?,
            again: again
                .map(|text| self.text(widget, "settings.retries.text", text))
                .transpose()?,
            retries: retries.count,
            limit: body_limit(prompt.show),
            action: action(prompt, choices),
            accept: accept.clone(),
            values: choices
                .iter()
                .map(|choice| choice.value.as_str().into())
                .collect(),
            keys: choice_keys(choices),
            variable: format!("{}.value", widget.name).into(),
            keep_value: false,
            keep_text: false,
            patience: Duration::from_secs(u64::from(*timeout_seconds)),
            matched: self.exit(widget, "match")?,
            no_match: self.exit(widget, "no_match")?,
            timeout: self.exit(widget, "timeout")?,
            retry_label: label(widget, "retry"),
        })
    }

    fn ways(&self, widget: &Widget, settings: &Split) -> Result<Ways, Problem> {
        let mut all = 0;
        let ways = settings.ways.iter().map(|way| {
            let before = all;
            all += u64::from(way.share);
            Ok((before, self.exit(widget, &way.exit)?))
        });
        let mut ways = ways.collect::<Result<Vec<_>, Problem>>()?;
        ways.reverse();
        Ok(Ways {
            name: widget.name.as_str().into(),
            chosen: format!("split.{}", widget.name).into(),
            exits: ways.into(),
            all,
        })
    }
}

/// A default that is not of its type is none: rules may have become stricter since it was published.
fn default_of(variable: &OwnVariable) -> Box<str> {
    let default = variable.default.as_deref().unwrap_or_default();
    variable.r#type.literal(default).unwrap_or_default().into()
}

fn label(widget: &Widget, exit: &str) -> Box<str> {
    format!("{}/{exit}", widget.name).into()
}

fn hours(widget: &Widget, settings: &BusinessHours) -> Result<Hours, Problem> {
    Hours::read(settings).map_err(|wrong| {
        let first = wrong.into_iter().next();
        let (field, message, remedy) = first.map_or_else(
            || (String::new(), String::new(), ""),
            |first| (first.field, first.message, first.remedy),
        );
        Problem::error(&widget.name, format!("settings.{field}"), message, remedy)
    })
}

fn location(place: &PlacePart) -> Content {
    Content::Location(Location {
        latitude: place.latitude.degrees(),
        longitude: place.longitude.degrees(),
        name: place.name.clone(),
        address: place.address.clone(),
        url: None,
    })
}

fn contacts(cards: &[CardPart]) -> Content {
    let cards = cards.iter().map(|card| ContactCard {
        name: card.name.clone(),
        phones: card.phones.clone(),
        emails: card.emails.clone(),
        raw: String::new(),
    });
    Content::Contacts {
        cards: cards.collect(),
        origin: None,
    }
}

fn file(kind: MediaKind, part: &MediaPart) -> Media {
    Media {
        kind,
        id: None,
        link: Some(part.link.clone()),
        mime_type: None,
        sha256: None,
        caption: None,
        filename: part.filename.clone(),
        voice: false,
        animated: false,
    }
}

impl Message {
    /// The message with its caption filled in.
    pub(crate) fn with_caption(media: &Media, caption: Option<String>) -> Content {
        Content::Media(Media {
            caption,
            ..media.clone()
        })
    }
}
