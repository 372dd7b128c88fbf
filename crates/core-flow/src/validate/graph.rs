//! What is wrong with the roads through a flow: widgets nobody reaches, loops without a question,
//! and stretches too long for one sprint.

use std::collections::BTreeSet;

use super::window;
use crate::analysis::waits_behind;
use crate::definition::{Definition, Settings, Widget};
use crate::limits::{MAX_SENDS_PER_SPRINT, MAX_STEPS_PER_SPRINT};
use crate::problem::Problem;
use crate::scope::Scope;

/// What has to happen before an exit is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Nothing: it is taken in the same sprint.
    Nothing,
    /// A send fails.
    Failure,
    /// Another system answers, or does not.
    Answer,
    /// A script ends, which may have asked.
    Script,
    /// Time passes.
    Time,
    /// The customer writes.
    Customer,
}

/// Where an exit leads.
pub(super) struct Road {
    exit: String,
    /// Position of the widget.
    pub(super) to: usize,
    pub(super) needs: Needs,
}

/// Checks the roads of a flow whose exits all lead to widgets.
pub(super) fn check(definition: &Definition, scope: &Scope<'_>, problems: &mut Vec<Problem>) {
    let roads: Vec<Vec<Road>> = definition
        .widgets
        .iter()
        .map(|widget| roads_of(widget, scope))
        .collect();
    let start = scope.target(&definition.start).map_or(0, usize::from);
    let reached = unreachable(definition, &roads, start, problems);
    open_ends(definition, problems);
    refusals(definition, problems);
    let name = |position: usize| definition.widgets[position].name.as_str();
    if let Some(cycle) = cycle(&roads, |needs| needs <= Needs::Answer) {
        let names: Vec<&str> = cycle.iter().map(|position| name(*position)).collect();
        problems.push(Problem::error(
            names[0],
            "exits",
            format!(
                "a loop without a question: {} → {}",
                names.join(" → "),
                names[0]
            ),
            "put a collect_input into the loop, or lead one exit elsewhere",
        ));
        return;
    }
    if let Some(cycle) = cycle(&roads, |needs| needs <= Needs::Script) {
        let names: Vec<&str> = cycle.iter().map(|position| name(*position)).collect();
        problems.push(Problem::warning(
            names[0],
            "exits",
            format!("only a script ends this loop: {} → {}", names.join(" → "), names[0]),
            "put a collect_input into the loop, or be sure that it ends: after 100 scripts and calls \
             without a word of the customer the flow is given up",
        ));
    } else if let Some(cycle) = cycle(&roads, |needs| needs <= Needs::Time) {
        let names: Vec<&str> = cycle.iter().map(|position| name(*position)).collect();
        problems.push(Problem::warning(
            names[0],
            "exits",
            format!(
                "goes on for as long as the customer is silent: {} → {}",
                names.join(" → "),
                names[0]
            ),
            "lead the timeout to a queue or to the end after some tries",
        ));
    }
    longest(definition, &roads, problems);
    window::check(definition, &roads, &reached, problems);
}

fn roads_of(widget: &Widget, scope: &Scope<'_>) -> Vec<Road> {
    let needs = |exit: &str| match (&widget.settings, exit) {
        (Settings::CollectInput(_), "timeout") | (Settings::Wait(_), "next") => Needs::Time,
        (Settings::CollectInput(_) | Settings::Wait(_), _) => Needs::Customer,
        (Settings::SendMedia(_) | Settings::SendTemplate(_), "failed") => Needs::Failure,
        (Settings::HttpCall(_), _) => Needs::Answer,
        (Settings::Script(_), _) => Needs::Script,
        _ => Needs::Nothing,
    };
    let lead = |(exit, target): &(String, Option<String>)| {
        Some(Road {
            exit: exit.clone(),
            to: usize::from(scope.target(target.as_deref()?).ok()?),
            needs: needs(exit),
        })
    };
    widget.exits.0.iter().filter_map(lead).collect()
}

/// Warns of widgets nobody reaches; which are reached.
fn unreachable(
    definition: &Definition,
    roads: &[Vec<Road>],
    start: usize,
    problems: &mut Vec<Problem>,
) -> Vec<bool> {
    let mut reached = vec![false; roads.len()];
    let mut open = vec![start];
    while let Some(position) = open.pop() {
        if !std::mem::replace(&mut reached[position], true) {
            open.extend(roads[position].iter().map(|road| road.to));
        }
    }
    for (widget, _) in definition
        .widgets
        .iter()
        .zip(&reached)
        .filter(|(_, reached)| !**reached)
    {
        problems.push(Problem::warning(
            &widget.name,
            "",
            "no road from the start leads here",
            "lead an exit to it, or remove it",
        ));
    }
    reached
}

