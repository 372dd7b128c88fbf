//! What can be known of a flow without playing it: which answers are certain to be there when a
//! widget is reached, and which exits can therefore never be taken.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::normalise;
use crate::definition::{Condition, Definition, Operator, Settings};
use crate::interpolation::single;

/// Sets of positions of questions, one for each widget: what is certainly answered on the way in.
/// `None` for a widget nobody reaches.
struct Answered {
    words: usize,
    sets: Vec<Option<Vec<u64>>>,
}

impl Answered {
    /// Looks along every road until nothing changes any more: what is certain at a widget is what is
    /// certain on each road to it.
    fn of(definition: &Definition, places: &BTreeMap<&str, usize>) -> Self {
        let count = definition.widgets.len();
        let mut answered = Self {
            words: count.div_ceil(64),
            sets: vec![None; count],
        };
        let Some(start) = places.get(definition.start.as_str()) else {
            return answered;
        };
        answered.sets[*start] = Some(vec![0; answered.words]);
        let mut open = vec![*start];
        while let Some(from) = open.pop() {
            let widget = &definition.widgets[from];
            for (exit, target) in &widget.exits.0 {
                let Some(to) = target.as_deref().and_then(|target| places.get(target)) else {
                    continue;
                };
                let question = matches!(widget.settings, Settings::CollectInput(_));
                if answered.flow(from, *to, question && exit == "match") {
                    open.push(*to);
                }
            }
        }
        answered
    }

    /// Takes a road; whether less is certain at its end than before.
    fn flow(&mut self, from: usize, to: usize, answers: bool) -> bool {
        let mut along = self.sets[from].clone().unwrap_or_default();
        if answers {
            along[from / 64] |= 1 << (from % 64);
        }
        match &mut self.sets[to] {
            None => {
                self.sets[to] = Some(along);
                true
            }
            Some(known) => {
                let mut changed = false;
                for (known, along) in known.iter_mut().zip(along) {
                    changed |= *known & !along != 0;
                    *known &= along;
                }
                changed
            }
        }
    }

    fn certain(&self, at: usize, question: usize) -> bool {
        let set = self.sets[at].as_ref();
        set.is_some_and(|set| set[question / 64] >> (question % 64) & 1 == 1)
    }
}

/// For each widget whether a session may come to wait after it without the customer, time or a
/// failure: only while it waits does the refusal of a message lead anywhere.
pub(crate) fn waits_behind(definition: &Definition) -> Vec<bool> {
    let names = definition.widgets.iter().enumerate();
    let places: BTreeMap<&str, usize> = names
        .map(|(place, widget)| (widget.name.as_str(), place))
        .collect();
    let mut back = vec![Vec::new(); definition.widgets.len()];
    let mut open = Vec::new();
    for (from, widget) in definition.widgets.iter().enumerate() {
        if matches!(
            widget.settings,
            Settings::CollectInput(_)
                | Settings::Wait(_)
                | Settings::HttpCall(_)
                | Settings::Script(_)
        ) {
            open.push(from);
            continue;
        }
        for (exit, target) in &widget.exits.0 {
            let later = widget.settings.may_be_refused() && exit == "failed";
            let to = target.as_deref().and_then(|target| places.get(target));
            if let (false, Some(to)) = (later, to) {
                back[*to].push(from);
            }
        }
    }
    let mut waits = vec![false; definition.widgets.len()];
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut waits[at], true) {
            open.extend(&back[at]);
        }
    }
    waits
}

/// Exits that no conversation takes, as widget and exit: the `failed` of a message after which the
/// flow ends at once; and the `no_match` of a condition that asks
/// for the value of a question answered on every road to it, and whose branches name each of that
/// question's choices.
pub(crate) fn dead_exits(definition: &Definition) -> BTreeSet<(&str, &str)> {
    let names = definition.widgets.iter().enumerate();
    let places: BTreeMap<&str, usize> = names
        .map(|(place, widget)| (widget.name.as_str(), place))
        .collect();
    let mut dead = BTreeSet::new();
    let mut answered = None;
    for (widget, waits) in definition.widgets.iter().zip(waits_behind(definition)) {
        if widget.settings.may_be_refused() && !waits {
            dead.insert((widget.name.as_str(), "failed"));
        }
    }
    for (at, widget) in definition.widgets.iter().enumerate() {
        let Settings::Condition(condition) = &widget.settings else {
            continue;
        };
        let Some(question) = asked_in_full(definition, &places, condition) else {
            continue;
        };
        let answered = answered.get_or_insert_with(|| Answered::of(definition, &places));
        if answered.certain(at, question) {
            dead.insert((widget.name.as_str(), "no_match"));
        }
    }
    dead
}

/// The question whose every choice the condition has a branch for.
fn asked_in_full(
    definition: &Definition,
    places: &BTreeMap<&str, usize>,
    condition: &Condition,
) -> Option<usize> {
    let variable = single(condition.variable.as_deref()?).ok()?;
    let question = *places.get(variable.scope)?;
    let Settings::CollectInput(settings) = &definition.widgets[question].settings else {
        return None;
    };
    if variable.field != "value" || settings.choices.is_empty() {
        return None;
    }
    let equal = condition.branches.iter();
    let equal = equal.filter(|branch| branch.operator == Some(Operator::Equals));
    let named: BTreeSet<String> = equal
        .filter_map(|branch| branch.value.as_deref())
        .map(normalise)
        .collect();
    let mut choices = settings.choices.iter();
    choices
        .all(|choice| named.contains(&normalise(&choice.value)))
        .then_some(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = include_str!("../../../deploy/flows/whatsapp-for-business.json");

    fn dead(text: &str) -> Vec<String> {
        let definition = crate::parse(text).unwrap();
        let dead = dead_exits(&definition);
        dead.iter()
            .map(|(widget, exit)| format!("{widget}/{exit}"))
            .collect()
    }

    #[test]
    fn the_rest_of_a_complete_condition_is_dead() {
        assert_eq!(dead(GUIDE), ["Condition/no_match"]);
    }

    #[test]
    fn a_road_around_the_question_keeps_it_alive() {
        let around = GUIDE.replacen(
            "\"no_match\": \"Route_to_Support\"",
            "\"no_match\": \"Condition\"",
            1,
        );
        assert_ne!(around, GUIDE);
        assert_eq!(dead(&around), Vec::<String>::new());
        let fewer = GUIDE.replace(
            "\"value\": \"2\"\n          }\n        ]",
            "\"value\": \"3\"\n          }\n        ]",
        );
        assert_ne!(fewer, GUIDE);
        assert_eq!(dead(&fewer), Vec::<String>::new());
    }
}
