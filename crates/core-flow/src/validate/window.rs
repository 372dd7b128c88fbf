//! Messages that may be sent into a closed window. WhatsApp takes free-form messages for 24 hours
//! after the customer's last one (`whatsapp-cloud-api.md` 3.8; error 131047 afterwards), and a flow
//! lets time pass where nobody answers.

use std::collections::BTreeSet;

use super::graph::{Needs, Road};
use crate::definition::{Definition, Settings};
use crate::problem::Problem;

/// How long the window is open, in seconds.
const WINDOW: u64 = 24 * 3_600;
/// No bound: the customer may have been silent for any time.
const UNBOUNDED: u64 = u64::MAX;

/// Warns at each widget that sends when the window may be closed. There must be no loop without a
/// wait.
pub(super) fn check(
    definition: &Definition,
    roads: &[Vec<Road>],
    reached: &[bool],
    problems: &mut Vec<Problem>,
) {
    let silent = silence(definition, roads, reached);
    for (widget, silent) in definition.widgets.iter().zip(silent) {
        let sends = matches!(
            widget.settings,
            Settings::SendMedia(_) | Settings::CollectInput(_)
        );
        if !sends || silent < WINDOW {
            continue;
        }
        let time = match silent {
            UNBOUNDED => "any time".to_owned(),
            seconds => format!("up to {} hours", seconds / 3_600),
        };
        problems.push(Problem::warning(
            &widget.name,
            "",
            format!(
                "{time} may have passed since the customer last wrote; after 24 hours WhatsApp takes \
                 no message of this kind"
            ),
            "shorten the timeouts on the way, or lead them to a route_to or the end",
        ));
    }
}

/// The longest time, in seconds, since the customer's last message when a widget is reached.
fn silence(definition: &Definition, roads: &[Vec<Road>], reached: &[bool]) -> Vec<u64> {
    // No time passes in a loop of scripts: the way back is left out.
    let back = scripts_back(roads);
    let passes =
        |road: &&Road| road.needs <= Needs::Time && !back.contains(&std::ptr::from_ref(*road));
    let from = || (0..roads.len()).filter(|widget| reached[*widget]);
    let mut incoming = vec![0_usize; roads.len()];
    for road in from().flat_map(|widget| &roads[widget]).filter(passes) {
        incoming[road.to] += 1;
    }
    // What is never reached this way lies on a loop of waits, or behind one.
    let mut silent = vec![UNBOUNDED; roads.len()];
    let mut longest = vec![0_u64; roads.len()];
    let mut open: Vec<usize> = from().filter(|widget| incoming[*widget] == 0).collect();
    while let Some(widget) = open.pop() {
        silent[widget] = longest[widget];
        for road in roads[widget].iter().filter(passes) {
            let wait = match (&definition.widgets[widget].settings, road.needs) {
                (Settings::CollectInput(question), Needs::Time) => question.timeout_seconds,
                (Settings::Wait(pause), Needs::Time) => pause.seconds,
                (Settings::HttpCall(call), _) => call.timeout_seconds,
                _ => 0,
            };
            let after = silent[widget] + u64::from(wait);
            longest[road.to] = longest[road.to].max(after);
            incoming[road.to] -= 1;
            if incoming[road.to] == 0 {
                open.push(road.to);
            }
        }
    }
    for (silent, reached) in silent.iter_mut().zip(reached) {
        if !reached {
            *silent = 0;
        }
    }
    silent
}

/// Roads out of scripts that come back to them without time or the customer.
fn scripts_back(roads: &[Vec<Road>]) -> BTreeSet<*const Road> {
    let mut back = BTreeSet::new();
    for (script, own) in roads.iter().enumerate() {
        let of_script = own.iter().filter(|road| road.needs == Needs::Script);
        for road in of_script {
            let (mut seen, mut open) = (vec![false; roads.len()], vec![road.to]);
            while let Some(at) = open.pop() {
                if !std::mem::replace(&mut seen[at], true) {
                    let on = roads[at].iter().filter(|road| road.needs <= Needs::Script);
                    open.extend(on.map(|road| road.to));
                }
            }
            if seen[script] {
                back.insert(std::ptr::from_ref(road));
            }
        }
    }
    back
}
