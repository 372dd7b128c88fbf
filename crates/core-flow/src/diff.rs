//! What differs between two flows, as an author thinks of it: widgets by name, choices by value,
//! branches by exit, and never the order or the layout of the file.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::Definition;

/// Fields by which the items of a list are told apart, in this order.
const KEYS: [&str; 4] = ["name", "value", "exit", "variable"];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where: `Menu.settings.prompt.text`, `Menu.settings.choices[value 1].title`, `Menu` for a whole
    /// widget, `variables[name count]` for a variable, `name` for the flow itself.
    pub place: String,
    /// What stood there; absent for what is new. A whole widget stands as its type.
    pub from: Option<String>,
    /// What stands there now; absent for what is gone.
    pub to: Option<String>,
}

/// Every difference, in the order of the older flow, what is new at the end. A widget that only has
/// another name is one difference: its name.
pub fn diff(from: &Definition, to: &Definition) -> Vec<Change> {
    let renamed = renamed(from, to);
    let mut from = from.clone();
    for widget in &mut from.widgets {
        for (_, target) in &mut widget.exits.0 {
            if let Some(new) = target.as_ref().and_then(|target| renamed.get(target)) {
                *target = Some(new.clone());
            }
        }
    }
    let mut changes = Vec::new();
    let text = |text: &str| Some(text.to_owned());
    for (place, old, new) in [
        ("name", &from.name, &to.name),
        ("start", &from.start, &to.start),
    ] {
        let same = old == new || renamed.get(old) == Some(new);
        if !same {
            changes.push(Change {
                place: place.to_owned(),
                from: text(old),
                to: text(new),
            });
        }
    }
    let whole = |flow: &Definition| {
        serde_json::json!({"language": flow.language, "variables": flow.variables,
            "translations": flow.translations})
    };
    let (old, new) = (whole(&from), whole(to));
    for part in ["language", "variables", "translations"] {
        let there = |flow: &Value| flow.get(part).filter(|it| !it.is_null()).cloned();
        let (old, new) = (there(&old), there(&new));
        compare(part, old.as_ref(), new.as_ref(), &mut changes);
    }
    for widget in &from.widgets {
        let name = renamed.get(&widget.name).unwrap_or(&widget.name);
        if name != &widget.name {
            changes.push(Change {
                place: widget.name.clone(),
                from: text(&widget.name),
                to: text(name),
            });
        }
        match to.widgets.iter().find(|other| other.name == *name) {
            None => changes.push(Change {
                place: name.clone(),
                from: text(widget.settings.kind()),
                to: None,
            }),
            Some(other) => {
                let value = |widget| serde_json::to_value(widget).unwrap_or_default();
                let (mut old, new): (Value, Value) = (value(widget), value(other));
                old["name"] = Value::from(name.as_str());
                compare(name, Some(&old), Some(&new), &mut changes);
            }
        }
    }
    let known = |name: &str| {
        let mut old = from.widgets.iter();
        old.any(|widget| renamed.get(&widget.name).unwrap_or(&widget.name) == name)
    };
    let new = to.widgets.iter().filter(|widget| !known(&widget.name));
    changes.extend(new.map(|widget| Change {
        place: widget.name.clone(),
        from: None,
        to: text(widget.settings.kind()),
    }));
    changes
}

/// Widgets that are gone and stand under another name now, with that name.
fn renamed(from: &Definition, to: &Definition) -> BTreeMap<String, String> {
    let lacks = |flow: &Definition, name: &str| flow.widgets.iter().all(|it| it.name != name);
    let mut new: Vec<_> = to
        .widgets
        .iter()
        .filter(|widget| lacks(from, &widget.name))
        .collect();
    let mut renamed = BTreeMap::new();
    for widget in from.widgets.iter().filter(|widget| lacks(to, &widget.name)) {
        // Where it leads may have been renamed as well.
        let exits = |exits: &crate::definition::Exits| {
            let names = exits.0.iter().map(|(name, _)| name.clone());
            names.collect::<Vec<_>>()
        };
        let same = new.iter().position(|other| {
            other.settings == widget.settings && exits(&other.exits) == exits(&widget.exits)
        });
        if let Some(place) = same {
            renamed.insert(widget.name.clone(), new.remove(place).name.clone());
        }
    }
    renamed
}

/// Compares what stands at `place`.
fn compare(place: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                compare(
                    &format!("{place}.{name}"),
                    old.get(name),
                    new.get(name),
                    changes,
                );
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            match KEYS
                .into_iter()
                .find_map(|key| keyed(key, old).zip(keyed(key, new)).map(|both| (key, both)))
            {
                Some((key, (old, new))) => {
                    order(place, key, (&old, &new), changes);
                    let added = new.iter().filter(|(name, _)| find(&old, name).is_none());
                    for (name, _) in old.iter().chain(added) {
                        let place = format!("{place}[{key} {name}]");
                        compare(&place, find(&old, name), find(&new, name), changes);
                    }
                }
                None => {
                    for index in 0..old.len().max(new.len()) {
                        let place = format!("{place}[{index}]");
                        compare(&place, old.get(index), new.get(index), changes);
                    }
                }
            }
        }
        (from, to) => changes.push(Change {
            place: place.to_owned(),
            from: from.map(shown),
            to: to.map(shown),
        }),
    }
}