/// Exits that end the conversation with nobody having answered.
fn open_ends(definition: &Definition, problems: &mut Vec<Problem>) {
    for widget in &definition.widgets {
        // Nothing ends there: nothing happens.
        let silent = |exit: &str| widget.settings.may_pass_over(exit);
        for (exit, target) in &widget.exits.0 {
            if target.is_none() && !silent(exit) {
                problems.push(Problem::warning(
                    &widget.name,
                    format!("exits.{exit}"),
                    "the engagement is closed here without an agent",
                    "lead it to a route_to, unless that is meant",
                ));
            }
        }
    }
}

/// Roads for refused messages that nobody takes: the flow is over before WhatsApp answers.
fn refusals(definition: &Definition, problems: &mut Vec<Problem>) {
    for (widget, waits) in definition.widgets.iter().zip(waits_behind(definition)) {
        let leads = matches!(widget.exits.get("failed"), Some(Some(_)));
        if widget.settings.may_be_refused() && leads && !waits {
            problems.push(Problem::warning(
                &widget.name,
                "exits.failed",
                "the flow is over before a refusal can come, so this exit is never taken",
                "write null, or put a wait behind the message",
            ));
        }
    }
}

/// A loop made only of roads that `counts`, if there is one. Iterative: a flow may be one long
/// chain.
fn cycle(roads: &[Vec<Road>], counts: impl Fn(Needs) -> bool) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; roads.len()];
    for root in 0..roads.len() {
        if marks[root] != Mark::New {
            continue;
        }
        // Each entry: a widget and the next of its roads to look at.
        let mut trail = vec![(root, 0)];
        marks[root] = Mark::Open;
        while let Some((position, next)) = trail.last_mut() {
            let Some(road) = roads[*position].get(*next) else {
                marks[*position] = Mark::Done;
                trail.pop();
                continue;
            };
            *next += 1;
            if !counts(road.needs) {
                continue;
            }
            match marks[road.to] {
                Mark::Done => {}
                Mark::New => {
                    marks[road.to] = Mark::Open;
                    trail.push((road.to, 0));
                }
                Mark::Open => {
                    let members = trail.iter().map(|(position, _)| *position);
                    return Some(members.skip_while(|member| *member != road.to).collect());
                }
            }
        }
    }
    None
}

/// Sprints that would run over the engine's budget. There is no loop within a sprint here.
fn longest(definition: &Definition, roads: &[Vec<Road>], problems: &mut Vec<Problem>) {
    let mut incoming = vec![0_usize; roads.len()];
    let within = |road: &&Road| road.needs == Needs::Nothing;
    for road in roads.iter().flatten().filter(within) {
        incoming[road.to] += 1;
    }
    let mut open: Vec<usize> = (0..roads.len())
        .filter(|position| incoming[*position] == 0)
        .collect();
    // The longest way to each widget within a sprint: widgets passed and messages sent.
    let mut reach = vec![(0_u32, 0_u32); roads.len()];
    let mut told = BTreeSet::new();
    while let Some(position) = open.pop() {
        let widget = &definition.widgets[position];
        let sends = match &widget.settings {
            Settings::SendMedia(settings) => settings.parts.len() as u32,
            Settings::CollectInput(_) | Settings::SendTemplate(_) => 1,
            Settings::Start
            | Settings::Condition(_)
            | Settings::BusinessHours(_)
            | Settings::SetVariables(_)
            | Settings::HttpCall(_)
            | Settings::Script(_)
            | Settings::Split(_)
            | Settings::Wait(_)
            | Settings::End
            | Settings::RouteTo(_) => 0,
        };
        let (steps, sends) = (reach[position].0 + 1, reach[position].1 + sends);
        if (steps > MAX_STEPS_PER_SPRINT && told.insert("widgets"))
            || (sends > MAX_SENDS_PER_SPRINT && told.insert("messages"))
        {
            problems.push(Problem::error(
                &widget.name,
                "",
                format!(
                    "up to {steps} widgets and {sends} messages come before the customer is asked; \
                     at most {MAX_STEPS_PER_SPRINT} and {MAX_SENDS_PER_SPRINT} are played at once"
                ),
                "put a collect_input in between",
            ));
        }
        for road in roads[position].iter().filter(within) {
            let far = &mut reach[road.to];
            *far = (far.0.max(steps), far.1.max(sends));
            incoming[road.to] -= 1;
            if incoming[road.to] == 0 {
                open.push(road.to);
            }
        }
    }
}

impl std::fmt::Debug for Road {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {}", self.exit, self.to)
    }
}
