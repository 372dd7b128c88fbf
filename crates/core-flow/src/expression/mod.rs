//! The one expression language of flows: minijinja's expressions over a flow's variables, without
//! functions, checked when a flow is validated and compiled when it is published. An expression
//! reads and computes; it cannot write, loop, or ask for anything outside.
//!
//! Every evaluation has its fuel: each instruction, each visited item and each byte made costs some
//! (`minijinja`'s `fuel`), so neither `"x" * 10**9` nor anything else lasts or grows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::{Environment, Expression as Program, UndefinedBehavior, Value};

mod check;
mod language;
mod value;

pub(crate) use self::check::{Kind, Wrong, check};
use self::value::known;
pub(crate) use self::value::{as_json, as_text, from_json, is_list, is_nothing};
use crate::scope::{Scope, Variable};

/// What one evaluation may cost. A comparison of two variables costs about 10; one unit pays for 64
/// bytes, so no value grows beyond 640 KiB.
const FUEL: u64 = 10_000;

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::new();
    language.set_fuel(Some(FUEL));
    language.set_undefined_behavior(UndefinedBehavior::Chainable);
    language::extend(&mut language);
    language
});

/// An expression, ready to run.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program<'static, 'static>,
    /// The variables it reads, by group.
    reads: Box<[Group]>,
}

/// Variables of one group: of a widget, of the contact, of the flow.
#[derive(Debug)]
struct Group {
    name: Box<str>,
    fields: Box<[Read]>,
}

/// A variable that an expression reads.
#[derive(Debug)]
struct Read {
    field: Box<str>,
    variable: Variable,
    kind: Kind,
}

impl Expression {
    /// Checks and compiles.
    ///
    /// # Errors
    /// What is wrong with it, at which column.
    pub(crate) fn compile(source: &str, scope: &Scope<'_>) -> Result<Self, Wrong> {
        let checked = check(source, scope)?;
        let program = LANGUAGE.compile_expression_owned(source.to_owned());
        let program = program.map_err(|error| Wrong::syntax(source, &error))?;
        let mut groups: BTreeMap<String, Vec<Read>> = BTreeMap::new();
        for ((group, field), (variable, kind)) in checked.reads {
            let field = field.into();
            let read = Read {
                field,
                variable,
                kind,
            };
            groups.entry(group).or_default().push(read);
        }
        let groups = groups.into_iter().map(|(name, fields)| Group {
            name: name.into(),
            fields: fields.into(),
        });
        Ok(Self {
            program,
            reads: groups.collect(),
        })
    }

    /// The variables it reads.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let fields = self.reads.iter().flat_map(|group| &group.fields);
        fields.map(|read| &read.variable)
    }

    /// What it gives where `lookup` tells what variables hold; `None` where it cannot be computed.
    pub(crate) fn value<'v>(&self, lookup: impl Fn(&Variable) -> &'v str) -> Option<Value> {
        let groups = self.reads.iter().map(|group| {
            let fields = group.fields.iter();
            let fields =
                fields.map(|read| (&*read.field, known(lookup(&read.variable), read.kind)));
            (&*group.name, Value::from_pairs(fields))
        });
        self.program.eval(Value::from_pairs(groups)).ok()
    }
}

#[cfg(test)]
mod tests;