/// The items of a list, each with what tells it apart.
type Keyed<'v> = Vec<(&'v str, &'v Value)>;

/// Items that stand in another order, where the order means something: branches are tried and values
/// are set in theirs. That of variables means nothing.
fn order(place: &str, key: &str, (old, new): (&Keyed<'_>, &Keyed<'_>), changes: &mut Vec<Change>) {
    let names = |own: &Keyed<'_>, other: &Keyed<'_>| {
        let both = own.iter().filter(|(name, _)| find(other, name).is_some());
        both.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    let (from, to) = (names(old, new), names(new, old));
    if key != "name" && from != to {
        changes.push(Change {
            place: format!("{place} (order)"),
            from: Some(from.join(", ")),
            to: Some(to.join(", ")),
        });
    }
}

/// The items of a list by one of their fields, where that tells all of them apart.
fn keyed<'v>(key: &str, items: &'v [Value]) -> Option<Keyed<'v>> {
    let mut keyed: Keyed<'v> = Vec::with_capacity(items.len());
    for item in items {
        let name = item.get(key)?.as_str()?;
        if find(&keyed, name).is_some() {
            return None;
        }
        keyed.push((name, item));
    }
    Some(keyed)
}

fn find<'v>(items: &[(&str, &'v Value)], name: &str) -> Option<&'v Value> {
    let found = items.iter().find(|(own, _)| *own == name);
    found.map(|(_, value)| *value)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKETS: &str = include_str!("../../../deploy/flows/tickets.json");

    fn changes(edits: &[(&str, &str)]) -> Vec<(String, Option<String>, Option<String>)> {
        let from = crate::parse(TICKETS).unwrap();
        let mut text = from.to_json();
        for (old, new) in edits {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        let to = crate::parse(&text).unwrap();
        let back = diff(&to, &from);
        let changes = diff(&from, &to);
        assert_eq!(changes.len(), back.len(), "{changes:#?}\n{back:#?}");
        let parts = changes.into_iter().map(|it| (it.place, it.from, it.to));
        parts.collect()
    }

    fn change(place: &str, from: &str, to: &str) -> (String, Option<String>, Option<String>) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (place.to_owned(), text(from), text(to))
    }

    #[test]
    fn the_same_flow_has_no_difference_in_whatever_order() {
        assert_eq!(changes(&[]), []);
        let from = crate::parse(TICKETS).unwrap();
        let mut to = from.clone();
        to.widgets.reverse();
        to.variables.reverse();
        assert_eq!(diff(&from, &to), []);
    }

    #[test]
    fn another_order_of_branches_is_a_difference() {
        let from = crate::parse(TICKETS).unwrap();
        let mut to = from.clone();
        for widget in &mut to.widgets {
            if let crate::Settings::Condition(condition) = &mut widget.settings {
                condition.branches.reverse();
            }
        }
        let changes = diff(&from, &to);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].place, "Code_right.settings.branches (order)");
    }

    #[test]
    fn texts_exits_choices_and_variables_differ_by_name() {
        assert_eq!(
            changes(&[("How many do you want?", "How many?")])[0].0,
            "Count.settings.prompt.text"
        );
        assert_eq!(
            changes(&[("\"title\": \"Talk to us\"", "\"title\": \"Ask us\"")]),
            [change(
                "Offer.settings.choices[value talk].title",
                "Talk to us",
                "Ask us"
            )]
        );
        assert_eq!(
            changes(&[("\"again\": \"Wrong_code\"", "\"again\": \"Code\"")]),
            [change("Code_right.exits.again", "Wrong_code", "Code")]
        );
        assert_eq!(
            changes(&[("\"default\": \"24.50\"", "\"default\": \"26\"")]),
            [change("variables[name price].default", "24.50", "26")]
        );
        assert_eq!(
            changes(&[("flow.tries < 3", "flow.tries < 4")]),
            [change(
                "Code_right.settings.branches[exit again].expression",
                "flow.tries < 3",
                "flow.tries < 4"
            )]
        );
        assert_eq!(
            changes(&[("\"timeout\": \"Goodbye\"", "\"timeout\": null")]).len(),
            4
        );
    }

    #[test]
    fn a_renamed_widget_is_one_difference() {
        assert_eq!(
            changes(&[("\"Goodbye\"", "\"The_end\"")]),
            [change("Goodbye", "Goodbye", "The_end")]
        );
    }

    #[test]
    fn widgets_come_and_go_as_a_whole() {
        let gone = changes(&[
            (
                "{\n      \"name\": \"Goodbye\",\n      \"type\": \"end\"\n    }",
                "{\"name\": \"Lost\", \"type\": \"route_to\", \"settings\": {\"queue\": \"support\", \"priority\": 7}}",
            ),
            ("\"Goodbye\"", "\"Lost\""),
        ]);
        assert!(gone.contains(&change("Goodbye", "end", "")), "{gone:?}");
        assert!(gone.contains(&change("Lost", "", "route_to")), "{gone:?}");
    }
}
