//! The settings of roles: what there is ([`table`]), what must fit together ([`checks`]), and
//! `frontdesk config` ([`command`]).

mod checks;
mod command;
mod example;
mod table;

use std::path::PathBuf;

use lib_platform::config::{Key, Outcome, Problem, Sources, load};

pub(crate) use self::command::run;
pub(crate) use self::table::{ROLES_AND_SEED, table};

use self::checks::Machine;
use crate::exit::Exit;

/// Variables with our prefix that are not settings of roles.
const OTHER_VARIABLES: &[&str] = &[
    "FRONTDESK_CONFIG",
    "FRONTDESK_FAILPOINTS",
    "FRONTDESK_SERVER",
    "FRONTDESK_TOKEN",
    "FRONTDESK_ADMIN_URL",
    "FRONTDESK_ADMIN",
    "FRONTDESK_BIN",
    "FRONTDESK_DATA_DIR",
    "FRONTDESK_HTTP",
    "FRONTDESK_GRPC",
    "FRONTDESK_SANDBOX",
    "FRONTDESK_MESSAGES_PER_SECOND",
    "FRONTDESK_ATTEMPT_SECONDS",
    "FRONTDESK_QUIET_SECONDS",
    "FRONTDESK_LOG",
    "FRONTDESK_LOG_FORMAT",
    "FRONTDESK_OTLP_ENDPOINT",
];

/// Who is not in every installation: what stands in for Meta, and the demo tenant.
const APART: &[&str] = &["sandbox", "seed"];

/// Reads and checks the settings of `role`, a role's name or `seed`; `None` stands for every role
/// that serves customers.
pub(crate) fn read(role: Option<&str>, file: Option<PathBuf>) -> Outcome {
    let sources = Sources {
        file,
        env: std::env::vars_os().collect(),
        other_variables: OTHER_VARIABLES,
    };
    read_from(role, &sources, &Machine::this())
}

/// The same from any environment, on any machine.
fn read_from(role: Option<&str>, sources: &Sources, machine: &Machine) -> Outcome {
    let mut table = table();
    if role.is_none() {
        // What is given to the others is looked at; they need not be there.
        for key in &mut table {
            if key.needed_by.iter().all(|who| APART.contains(who)) {
                key.needed_by = &[];
            }
        }
    }
    let mut outcome = load(&table, role, sources);
    fill_in(&table, machine, &mut outcome);
    checks::whole(&table, role, sources, machine, &mut outcome);
    outcome
}

/// Defaults that only the machine knows.
fn fill_in(table: &[Key], machine: &Machine, outcome: &mut Outcome) {
    let key = |name: &str| table.iter().find(|key| key.name == name);
    let wrong = |name: &str| {
        let key = Some(name);
        outcome
            .problems
            .iter()
            .any(|problem| problem.key.as_deref() == key)
    };
    let (no_instance, no_advertise) = (wrong("instance"), wrong("grpc.advertise"));
    if let Some(instance) = key("instance").filter(|_| !no_instance) {
        outcome
            .settings
            .set_default(instance, machine.host_name.clone());
    }
    let port = outcome
        .settings
        .text_opt("grpc.listen")
        .and_then(lib_platform::config::shape::port);
    let instance = outcome.settings.text_opt("instance").map(str::to_owned);
    if let (Some(advertise), Some(instance), Some(port)) = (
        key("grpc.advertise").filter(|_| !no_advertise),
        instance,
        port,
    ) {
        outcome
            .settings
            .set_default(advertise, format!("http://{instance}:{port}"));
    }
}

/// The end of a program whose settings are wrong: every mistake, each with its remedy.
pub(crate) fn refusal(who: &str, problems: &[Problem]) -> anyhow::Error {
    let mistakes = explain(who, problems);
    Exit::config(format!(
        "{mistakes}\n\nNothing was started. `frontdesk config check` finds all mistakes, `frontdesk \
         config keys` lists every setting."
    ))
}

fn explain(who: &str, problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 mistake".to_owned(),
        many => format!("{many} mistakes"),
    };
    let mut text = format!("{count} in the settings of {who}");
    for problem in problems {
        text.push_str("\n\n  ");
        text.push_str(&problem.to_string().replace("\n    ", "\n      "));
    }
    text
}

#[cfg(test)]
mod tests;
