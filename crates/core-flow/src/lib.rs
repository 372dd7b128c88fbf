//! Flows: what an administrator draws, and the engine that plays it.
//!
//! A flow is widgets joined by named exits. [`Definition`] is the flow as written (JSON, described
//! in `docs/FLOWS.md`), [`check`] and [`validate`] say what is wrong with it and how to put it
//! right, [`CompiledFlow`] is the form the engine runs, and [`advance`] takes one step:
//!
//! ```text
//! (compiled flow, session bytes, input, facts, now) -> (session bytes, effects, wait, path)
//! ```
//!
//! The step is a pure function. It reads no clock and draws no random number, so the same step
//! computed again gives the same bytes and the same effect keys: that is what makes a retry
//! harmless. It never fails for what a customer typed.
//!
//! ```text
//!             Start(content)                    route_to, or an exit to null
//!   (no session) ────────► playing ───────────────────────────────► finished
//!                            │ ▲                                       (for good)
//!       collect_input · wait │ │ Message · TimedOut · SendFailed
//!                            ▼ │
//!                          waiting ◄── anything else leaves it as it is
//! ```
//!
//! One stretch of playing, from an input to the next wait or the end, is a *sprint*. Sprints count
//! from 1; an effect's key is `<sprint>.<index>`; a wait is named by the sprint that began it.

mod accept;
mod analysis;
mod answer;
mod compile;
mod definition;
mod diff;
mod engine;
mod expression;
pub mod graph;
mod hours;
pub mod import;
mod interpolation;
pub mod lab;
mod limits;
mod own;
mod parse;
mod problem;
mod run;
mod scope;
mod script;
mod session;
mod source;
mod split;
mod step;
mod validate;

pub use answer::normalise;
pub use compile::CompiledFlow;
pub use definition::{
    Accept, Assignment, Branch, BusinessHours, CardPart, Choice, Closure, Code, CollectInput,
    Comparison, Condition, Definition, Degrees, Exits, Header, HttpCall, Language, MediaPart,
    Method, Opening, Operator, OwnVariable, Part, Pause, PlacePart, Prompt, Retries, RouteTo,
    Saving, Script, SendMedia, SendTemplate, SetVariables, Settings, Show, Split, TemplateButton,
    TemplateButtonKind, TemplateHeader, TemplateValue, Translations, VariableType, Way, Weekday,
    Widget,
};
pub use diff::{Change, diff};
pub use engine::advance;
pub use limits::{
    MAX_DEFINITION_BYTES, MAX_EVALUATIONS, MAX_RESPONSE, MAX_SENDS_PER_SPRINT, MAX_SESSION_BYTES,
    MAX_STEPS_PER_SPRINT, MAX_WIDGETS,
};
pub use parse::{FORMAT, check, parse};
pub use problem::{Problem, Severity};
pub use run::{read_answer, why_failed};
pub use scope::FACTS;
pub use session::{Session, SessionError, State};
pub use step::{
    Action, Called, Effect, EffectKey, EffectKeyError, Facts, Failure, Input, Payload, Request,
    Step, Wait,
};
pub use validate::validate;
