//! Which exits of a flow were taken, and which were not.

use std::collections::BTreeMap;

use crate::analysis::dead_exits;
use crate::definition::{Definition, Settings};

/// How often each exit was taken, by its label (`Menu/match`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

/// One widget's exits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WidgetCoverage {
    /// The widget.
    pub name: String,
    /// Its exits, in the order of the file.
    pub exits: Vec<ExitCoverage>,
}

/// One exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCoverage {
    /// Its name; `routed` for what a route_to does.
    pub name: String,
    /// How often it was taken.
    pub taken: u64,
}

impl WidgetCoverage {
    /// Whether any of its exits was taken.
    pub fn is_visited(&self) -> bool {
        self.exits.iter().any(|exit| exit.taken > 0)
    }
}

impl Coverage {
    /// One more time.
    pub(crate) fn count(&mut self, label: &str) {
        match self.0.get_mut(label) {
            Some(taken) => *taken += 1,
            None => {
                self.0.insert(label.to_owned(), 1);
            }
        }
    }

    /// Adds what was taken elsewhere.
    pub fn add(&mut self, other: &Self) {
        for (label, taken) in &other.0 {
            *self.0.entry(label.clone()).or_default() += taken;
        }
    }

    /// How often the exit `label` was taken.
    pub fn taken(&self, label: &str) -> u64 {
        self.0.get(label).copied().unwrap_or_default()
    }

    /// Every exit of `definition` that can be taken, with how often it was. Exits that cannot be
    /// taken do not count: the `no_match` of a condition whose branches name every choice of the
    /// question before it, and a `failed` that leads nowhere.
    pub fn of(&self, definition: &Definition) -> Vec<WidgetCoverage> {
        let dead = dead_exits(definition);
        let widgets = definition.widgets.iter();
        let widgets = widgets.map(|widget| {
            let names: Vec<&str> = match &widget.settings {
                Settings::RouteTo(_) => vec!["routed"],
                Settings::End => vec!["ended"],
                settings => {
                    let exits = widget.exits.0.iter().filter(|(name, target)| {
                        let nothing = target.is_none() && settings.may_pass_over(name);
                        let dead = dead.contains(&(widget.name.as_str(), name.as_str()));
                        !nothing && !dead
                    });
                    exits.map(|(name, _)| name.as_str()).collect()
                }
            };
            let exits = names.into_iter().map(|name| ExitCoverage {
                name: name.to_owned(),
                taken: self.taken(&format!("{}/{name}", widget.name)),
            });
            WidgetCoverage {
                name: widget.name.clone(),
                exits: exits.collect(),
            }
        });
        widgets.collect()
    }
}
