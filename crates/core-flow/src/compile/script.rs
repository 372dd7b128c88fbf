//! Scripts made ready to run.

use std::collections::BTreeMap;

use super::{Compiler, Exit, OwnPlace};
use crate::definition::{Definition, Script, Settings, Widget};
use crate::expression::Kind;
use crate::interpolation::Placeholder;
use crate::problem::Problem;
use crate::scope::{FACTS, OWN, ValueField, Variable};

/// A Script widget.
#[derive(Debug)]
pub(crate) struct ScriptNode {
    /// The widget's name: a part of its chance.
    pub(crate) name: Box<str>,
    pub(crate) code: Box<str>,
    /// Position of the widget.
    pub(crate) position: u16,
    pub(crate) next: Exit,
    pub(crate) failed: Exit,
    /// Further exits, by name.
    pub(crate) exits: Box<[Exit]>,
}

/// What every script of a flow may read and set.
#[derive(Debug, Default)]
pub(crate) struct ScriptNames {
    /// Every variable there is, by full name.
    pub(crate) reads: Box<[(Box<str>, Variable, Kind)]>,
    /// What may be set, by full name.
    pub(crate) own: BTreeMap<Box<str>, OwnPlace>,
}

impl Compiler<'_> {
    pub(super) fn script(
        &mut self,
        widget: &Widget,
        settings: &Script,
    ) -> Result<ScriptNode, Problem> {
        let exits = settings.exits.iter().map(|exit| self.exit(widget, exit));
        let exits = exits.collect::<Result<_, Problem>>()?;
        Ok(ScriptNode {
            name: widget.name.as_str().into(),
            code: settings.code.text().into(),
            position: self.scope.target(&widget.name).unwrap_or_default(),
            next: self.exit(widget, "next")?,
            failed: self.exit(widget, "failed")?,
            exits,
        })
    }
}

impl Compiler<'_> {
    /// What scripts may read and set; nothing where there are none.
    pub(super) fn script_names(&mut self, definition: &Definition) -> ScriptNames {
        let names = names(definition);
        let reads: Vec<_> = names
            .iter()
            .filter_map(|(group, field)| {
                let place = Placeholder {
                    scope: group,
                    field,
                };
                let variable = self.scope.variable(place).ok()?;
                let kind = self.scope.kind(&variable);
                Some((format!("{group}.{field}").into(), variable, kind))
            })
            .collect();
        // A script may ask for anything by a name it has computed.
        for (_, variable, _) in &reads {
            if let Variable::Answer(key) = variable {
                self.used.insert(*key);
            }
        }
        let own = names.iter().filter(|(group, _)| group == OWN);
        let own = own.filter_map(|(_, field)| {
            let place = Placeholder { scope: OWN, field };
            let own = self.own_place(place).ok()?;
            Some((own.name.clone(), own))
        });
        ScriptNames {
            own: own.collect(),
            reads: reads.into(),
        }
    }
}

/// Every variable of a flow, as group and field; none where no script may ask for them.
fn names(definition: &Definition) -> Vec<(String, String)> {
    let widgets = definition.widgets.iter();
    if !widgets
        .clone()
        .any(|widget| matches!(widget.settings, Settings::Script(_)))
    {
        return Vec::new();
    }
    let facts = FACTS.iter().filter_map(|fact| fact.split_once('.'));
    let facts = facts.map(|(group, field)| (group.to_owned(), field.to_owned()));
    let answers = widgets.flat_map(|widget| {
        let fields: &[ValueField] = match &widget.settings {
            Settings::CollectInput(_) => &[ValueField::Value, ValueField::Text],
            Settings::HttpCall(_) => &[ValueField::Status],
            Settings::Script(_) => &[ValueField::Value],
            _ => &[],
        };
        let fields = fields.iter();
        fields.map(|field| (widget.name.clone(), field.name().to_owned()))
    });
    let own = definition.variables.iter();
    let own = own.map(|variable| (OWN.to_owned(), variable.name.clone()));
    facts.chain(answers).chain(own).collect()
}
